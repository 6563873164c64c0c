// A verdict of the final audit while it is made: each stage right or wrong, why, and the score that says the same.

import { LABELLING, type Reason, type Stage, type Verdict } from "../api/types";
import { reasonsFor } from "../lib/words";

export type Mark = "right" | "wrong";
type Marks = Readonly<Partial<Record<Stage, Mark>>>;

export interface AuditWords {
  readonly marks: Marks;
  readonly reasons: readonly string[];
  readonly comment: string;
}

/** What stands for a wrong stage on the scale of reviews: image and label, an item, the style. */
const SCORES: Readonly<Partial<Record<Stage, number>>> = { segmentation: 1, attributes: 2, styles: 3 };
const MATCH = 5;

export class AuditDraft {
  marks = $state.raw<Marks>({});
  reasons = $state.raw<readonly string[]>([]);
  comment = $state("");

  constructor(kept?: AuditWords | undefined) {
    if (!kept?.marks) return;
    this.marks = kept.marks;
    this.reasons = kept.reasons;
    this.comment = kept.comment;
  }

  /** The stages that are wrong, the first one first. */
  get wrong(): readonly Stage[] {
    return LABELLING.filter((stage) => this.marks[stage] === "wrong");
  }

  /** What is still wanting; null when the verdict is whole. */
  get wanting(): "marks" | "reasons" | null {
    if (LABELLING.some((stage) => !this.marks[stage])) return "marks";
    return this.wrong.length > 0 && this.reasons.length === 0 ? "reasons" : null;
  }

  /** Why a wrong stage may be wrong; what concerns several stages once. */
  get offered(): readonly Reason[] {
    const all = this.wrong.flatMap((stage) => reasonsFor(stage));
    return all.filter((reason, place) => all.findIndex(({ code }) => code === reason.code) === place);
  }

  mark(stage: Stage, mark: Mark): void {
    this.marks = { ...this.marks, [stage]: mark };
    this.reasons = this.reasons.filter((code) => this.offered.some((reason) => reason.code === code));
  }

  /** Whatever was not found wrong is right. */
  acquit(): void {
    for (const stage of LABELLING) if (this.marks[stage] !== "wrong") this.mark(stage, "right");
  }

  toggle(code: string): void {
    this.reasons = this.reasons.includes(code) ? this.reasons.filter((each) => each !== code) : [...this.reasons, code];
  }

  /** As it is kept while it is not sent. */
  get words(): AuditWords {
    return { marks: this.marks, reasons: this.reasons, comment: this.comment };
  }

  /** As a review says it: the image goes back to the first stage that is wrong. */
  get result(): Verdict {
    const blame = this.wrong[0] ?? null;
    return { score: blame ? (SCORES[blame] ?? 1) : MATCH, blame, reasons: this.reasons, comment: this.comment };
  }
}
