// The taxonomy's names by key, in the language of the page.

import type { Attribute, Reason, Stage, Style } from "../api/types";
import { named } from "../i18n/index.svelte";
import { session } from "./session.svelte";

export function partName(key: string): string {
  const part = session.taxonomy.parts.find((each) => each.key === key);
  return part ? named(part) : key;
}

/** Which of the eight region colours a part has. */
export function partColour(key: string): number {
  return Math.max(0, session.taxonomy.parts.findIndex((each) => each.key === key)) % 8;
}

export function attributesFor(part: string): readonly Attribute[] {
  return session.taxonomy.attributes.filter((attribute) => attribute.parts.includes(part));
}

export function valueName(attribute: Attribute, key: string): string {
  const value = attribute.values.find((each) => each.key === key);
  return value ? named(value) : key;
}

export function style(key: string): Style | undefined {
  return session.taxonomy.styles.find((each) => each.key === key);
}

export function styleName(key: string): string {
  const found = style(key);
  return found ? named(found) : key;
}

export function reasonName(code: string): string {
  const reason = session.taxonomy.reasons.find((each) => each.code === code);
  return reason ? named(reason) : code;
}

/** The reasons that can concern a stage's work and are still given. */
export function reasonsFor(stage: Stage): readonly Reason[] {
  return session.taxonomy.reasons.filter((reason) => !reason.retired && reason.stages.includes(stage));
}
