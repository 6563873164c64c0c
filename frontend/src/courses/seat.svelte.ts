// A seat of a course or an exam: one task at a time, kept in the browser until its answer has arrived.

import { api, ask, Problem, serverNow } from "../api/client";
import type { Stage, Task } from "../api/types";
import { Keepsakes } from "../lib/keepsakes";
import { recognise, session } from "../lib/session.svelte";
import { prepare } from "../work/benches.svelte";
import { beat, deskIfAny, type Desk, Held } from "../work/desk.svelte";
import { type Kind, type Letter, Outbox } from "../work/outbox.svelte";

type Body = Readonly<Record<string, unknown>>;
type AnswerKind = Exclude<Kind, "release">;

/** What somebody answered, and the task it was about. */
export interface Answered {
  readonly task: Task;
  readonly picture: HTMLImageElement;
  readonly body: Body;
}

interface Kept {
  readonly task: Task;
  readonly draft: unknown;
}

const TICK_MS = 1000;
const DRAFT_AFTER_MS = 300;

export class Seat implements Desk {
  readonly learning = true;
  held = $state.raw<Held | null>(null);
  /** Answers that the server took. */
  done = $state(0);
  /** Why no task can be had, or why an answer was not taken. */
  trouble = $state.raw<Problem | null>(null);
  readonly keepsakes = new Keepsakes(session.me?.id ?? 0);
  readonly outbox: Outbox;
  readonly #took: (answered: Answered) => void;
  #sent: { readonly held: Held; readonly answered: Answered } | null = null;
  #since = 0;
  #draftTimer: ReturnType<typeof setTimeout> | undefined;

  /** `took` is called when the server has an answer. */
  constructor(took: (answered: Answered) => void) {
    this.#took = took;
    this.outbox = new Outbox(this.keepsakes, {
      taken: (letter) => this.#taken(letter),
      refused: (letter, problem) => this.#refused(letter, problem),
    });
  }

  /** Get up from the desk of one's work, and keep this seat's lease; returns what ends that. */
  sit(): () => void {
    void deskIfAny()?.leave();
    const timer = setInterval(() => void this.#keep(), TICK_MS);
    return () => {
      clearInterval(timer);
      void this.#saveDraft();
    };
  }

  /** The practice that was begun before the page was left, if it is still ours. */
  async resumed(stage: Stage): Promise<Task | null> {
    const me = await recognise();
    const lease = me?.leases.find((each) => each.purpose === "practice" && each.stage === stage);
    if (!lease) return null;
    const kept = await this.keepsakes.take<Kept>(keyOf(lease.task_id));
    if (kept?.task.lease.token === lease.token) return kept.task;
    const path = { task_id: lease.task_id };
    const { draft: _, ...task } = await ask(api.GET("/api/v1/tasks/{task_id}", { params: { path } }));
    return { ...task, candidates: null } as unknown as Task;
  }

  /** Put a task before whoever sits here. */
  async put(task: Task): Promise<void> {
    this.trouble = null;
    const held = new Held(task);
    held.draft = (await this.keepsakes.take<Kept>(keyOf(task.id)))?.draft;
    await Promise.all([prepare(task), held.ready]);
    await this.keepsakes.put(keyOf(task.id), { task, draft: held.draft } satisfies Kept);
    this.#since = performance.now();
    this.held = held;
  }

  answer(kind: AnswerKind, body: Body): void {
    const held = this.held;
    if (!held || held.lost) return;
    clearTimeout(this.#draftTimer);
    const { task, picture } = held;
    const seconds = Math.round((performance.now() - this.#since) / 100) / 10;
    this.#sent = { held, answered: { task, picture, body } };
    this.held = null;
    this.outbox.post({
      id: `${task.id}:${task.lease.token}`,
      kind,
      taskId: task.id,
      token: task.lease.token,
      stage: task.stage,
      imageId: task.image.id,
      at: Date.now(),
      body: { ...body, seconds },
    });
  }

  /** Nothing is passed on here. */
  skip(): void {}

  /** Clear away what was lost. */
  letGo(): void {
    const held = this.held;
    if (!held) return;
    void this.keepsakes.drop(keyOf(held.task.id));
    this.held = null;
    this.trouble = new Problem(409, held.lost ?? "lease_lost", "");
  }

  keepDraft(held: Held, value: unknown): void {
    held.draft = value;
    clearTimeout(this.#draftTimer);
    this.#draftTimer = setTimeout(() => void this.#saveDraft(), DRAFT_AFTER_MS);
  }

  async #saveDraft(): Promise<void> {
    const held = this.held;
    if (held) await this.keepsakes.put(keyOf(held.task.id), { task: held.task, draft: held.draft } satisfies Kept);
  }

  async #keep(): Promise<void> {
    const held = this.held;
    if (held && !held.lost && serverNow() >= held.beatAt) held.lost = await beat(held);
  }

  #taken(letter: Letter): void {
    const sent = this.#sent;
    this.#sent = null;
    void this.keepsakes.drop(keyOf(letter.taskId));
    this.done += 1;
    if (sent) this.#took(sent.answered);
  }

  #refused(letter: Letter, problem: Problem): void {
    const sent = this.#sent;
    this.#sent = null;
    if (sent && problem.status === 422) {
      sent.held.errors = problem.errors;
      this.held = sent.held;
      return;
    }
    void this.keepsakes.drop(keyOf(letter.taskId));
    this.trouble = problem;
  }
}

function keyOf(taskId: number): string {
  return `lesson:${taskId}`;
}
