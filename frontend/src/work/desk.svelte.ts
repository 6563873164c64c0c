// One person's desk: the task at hand, the next ones with their pictures ready, leases kept, answers sent behind.

import { answered, api, Problem, type Schemas, serverNow } from "../api/client";
import type { Lease, Stage, Task } from "../api/types";
import { Keepsakes } from "../lib/keepsakes";
import { OnlyTab } from "../lib/onlytab";
import { present } from "../lib/presence";
import { recognise, session } from "../lib/session.svelte";
import { prepare } from "./benches.svelte";
import { type Draft, Drafts, type SentDraft } from "./drafts";
import { beat, Held } from "./held.svelte";
import { type Kind, type Letter, Outbox, type Receiver } from "./outbox.svelte";

export { beat, Held };

/** The task at hand and two ahead: what one person may hold. */
const AT_ONCE = 3;
const TICK_MS = 1000;
const LONGEST_TICK_MS = 5000;

export type QueueState = "capped" | "leased" | "paused" | "empty";

export interface Idle {
  readonly why: QueueState | "unreachable" | "refused";
  readonly until: number;
  readonly problem?: Problem;
}

export interface Notice {
  readonly id: number;
  readonly what: "restored" | "not_taken" | "back";
  readonly code: string;
  readonly imageId: number;
}

/** The grid, where second reviews lie beside the desk: what it sent goes out with everything else. */
export interface Side extends Receiver {
  leave(): Promise<void>;
}

/** What the screens of the stages ask of whoever hands them their tasks. */
export interface Desk {
  /** Whether these are lessons or questions of an exam: nothing is passed on, and nobody is talked to. */
  readonly learning: boolean;
  answer(kind: Exclude<Kind, "release">, body: Readonly<Record<string, unknown>>): void;
  skip(reason: string): void;
  letGo(): void;
  keepDraft(held: Held, value: unknown): void;
}

export class WorkDesk implements Desk {
  readonly learning = false;
  tasks = $state.raw<readonly Held[]>([]);
  idle = $state.raw<Idle | null>(null);
  notices = $state.raw<readonly Notice[]>([]);
  /** Whether another tab has the desk. */
  elsewhere = $state(false);
  opened = $state(false);
  done = $state(0);
  stage: Stage | null = null;
  readonly outbox: Outbox;
  readonly keepsakes: Keepsakes;
  readonly drafts: Drafts;
  side: Side | null = null;
  #filling = false;
  #sent = new Map<string, Held>();
  #ticker: ReturnType<typeof setInterval> | undefined;
  #tickedAt = performance.now();
  #noticed = 0;
  readonly #tab: OnlyTab;

  constructor(userId: number) {
    this.keepsakes = new Keepsakes(userId);
    this.drafts = new Drafts(this.keepsakes);
    this.#tab = new OnlyTab(`crowd-desk-${userId}`, () => this.#robbed());
    this.outbox = new Outbox(this.keepsakes, {
      taken: (letter) => this.#taken(letter),
      refused: (letter, problem) => void (letter.inGrid ? this.#refusedInGrid(letter, problem) : this.#refused(letter, problem)),
    });
    addEventListener("online", () => {
      for (const held of this.tasks) held.beatAt = 0;
      void this.fill();
    });
  }

  get current(): Held | null {
    return this.tasks[0] ?? null;
  }

  /** Answers that the server does not have yet. */
  get unsent(): number {
    return this.outbox.letters.length;
  }

  /** How many of the desk's own tasks the server has not heard the end of. */
  get #underway(): number {
    return this.outbox.letters.filter(({ inGrid }) => !inGrid).length;
  }

