import { expect, test } from "vitest";
import { areasOf, define, type Document, type Entry, entriesOf, guide, nextVersion } from "./draft";

function street(): Entry {
  return { key: "street", en: "Street", ko: "스트리트" };
}

test("a definition is kept in both languages, on one line, and goes with its last word", () => {
  const entry = street();
  define(entry, "en", "Of the\n street");
  expect(entry.definition).toEqual({ en: "Of the street", ko: "" });
  define(entry, "ko", "거리");
  define(entry, "en", "");
  expect(entry.definition).toEqual({ en: "", ko: "거리" });
  define(entry, "ko", "");
  expect("definition" in entry).toBe(false);
});

test("what is typical is a line each, and no empty list is left", () => {
  const entry = street();
  guide(entry, "items", " 후드 \n\n청바지");
  guide(entry, "colors", "블랙");
  expect(entry.guidance).toEqual({ items: ["후드", "청바지"], colors: ["블랙"] });
  guide(entry, "items", "");
  guide(entry, "colors", " ");
  expect("guidance" in entry).toBe(false);
});

test("versions are counted on by their last number", () => {
  expect(["1.04-1", "1.04-9", "7", "spring"].map(nextVersion)).toEqual(["1.04-2", "1.04-10", "8", "spring-2"]);
});

test("attributes that share values have no area of their own", () => {
  const color = { key: "color", en: "Colour", ko: "색상", values: [{ key: "red", en: "Red", ko: "레드" }] };
  const sub = { key: "sub_color", en: "Second colour", ko: "서브색상", values_from: "color" };
  const document = { attributes: [color, sub], styles: [street()] } as unknown as Document;
  const areas = areasOf(document);
  expect(areas.map(({ id }) => id)).toContain("values.color");
  expect(areas.map(({ id }) => id)).not.toContain("values.sub_color");
  expect(entriesOf(document, areas.at(-1)!)).toEqual(color.values);
});
