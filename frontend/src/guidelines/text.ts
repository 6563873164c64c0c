// The little markup of guidelines, as parts to be shown: nothing in it ever becomes HTML.

export interface Span {
  readonly text: string;
  readonly strong: boolean;
}
export type Block =
  | { readonly kind: "heading"; readonly spans: readonly Span[] }
  | { readonly kind: "paragraph"; readonly spans: readonly Span[] }
  | { readonly kind: "list"; readonly items: readonly (readonly Span[])[] };

/** `## ` begins a heading, `- ` a point, `**` encloses what matters; all else is text. */
export function blocksOf(text: string): readonly Block[] {
  const blocks: Block[] = [];
  let points: (readonly Span[])[] | null = null;
  for (const line of text.split(/\r?\n/).map((each) => each.trim())) {
    if (line.startsWith("- ")) {
      if (!points) blocks.push({ kind: "list", items: (points = []) });
      points.push(spansOf(line.slice(2)));
      continue;
    }
    points = null;
    if (/^#{1,4} /.test(line)) blocks.push({ kind: "heading", spans: spansOf(line.replace(/^#+ /, "")) });
    else if (line) blocks.push({ kind: "paragraph", spans: spansOf(line) });
  }
  return blocks;
}

function spansOf(text: string): readonly Span[] {
  const pieces = text.split("**");
  // An odd one out encloses nothing.
  if (pieces.length % 2 === 0) return [{ text, strong: false }];
  return pieces.map((piece, index) => ({ text: piece, strong: index % 2 === 1 })).filter((span) => span.text);
}

export interface Line {
  readonly what: "same" | "added" | "removed";
  readonly text: string;
}

/** Line by line what is different in `after`. */
export function differences(before: string, after: string): readonly Line[] {
  const [old, fresh] = [before.trim().split("\n"), after.trim().split("\n")];
  // Of the longest common rest from each pair of lines on.
  const rest = Array.from({ length: old.length + 1 }, () => new Array<number>(fresh.length + 1).fill(0));
  const at = (i: number, j: number) => rest[i]?.[j] ?? 0;
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = fresh.length - 1; j >= 0; j -= 1) {
      (rest[i] as number[])[j] = old[i] === fresh[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < fresh.length) {
    if (i < old.length && j < fresh.length && old[i] === fresh[j]) {
      lines.push({ what: "same", text: fresh[j] ?? "" });
      i += 1;
      j += 1;
    } else if (i < old.length && (j === fresh.length || at(i + 1, j) >= at(i, j + 1))) lines.push({ what: "removed", text: old[i++] ?? "" });
    else lines.push({ what: "added", text: fresh[j++] ?? "" });
  }
  return lines;
}