  /** Sit down at the desk: take up what was left, then fetch work. `steal`: from another tab. */
  async open(steal = false): Promise<void> {
    if (this.opened) return;
    this.elsewhere = !(await this.#tab.take(steal));
    if (this.elsewhere) return;
    this.opened = true;
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    await this.drafts.forgetOld();
    await this.outbox.load();
    await this.resume().catch(() => {});
    await this.fill();
  }

  /** Narrow the work to a stage, or to none. What was fetched ahead for another goes back. */
  narrow(stage: Stage | null): void {
    this.stage = stage;
    this.idle = null;
    const fits = (held: Held) => stage === null || held.task.stage === stage || held.draft !== undefined;
    for (const held of this.tasks) if (!fits(held)) this.#giveBack(held);
    this.tasks = this.tasks.filter(fits);
    if (this.opened) void this.fill();
  }

  /** Get up: give back whatever nobody has begun on, for instance before logging out or learning. */
  async leave(): Promise<void> {
    await Promise.all([this.drafts.saveNow(), this.side?.leave()]);
    this.opened = false;
    for (const held of this.tasks) if (held.draft === undefined) this.#giveBack(held);
    this.tasks = [];
    clearInterval(this.#ticker);
    const patience = Date.now() + 3000;
    while (this.unsent && Date.now() < patience) await new Promise((resolve) => setTimeout(resolve, 50));
    this.#tab.leave();
  }

  /** Answer the task at hand; the next one is there at once. */
  answer(kind: Exclude<Kind, "release">, body: Readonly<Record<string, unknown>>): void {
    const held = this.current;
    if (!held || held.lost) return;
    void this.drafts.settle(held);
    this.#measure();
    const seconds = Math.round(held.spentMs / 100) / 10;
    this.#post(held, kind, { ...body, seconds });
    this.tasks = this.tasks.slice(1);
  }

  /** Pass the task at hand on to somebody else. */
  skip(reason: string): void {
    const held = this.current;
    if (!held) return;
    this.drafts.forget(held);
    this.#post(held, "release", { skip: true, reason });
    this.tasks = this.tasks.slice(1);
  }

  /** Clear away a task that was lost; its draft stays for when it comes back. */
  letGo(): void {
    const held = this.current;
    if (!held) return;
    void this.keepsakes.drop(taskKey(held.task.id));
    this.tasks = this.tasks.slice(1);
    void this.fill();
  }

  /** Keep what has been done so far of a task, a moment later. */
  keepDraft(held: Held, value: unknown): void {
    this.drafts.keep(held, value);
  }

  /** The picture of a task was made anew, as large as before: what is on screen stays. */
  repaint(held: Held, url: string): void {
    held.picture.src = url;
    void this.keepsakes.put(taskKey(held.task.id), { ...held.task, image: { ...held.task.image, url } });
  }

  /** The picture of a task was made anew in another size: the task goes on with it, and with a draft that fits. */
  async renew(held: Held, task: Task, draft: unknown): Promise<void> {
    const fresh = new Held(task);
    fresh.extended(new Date(held.expiresAt).toISOString());
    fresh.spentMs = held.spentMs;
    await fresh.ready;
    await this.keepsakes.put(taskKey(task.id), task);
    this.tasks = this.tasks.map((each) => (each === held ? fresh : each));
    this.keepDraft(fresh, draft);
  }

  dismiss(notice: Notice): void {
    this.notices = this.notices.filter((each) => each !== notice);
  }

  /** Put the tasks that the server says we hold on the desk. */
  async resume(): Promise<void> {
    const me = await recognise();
    const kept = new Map((await this.keepsakes.all<Task>("task:")).map((task) => [task.id, task]));
    const grid = new Set((await this.keepsakes.all<Task>("grid:")).map((task) => task.id));
    const leases = (me?.leases ?? []).filter((lease) => !grid.has(lease.task_id) && !lease.purpose);
    for (const lease of leases) await this.#resumeOne(lease, kept.get(lease.task_id));
    const live = new Set(leases.map((lease) => lease.task_id));
    const waiting = new Set(this.outbox.letters.map((letter) => letter.taskId));
    for (const id of kept.keys()) if (!live.has(id) && !waiting.has(id)) await this.keepsakes.drop(taskKey(id));
  }

  /** Fetch work until enough lies ahead. */
  async fill(): Promise<void> {
    if (this.#filling || !this.opened || this.elsewhere) return;
    this.#filling = true;
    try {
      while (this.tasks.length + this.#underway < AT_ONCE) if (!(await this.#claim())) break;
    } finally {
      this.#filling = false;
    }
  }

  async #claim(): Promise<boolean> {
    const wanted = this.stage;
    try {
      const { data, response } = await answered(
        api.POST("/api/v1/tasks/claim", { body: { stage: wanted } }),
      );
      if (response.status === 204) {
        const pause = Number(response.headers.get("Retry-After")) || 5;
        this.#rest((response.headers.get("Queue-State") as QueueState) ?? "empty", pause);
        return false;
      }
      this.idle = null;
      await this.#put(purposed(data as unknown as Task, response));
      return true;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      this.#rest(problem.passing ? "unreachable" : "refused", problem.retryAfter ?? 3, problem);
      return false;
    }
  }

  #rest(why: Idle["why"], seconds: number, problem?: Problem): void {
    this.idle = { why, until: Date.now() + seconds * 1000, ...(problem ? { problem } : {}) };
  }

  async #put(task: Task, sent?: Draft): Promise<void> {
    const held = new Held(task);
    void this.keepsakes.put(taskKey(task.id), task);
    await prepare(task);
    const draft = (await this.drafts.of(task)) ?? sent;
    if (draft) {
      held.draft = draft.value;
      this.#notice("restored", "", task.image.id);
    }
    this.tasks = [...this.tasks, held];
  }

  async #resumeOne(lease: Lease, kept: Task | undefined): Promise<void> {
    const id = `${lease.task_id}:${lease.token}`;
    if (this.outbox.letters.some((letter) => letter.id === id)) return;
    if (this.tasks.some((held) => held.task.id === lease.task_id)) return;
    if (this.tasks.length >= AT_ONCE) return;
    if (kept?.lease.token === lease.token) {
      await this.#put({ ...kept, lease: { token: lease.token, expires_at: lease.expires_at } });
      return;
    }
    // Claimed in another browser, or the claim's answer got lost.
    const path = { task_id: lease.task_id };
    const { data, response } = await answered(api.GET("/api/v1/tasks/{task_id}", { params: { path } }));
    const { draft, ...task } = data as Schemas["HeldTask"];
    const body = draft?.body as SentDraft | undefined;
    const found = purposed({ ...task, candidates: body?.candidates ?? null } as unknown as Task, response);
    const at = Date.parse(draft?.saved_at ?? "");
    await this.#put(found, body && { taskId: task.id, at, value: body.value });
  }

