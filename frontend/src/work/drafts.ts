// What has been done so far of each task: kept in the browser a moment later, and by the server a little after.

import { api, ask } from "../api/client";
import type { Stage, Task } from "../api/types";
import type { Keepsakes } from "../lib/keepsakes";
import type { Leased } from "./held.svelte";

const SAVED_AFTER_MS = 300;
/** The server is told less often than this browser. */
const SENT_AFTER_MS = 5000;
/** Drafts that nobody came back to. */
const KEPT_MS = 14 * 86_400_000;

export interface Draft {
  readonly taskId: number;
  readonly at: number;
  readonly value: unknown;
}

/** What the server keeps: candidates come with the claim alone, so another browser finds them here. */
export interface SentDraft {
  readonly value: unknown;
  readonly candidates: Task["candidates"];
}

export class Drafts {
  readonly #unsaved = new Set<Leased>();
  readonly #unsent = new Set<Leased>();
  #saveTimer: ReturnType<typeof setTimeout> | undefined;
  #sendTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly keepsakes: Keepsakes) {
    const leave = () => {
      void this.saveNow();
      void this.#sendNow();
    };
    addEventListener("pagehide", leave);
    document.addEventListener("visibilitychange", () => document.hidden && leave());
  }

  keep(leased: Leased, value: unknown): void {
    leased.draft = value;
    this.#unsaved.add(leased);
    clearTimeout(this.#saveTimer);
    this.#saveTimer = setTimeout(() => void this.saveNow(), SAVED_AFTER_MS);
    if (!this.#unsent.size) {
      clearTimeout(this.#sendTimer);
      this.#sendTimer = setTimeout(() => void this.#sendNow(), SENT_AFTER_MS);
    }
    this.#unsent.add(leased);
  }

  async saveNow(): Promise<void> {
    clearTimeout(this.#saveTimer);
    const drafts = [...this.#unsaved];
    this.#unsaved.clear();
    await Promise.all(drafts.map((leased) => this.#save(leased)));
  }

  /** It is answered: the draft is kept until the answer has arrived, but the server wants it no more. */
  async settle(leased: Leased): Promise<void> {
    this.#unsent.delete(leased);
    if (this.#unsaved.delete(leased)) await this.#save(leased);
  }

  /** Nothing of it is wanted any more. */
  forget(leased: Leased): void {
    this.#unsaved.delete(leased);
    this.#unsent.delete(leased);
    void this.drop(leased.task.stage, leased.task.image.id);
  }

  drop(stage: Stage, imageId: number): Promise<void> {
    return this.keepsakes.drop(keyOf(stage, imageId));
  }

  /** What this browser has of a task. */
  async of({ id, stage, image }: Task): Promise<Draft | undefined> {
    const draft = await this.keepsakes.take<Draft>(keyOf(stage, image.id));
    return draft?.taskId === id ? draft : undefined;
  }

  async forgetOld(): Promise<void> {
    const drafts = await this.keepsakes.pairs<Draft>("draft:");
    for (const [key, { at }] of drafts) if (Date.now() - at > KEPT_MS) await this.keepsakes.drop(key);
  }

  #save({ task, draft }: Leased): Promise<void> {
    return this.keepsakes.put(keyOf(task.stage, task.image.id), { taskId: task.id, at: Date.now(), value: draft } satisfies Draft);
  }

  async #sendNow(): Promise<void> {
    clearTimeout(this.#sendTimer);
    const drafts = [...this.#unsent];
    this.#unsent.clear();
    await Promise.all(drafts.map(send));
  }
}

async function send({ task, draft, lost }: Leased): Promise<void> {
  if (lost) return;
  const body: SentDraft = { value: draft, candidates: task.candidates };
  const params = { path: { task_id: task.id } };
  const whole = { token: task.lease.token, body: body as never };
  await ask(api.PUT("/api/v1/tasks/{task_id}/draft", { params, body: whole, keepalive: true })).catch(() => {});
}

function keyOf(stage: Stage, imageId: number): string {
  return `draft:${stage}:${imageId}`;
}
