// The document of a taxonomy while it is edited: its areas, their entries, and texts as fields hold them.

export interface Entry {
  key?: string;
  code?: string;
  en: string;
  ko: string;
  definition?: { en: string; ko: string };
  guidance?: Record<string, string[]>;
  group?: string;
  percent?: number;
  parts?: string[];
  retired?: boolean;
  values?: Entry[];
  values_from?: string;
}

export type ListName = "styles" | "style_groups" | "parts" | "attributes" | "reasons" | "unusable";
export type Document = Record<ListName, Entry[]> & { name: string; version: string };

/** Where entries stand side by side: a list of the document, or the values of an attribute. */
export interface Area {
  readonly id: string;
  readonly list: ListName | "values";
  readonly attribute?: Entry;
}

export const LISTS: readonly ListName[] = ["styles", "attributes", "parts", "style_groups", "reasons", "unusable"];
export const GUIDANCE = ["categories", "items", "colors", "prints"] as const;
/** Where entries can be kept without being chosen any more. */
const RETIRING: readonly Area["list"][] = ["styles", "values", "reasons", "unusable"];

export function areasOf(document: Document): readonly Area[] {
  const own = document.attributes.filter(({ values }) => values);
  return [
    ...LISTS.map((list) => ({ id: list, list })),
    ...own.map((attribute) => ({ id: `values.${attribute.key}`, list: "values" as const, attribute })),
  ];
}

export function entriesOf(document: Document, area: Area): Entry[] {
  return area.list === "values" ? (area.attribute?.values ?? []) : (document[area.list] ?? []);
}

export function nameOf(entry: Entry): string {
  return entry.key ?? entry.code ?? "";
}

export function canRetire(area: Area): boolean {
  return RETIRING.includes(area.list);
}

/** Codes of their own have what sends work back and what makes an image unusable; the others have keys. */
export function codeField(area: Area): "key" | "code" {
  return area.list === "reasons" || area.list === "unusable" ? "code" : "key";
}

/** Whether an entry can be added here: an attribute needs values of its own first, which a file brings. */
export function canAdd(area: Area): boolean {
  return area.list !== "attributes";
}

/** Keep one language's sentence of a definition; none in either language is no definition. */
export function define(entry: Entry, language: "en" | "ko", text: string): void {
  const other = language === "en" ? "ko" : "en";
  const made = { en: "", ko: "", [other]: entry.definition?.[other] ?? "", [language]: text.replace(/\s*\n\s*/g, " ") };
  if (made.en || made.ko) entry.definition = made;
  else delete entry.definition;
}

/** Keep what is typical of a style, one thing a line; an empty list is none. */
export function guide(entry: Entry, kind: string, text: string): void {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  const made = { ...entry.guidance, [kind]: lines };
  if (!lines.length) delete made[kind];
  // Whoever changes it has written it.
  delete made.ours;
  if (Object.keys(made).length) entry.guidance = made;
  else delete entry.guidance;
}

/** The version's name with its last number one higher: 1.04-1 becomes 1.04-2. */
export function nextVersion(version: string): string {
  const found = /^(.*?)(\d+)$/.exec(version);
  return found ? `${found[1]}${Number(found[2]) + 1}` : `${version}-2`;
}
