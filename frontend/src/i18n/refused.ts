// What a refusal says in the language of the page. The server's own sentences are English, with the names and
// numbers of the case; other languages say it by the refusal's code, in words fetched with the first refusal.

import { type Language, spoken } from "./index.svelte";

type Words = Readonly<Record<string, string>>;

const WORDS: Readonly<Partial<Record<Language, () => Promise<{ default: Words }>>>> = {
  ko: () => import("./refused.ko.json"),
};

/** The words for a refusal's code; `detail`, the server's, where there are none. */
export async function wordsFor(code: string, detail: string): Promise<string> {
  const words = (await WORDS[spoken()]?.().catch(() => null))?.default;
  return words?.[code] ?? detail;
}
