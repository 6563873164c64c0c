// A verdict while it is made: score, whose work is at fault, reasons, comment.

import type { Reason, Stage, Verdict } from "../api/types";
import { reasonsFor } from "../lib/words";

/** 1: image and label both wrong, 2: an item differs, 3: the style differs. */
const BLAMED: Readonly<Record<number, Stage>> = { 1: "segmentation", 2: "attributes", 3: "styles" };
export const PASSING = 4;
export const SCORES = [1, 2, 3, 4, 5] as const;

/** The stages whose work a review can find fault with. */
export function targetsOf(stage: Stage): readonly Stage[] {
  const labelling: readonly Stage[] = ["segmentation", "attributes", "styles"];
  return stage === "first_review" ? labelling : [...labelling, "first_review"];
}

export class VerdictDraft {
  score = $state<number | null>(null);
  blame = $state<Stage | null>(null);
  reasons = $state.raw<readonly string[]>([]);
  comment = $state("");

  constructor(kept?: Verdict | undefined) {
    if (!kept) return;
    this.score = kept.score || null;
    this.blame = kept.blame;
    this.reasons = kept.reasons;
    this.comment = kept.comment;
  }

  get rejects(): boolean {
    return this.score !== null && this.score < PASSING;
  }

  /** What is still wanting; null when the verdict is whole. */
  get wanting(): "score" | "reasons" | null {
    if (this.score === null) return "score";
    return this.rejects && this.reasons.length === 0 ? "reasons" : null;
  }

  get offered(): readonly Reason[] {
    return this.blame ? reasonsFor(this.blame) : [];
  }

  rate(score: number): void {
    const before = this.score;
    this.score = score;
    if (!this.rejects) {
      this.blame = null;
      this.reasons = [];
    } else if (before !== score) this.accuse(BLAMED[score] ?? null);
  }

  accuse(stage: Stage | null): void {
    this.blame = stage;
    this.reasons = this.reasons.filter((code) => this.offered.some((reason) => reason.code === code));
  }

  toggle(code: string): void {
    this.reasons = this.reasons.includes(code) ? this.reasons.filter((each) => each !== code) : [...this.reasons, code];
  }

  get result(): Verdict {
    return { score: this.score ?? 0, blame: this.blame, reasons: this.reasons, comment: this.comment };
  }
}