  #post(held: Held, kind: Kind, body: Readonly<Record<string, unknown>>): void {
    const { id, stage, lease, image } = held.task;
    const letter: Letter = {
      id: `${id}:${lease.token}`,
      kind,
      taskId: id,
      token: lease.token,
      stage,
      imageId: image.id,
      at: Date.now(),
      body,
    };
    this.#sent.set(letter.id, held);
    this.outbox.post(letter);
  }

  #giveBack(held: Held): void {
    this.#post(held, "release", { reason: "" });
  }

  #taken(letter: Letter): void {
    this.#sent.delete(letter.id);
    const key = letter.inGrid ? gridKey : taskKey;
    if (!letter.inGrid || letter.kind !== "release") void this.keepsakes.drop(key(letter.taskId));
    if (letter.kind !== "release") void this.drafts.drop(letter.stage, letter.imageId);
    if (letter.inGrid) this.side?.taken(letter);
    else if (letter.kind !== "release") this.done += 1;
    void this.fill();
  }

  /** The image and its verdict stay kept: the grid says what became of them, now or when it is looked at. */
  #refusedInGrid(letter: Letter, problem: Problem): void {
    if (this.side) this.side.refused(letter, problem);
    else if (letter.kind !== "release") this.#notice("not_taken", problem.code, letter.imageId);
  }

  async #refused(letter: Letter, problem: Problem): Promise<void> {
    const held = this.#sent.get(letter.id);
    this.#sent.delete(letter.id);
    if (letter.kind !== "release" && problem.status === 422) {
      const again = held ?? (await this.#heldAgain(letter));
      if (again) {
        again.errors = problem.errors;
        this.tasks = [again, ...this.tasks];
        this.#notice("back", problem.code, letter.imageId);
        return;
      }
    }
    void this.keepsakes.drop(taskKey(letter.taskId));
    if (letter.kind !== "release") this.#notice("not_taken", problem.code, letter.imageId);
    void this.fill();
  }

  async #heldAgain(letter: Letter): Promise<Held | null> {
    const task = await this.keepsakes.take<Task>(taskKey(letter.taskId));
    if (!task) return null;
    const held = new Held(task);
    held.draft = (await this.drafts.of(task))?.value;
    return held;
  }

  #notice(what: Notice["what"], code: string, imageId: number): void {
    this.notices = [...this.notices.slice(-3), { id: ++this.#noticed, what, code, imageId }];
  }

  #tick(): void {
    this.#measure();
    if (this.idle && Date.now() >= this.idle.until) void this.fill();
    if (!present()) return;
    for (const held of this.tasks) if (!held.lost && serverNow() >= held.beatAt) void this.#beat(held);
  }

  /** Count the time at the task at hand, while the page is looked at. */
  #measure(): void {
    const now = performance.now();
    if (this.current && !document.hidden) {
      this.current.spentMs += Math.min(now - this.#tickedAt, LONGEST_TICK_MS);
    }
    this.#tickedAt = now;
  }

  async #beat(held: Held): Promise<void> {
    const lost = await beat(held);
    if (lost) this.#lose(held, lost);
  }

  #lose(held: Held, code: string): void {
    held.lost = code;
    if (held === this.current) return;
    this.tasks = this.tasks.filter((each) => each !== held);
    void this.keepsakes.drop(taskKey(held.task.id));
    void this.fill();
  }

  #robbed(): void {
    void this.drafts.saveNow();
    clearInterval(this.#ticker);
    this.tasks = [];
    this.opened = false;
    this.elsewhere = true;
  }
}

function taskKey(id: number): string {
  return `task:${id}`;
}

/** The task with what the server tells of it beside it. */
function purposed(task: Task, { headers }: Response): Task {
  return headers.get("Task-Purpose") === "audit" ? { ...task, purpose: "audit" } : task;
}

/** Where the grid keeps an image that it holds. */
export function gridKey(id: number): string {
  return `grid:${id}`;
}

// Seen by the header too, which is there before anybody has sat down.
let desk = $state.raw<WorkDesk | null>(null);

/** The desk of whoever is logged in; it outlasts a look at another page. */
export function myDesk(): WorkDesk {
  desk ??= new WorkDesk(session.me?.id ?? 0);
  return desk;
}

export function deskIfAny(): WorkDesk | null {
  return desk;
}
