// The screens of the stages: each is fetched with the first task that needs it, before that is at hand.

import type { Component } from "svelte";
import type { Task } from "../api/types";
import type { Desk, Held } from "./desk.svelte";

type Bench = Component<{ desk: Desk; held: Held }>;
type Kind = "segmentation" | "attributes" | "styles" | "review" | "audit";

const LOADERS: Readonly<Record<Kind, () => Promise<{ default: Bench }>>> = {
  segmentation: () => import("../segmentation/SegmentationTask.svelte"),
  attributes: () => import("../attributes/AttributesTask.svelte"),
  styles: () => import("../styles/StylesTask.svelte"),
  review: () => import("../review/ReviewTask.svelte"),
  audit: () => import("../review/AuditTask.svelte"),
};

let loaded = $state.raw<Readonly<Partial<Record<Kind, Bench>>>>({});

function kindOf({ stage, cause, purpose }: Task): Kind {
  if (purpose === "audit") return "audit";
  if (stage === "segmentation" || stage === "attributes") return stage;
  return stage === "styles" || cause === "styles" ? "styles" : "review";
}

/** The screen for a task, once it is there. */
export function benchFor(task: Task): Bench | undefined {
  return loaded[kindOf(task)];
}

/** Fetch the screen for a task. Without a server it is tried again with the next task. */
export async function prepare(task: Task): Promise<void> {
  const kind = kindOf(task);
  if (loaded[kind]) return;
  const found = await LOADERS[kind]().catch(() => null);
  if (found) loaded = { ...loaded, [kind]: found.default };
}
