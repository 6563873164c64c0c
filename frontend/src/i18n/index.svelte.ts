// Korean and English: every word the app itself says stands in two dictionaries with the same keys.
// Those of work are everybody's, and all that a worker's path fetches; other pages bring theirs along.

import type english from "./en.json";
import type pages from "./pages.en.json";
import type steering from "./steering.en.json";

export type Language = "en" | "ko";
export type Key = keyof typeof english | keyof typeof pages | keyof typeof steering;
type Words = Readonly<Record<string, string>>;
export type Dictionary = Readonly<Record<Language, () => Promise<{ default: Words }>>>;

const KEPT = "crowd.language";
/** The first is everybody's. */
const dictionaries: Dictionary[] = [{ en: () => import("./en.json"), ko: () => import("./ko.json") }];

let language = $state<Language>("en");
let words = $state.raw<Words>({});

/** The language of the page. */
export function spoken(): Language {
  return language;
}

/** What was chosen before, else what the browser prefers. */
export function preferred(): Language {
  const kept = localStorage.getItem(KEPT);
  if (kept === "en" || kept === "ko") return kept;
  return navigator.languages.some((tag) => tag.toLowerCase().startsWith("ko")) ? "ko" : "en";
}

/** Speak `chosen` from now on. */
export async function speak(chosen: Language): Promise<void> {
  let read: readonly Words[] = [];
  // One more may have been learnt while these were fetched.
  while (read.length < dictionaries.length) read = await Promise.all(dictionaries.map((each) => wordsOf(each, chosen)));
  words = Object.assign({}, ...read) as Words;
  language = chosen;
  localStorage.setItem(KEPT, chosen);
  document.documentElement.lang = chosen;
}

/** Know the words of one more dictionary, whatever language is spoken later. */
export async function learn(dictionary: Dictionary): Promise<void> {
  while (!dictionaries.includes(dictionary)) {
    const meant = language;
    const more = await wordsOf(dictionary, meant);
    if (meant !== language || dictionaries.includes(dictionary)) continue;
    dictionaries.push(dictionary);
    words = { ...words, ...more };
  }
}

async function wordsOf(dictionary: Dictionary, chosen: Language): Promise<Words> {
  return (await dictionary[chosen]()).default;
}

const HOLES = /\{(\w+)(?::([^|{}]*)\|([^{}]*))?\}/g;

/** The words for `key`, with `{name}` replaced by the values and `{name:image|images}` by what goes with one or more. */
export function t(key: Key, values: Readonly<Record<string, string | number>> = {}): string {
  return (words[key] ?? key).replace(HOLES, (whole, name: string, one?: string, more?: string) => {
    const value = String(values[name] ?? whole);
    return (value === "1" ? one : more) ?? value;
  });
}

/** The words for one of a family such as `stage.attributes`; its own name where the app knows none. */
export function term(family: string, name: string): string {
  return words[`${family}.${name}`] ?? name.replaceAll("_", " ");
}

/** The name, in the language of the page, of something that the taxonomy names in both. */
export function named(thing: { readonly en: string; readonly ko: string }): string {
  return language === "ko" ? thing.ko : thing.en;
}

export function number(value: number, digits = 0): string {
  return value.toLocaleString(language, { maximumFractionDigits: digits });
}

export function percent(share: number, digits = 0): string {
  return share.toLocaleString(language, { style: "percent", maximumFractionDigits: digits });
}

export function moment(at: string): string {
  return new Date(at).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });
}

/** A stretch of time in one unit: "42 s", "3 min", "2.5 h". */
export function span(seconds: number): string {
  if (seconds < 90) return unit(seconds, "second", 0);
  if (seconds < 90 * 60) return unit(seconds / 60, "minute", 0);
  if (seconds < 48 * 3600) return unit(seconds / 3600, "hour", 1);
  return unit(seconds / 86400, "day", 1);
}

function unit(value: number, name: string, digits: number): string {
  return value.toLocaleString(language, {
    style: "unit",
    unit: name,
    unitDisplay: "short",
    maximumFractionDigits: digits,
  });
}
