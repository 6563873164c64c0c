// Of which stages of an image people talk who are at one of them.

import { STAGES, type Stage } from "../api/types";

/** Reviews talk about every stage up to theirs, other work about itself. */
export function talkedOfAt(stage: Stage): readonly Stage[] {
  const place = STAGES.indexOf(stage);
  return place < STAGES.indexOf("first_review") ? [stage] : STAGES.slice(0, place + 1);
}
