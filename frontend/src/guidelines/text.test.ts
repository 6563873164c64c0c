import { describe, expect, test } from "vitest";
import { blocksOf, differences } from "./text";

describe("a guideline", () => {
  test("has headings, points and paragraphs", () => {
    expect(blocksOf("## How\n\n- Follow the **edge**.\n- Close.\n\nOr ask.").map((block) => block.kind)).toEqual(["heading", "list", "paragraph"]);
    expect(blocksOf("- Follow the **edge**.")).toEqual([
      {
        kind: "list",
        items: [
          [
            { text: "Follow the ", strong: false },
            { text: "edge", strong: true },
            { text: ".", strong: false },
          ],
        ],
      },
    ]);
  });

  test("keeps markup of other kinds as text", () => {
    const evil = '<img src=x onerror="alert(1)"> [a](javascript:alert(1))';
    expect(blocksOf(evil)).toEqual([{ kind: "paragraph", spans: [{ text: evil, strong: false }] }]);
  });

  test("keeps stars that enclose nothing", () => {
    expect(blocksOf("2 ** 3")).toEqual([{ kind: "paragraph", spans: [{ text: "2 ** 3", strong: false }] }]);
  });
});

describe("two versions", () => {
  test("differ in the lines that came and went", () => {
    expect(differences("a\nb\nc", "a\nc\nd")).toEqual([
      { what: "same", text: "a" },
      { what: "removed", text: "b" },
      { what: "same", text: "c" },
      { what: "added", text: "d" },
    ]);
    expect(differences("a", "a")).toEqual([{ what: "same", text: "a" }]);
  });
});
