// Example pictures as the server lets this person see them: those of a task at hand are left out.

import { api, ask, type Schemas } from "../api/client";
import { named, spoken } from "../i18n/index.svelte";
import { session } from "../lib/session.svelte";
import { styleName, valueName } from "../lib/words";

export type Example = Schemas["Example"];
export type Shown = "attributes" | "styles";

const AT_ONCE = 200;

/** All examples of a stage; none where they cannot be had, for work goes on without them. */
export async function fetchExamples(stage: Shown): Promise<readonly Example[]> {
  const found: Example[] = [];
  let cursor: string | null | undefined;
  try {
    do {
      const query = { stage, limit: AT_ONCE, ...(cursor ? { cursor } : {}) };
      const page = await ask(api.GET("/api/v1/examples", { params: { query } }));
      found.push(...(page.items ?? []));
      cursor = page.next_cursor;
    } while (cursor);
  } catch {
    return found;
  }
  return found;
}

/** What is said of an example, in the language of the page. */
export function captionOf(example: Pick<Example, "caption_en" | "caption_ko">): string {
  return spoken() === "ko" ? example.caption_ko : example.caption_en;
}

/** The name of what an example shows. */
export function nameOf({ facet, value }: Pick<Example, "facet" | "value">): string {
  if (facet === "styles") return styleName(value);
  const attribute = session.taxonomy.attributes.find(({ key }) => key === facet);
  return attribute ? `${named(attribute)}: ${valueName(attribute, value)}` : value;
}
