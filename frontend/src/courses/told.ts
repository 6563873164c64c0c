// What a lesson compared, told in the page's language: the thing, what was said of it, what is right.

import type { Schemas } from "../api/client";
import type { Region, Task } from "../api/types";
import { named, percent, t, term } from "../i18n/index.svelte";
import { session } from "../lib/session.svelte";
import { partName, styleName, valueName } from "../lib/words";

type Note = Schemas["LessonNote"];

/** An outline that meets the known one so well (intersection over union) is drawn right, as the server has it. */
const GOOD_OUTLINE = 0.8;

export interface Told {
  readonly what: string;
  readonly given: string;
  readonly known: string;
  readonly mark: "right" | "nearly" | "wrong";
}

/** One thing that was compared, in words. `regions`: all that may be spoken of, the known and one's own. */
export function toldOf(note: Note, regions: readonly Region[]): Told {
  const [thing = "", id = "", field = ""] = (note.path ?? "").split(".");
  const value = note.value ?? 0;
  const outline = field === "rings";
  const mark = value >= (outline ? GOOD_OUTLINE : 1) ? "right" : value > 0 ? "nearly" : "wrong";
  if (thing !== "regions") return { what: term("lesson", thing), ...both(note, (each) => plain(thing, each)), mark };
  const part = partName(regions.find((region) => region.id === id)?.part ?? String(note.known ?? note.given ?? ""));
  if (outline) return { what: `${part} · ${t("lesson.rings")}`, given: t("lesson.covers", { share: percent(value) }), known: "", mark };
  if (field === "part") return { what: part, ...both(note, (each) => partName(String(each))), mark };
  const attribute = session.taxonomy.attributes.find(({ key }) => key === field);
  const name = (key: unknown) => (attribute ? valueName(attribute, String(key)) : String(key));
  return { what: `${part} · ${attribute ? named(attribute) : field}`, ...both(note, name), mark };
}

/** The regions that a lesson's notes may name. */
export function regionsOf(task: Task, known: unknown, given: unknown): readonly Region[] {
  return [known, given, task.labels.segmentation].flatMap((each) => {
    const regions = (each as { regions?: unknown } | null)?.regions;
    return Array.isArray(regions) ? (regions as Region[]) : [];
  });
}

function both({ given, known }: Note, name: (each: unknown) => string): Pick<Told, "given" | "known"> {
  return { given: listed(given, name), known: listed(known, name) };
}

function listed(value: unknown, name: (each: unknown) => string): string {
  if (value === null || value === undefined || (Array.isArray(value) && !value.length)) return t("lesson.nothing");
  return (Array.isArray(value) ? value : [value]).map(name).join(", ");
}

function plain(thing: string, value: unknown): string {
  const word = String(value);
  if (thing === "styles") return styleName(word);
  if (thing === "blame" || thing === "to") return term("stage", word);
  if (thing === "unusable") {
    const found = session.taxonomy.unusable.find(({ code }) => code === word);
    return found ? named(found) : word;
  }
  // Of a score only the side of 4 is known.
  if (thing === "score" && !/^\d$/.test(word)) return t(word.startsWith("4") ? "lesson.passes" : "lesson.rejects");
  return word;
}
