// One person's desk: the task at hand, the next ones with their pictures ready, leases kept, answers sent behind.

import { answered, api, ask, Problem, type Schemas, serverNow } from "../api/client";
import type { Lease, Stage, Task } from "../api/types";
import { Keepsakes } from "../lib/keepsakes";
import { recognise, session } from "../lib/session.svelte";
import { prepare } from "./benches.svelte";
import { type Kind, type Letter, Outbox } from "./outbox.svelte";

/** The task at hand and two ahead: what one person may hold. */
const AT_ONCE = 3;
const DRAFT_AFTER_MS = 300;
/** The server is told less often than this browser. */
const DRAFT_SENT_AFTER_MS = 5000;
/** Drafts that nobody came back to. */
const DRAFT_KEPT_MS = 14 * 86_400_000;
const TICK_MS = 1000;
const MOST_BETWEEN_BEATS_MS = 120_000;
/** Somebody who has touched nothing for so long has gone; their leases may run out. */
const PRESENT_MS = 15 * 60_000;
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

interface Draft {
  readonly taskId: number;
  readonly at: number;
  readonly value: unknown;
}

/** What the server keeps: candidates come with the claim alone, so another browser finds them here. */
interface SentDraft {
  readonly value: unknown;
  readonly candidates: Task["candidates"];
}

/** A task on the desk. */
export class Held {
  expiresAt = $state(0);
  /** Why it is no longer ours: `lease_lost`, `superseded`; null while it is. */
  lost = $state<string | null>(null);
  /** What the server found wrong with the answer, by path. */
  errors = $state.raw<Readonly<Record<string, readonly string[]>>>({});
  draft: unknown = undefined;
  spentMs = 0;
  beatAt = 0;
  readonly picture: HTMLImageElement;
  readonly ready: Promise<void>;
  readonly #leaseMs: number;

  constructor(readonly task: Task) {
    this.expiresAt = Date.parse(task.lease.expires_at);
    this.#leaseMs = this.expiresAt - serverNow();
    this.#planBeat();
    this.picture = new Image();
    this.picture.src = task.image.url;
    this.picture.decoding = "sync";
    this.ready = this.picture.decode().catch(() => {});
  }

  extended(expires: string): void {
    this.expiresAt = Date.parse(expires);
    this.#planBeat();
  }

  #planBeat(): void {
    this.beatAt = serverNow() + Math.min(Math.max(this.#leaseMs / 3, TICK_MS), MOST_BETWEEN_BEATS_MS);
  }
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
  #filling = false;
  #sent = new Map<string, Held>();
  #draftTimer: ReturnType<typeof setTimeout> | undefined;
  #unsavedDraft: (() => Promise<void>) | null = null;
  #sendTimer: ReturnType<typeof setTimeout> | undefined;
  #unsentDraft: (() => Promise<unknown>) | null = null;
  #ticker: ReturnType<typeof setInterval> | undefined;
  #tickedAt = performance.now();
  #touchedAt = Date.now();
  #noticed = 0;
  /** Lets another tab have the desk. */
  #makeRoom: () => void = () => {};

  constructor(userId: number) {
    this.keepsakes = new Keepsakes(userId);
    this.outbox = new Outbox(this.keepsakes, {
      taken: (letter) => this.#taken(letter),
      refused: (letter, problem) => void this.#refused(letter, problem),
    });
    for (const kind of ["pointerdown", "keydown", "wheel"]) {
      addEventListener(kind, () => (this.#touchedAt = Date.now()), { passive: true });
    }
    const leave = () => {
      void this.saveDraftNow();
      void this.#sendDraftNow();
    };
    addEventListener("pagehide", leave);
    document.addEventListener("visibilitychange", () => document.hidden && leave());
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

  /** Sit down at the desk: take up what was left, then fetch work. `steal`: from another tab. */
  async open(steal = false): Promise<void> {
    if (this.opened) return;
    this.elsewhere = !(await this.#alone(steal));
    if (this.elsewhere) return;
    this.opened = true;
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    await this.#forgetOldDrafts();
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
    await this.saveDraftNow();
    this.opened = false;
    for (const held of this.tasks) if (held.draft === undefined) this.#giveBack(held);
    this.tasks = [];
    clearInterval(this.#ticker);
    const patience = Date.now() + 3000;
    while (this.unsent && Date.now() < patience) await new Promise((resolve) => setTimeout(resolve, 50));
    this.#makeRoom();
  }

  /** Answer the task at hand; the next one is there at once. */
  answer(kind: Exclude<Kind, "release">, body: Readonly<Record<string, unknown>>): void {
    const held = this.current;
    if (!held || held.lost) return;
    void this.saveDraftNow();
    this.#unsentDraft = null;
    clearTimeout(this.#sendTimer);
    this.#measure();
    const seconds = Math.round(held.spentMs / 100) / 10;
    this.#post(held, kind, { ...body, seconds });
    this.tasks = this.tasks.slice(1);
  }

  /** Pass the task at hand on to somebody else. */
  skip(reason: string): void {
    const held = this.current;
    if (!held) return;
    clearTimeout(this.#draftTimer);
    clearTimeout(this.#sendTimer);
    this.#unsavedDraft = this.#unsentDraft = null;
    void this.keepsakes.drop(draftKey(held.task));
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
    held.draft = value;
    this.#unsavedDraft = async () => {
      const draft: Draft = { taskId: held.task.id, at: Date.now(), value };
      await this.keepsakes.put(draftKey(held.task), draft);
    };
    clearTimeout(this.#draftTimer);
    this.#draftTimer = setTimeout(() => void this.saveDraftNow(), DRAFT_AFTER_MS);
    if (!this.#unsentDraft) this.#sendTimer = setTimeout(() => void this.#sendDraftNow(), DRAFT_SENT_AFTER_MS);
    this.#unsentDraft = () => sendDraft(held);
  }

  async saveDraftNow(): Promise<void> {
    clearTimeout(this.#draftTimer);
    const save = this.#unsavedDraft;
    this.#unsavedDraft = null;
    await save?.();
  }

  async #sendDraftNow(): Promise<void> {
    clearTimeout(this.#sendTimer);
    const send = this.#unsentDraft;
    this.#unsentDraft = null;
    await send?.();
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
      while (this.tasks.length + this.unsent < AT_ONCE) if (!(await this.#claim())) break;
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
    const draft = (await this.keepsakes.take<Draft>(draftKey(task))) ?? sent;
    if (draft?.taskId === task.id) {
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

  async #forgetOldDrafts(): Promise<void> {
    const drafts = await this.keepsakes.pairs<Draft>("draft:");
    for (const [key, { at }] of drafts) if (Date.now() - at > DRAFT_KEPT_MS) await this.keepsakes.drop(key);
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
    void this.keepsakes.drop(taskKey(letter.taskId));
    if (letter.kind !== "release") {
      void this.keepsakes.drop(`draft:${letter.stage}:${letter.imageId}`);
      this.done += 1;
    }
    void this.fill();
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
    held.draft = (await this.keepsakes.take<Draft>(draftKey(task)))?.value;
    return held;
  }

  #notice(what: Notice["what"], code: string, imageId: number): void {
    this.notices = [...this.notices.slice(-3), { id: ++this.#noticed, what, code, imageId }];
  }

  #tick(): void {
    this.#measure();
    if (this.idle && Date.now() >= this.idle.until) void this.fill();
    if (Date.now() - this.#touchedAt > PRESENT_MS) return;
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

  /** Whether this is the only tab that fetches work; two would take each other's tasks. */
  #alone(steal: boolean): Promise<boolean> {
    if (!navigator.locks) return Promise.resolve(true);
    const name = `crowd-desk-${session.me?.id}`;
    return new Promise((resolve) => {
      navigator.locks
        .request(name, steal ? { steal } : { ifAvailable: true }, (lock) => {
          resolve(lock !== null);
          return lock ? new Promise<void>((leave) => (this.#makeRoom = leave)) : undefined;
        })
        .catch(() => this.#robbed());
    });
  }

  #robbed(): void {
    void this.saveDraftNow();
    clearInterval(this.#ticker);
    this.tasks = [];
    this.opened = false;
    this.elsewhere = true;
  }
}

/** Keep a task's lease; the refusal's code where it is lost, else null. */
export async function beat(held: Held): Promise<string | null> {
  const { id, lease } = held.task;
  held.beatAt = serverNow() + LONGEST_TICK_MS;
  try {
    const answer = await ask(
      api.POST("/api/v1/tasks/{task_id}/heartbeat", {
        params: { path: { task_id: id } },
        body: { token: lease.token },
      }),
    );
    if (answer.lease) held.extended(answer.lease.expires_at);
  } catch (problem) {
    if (problem instanceof Problem && !problem.passing && problem.status !== 401) return problem.code;
  }
  return null;
}

async function sendDraft({ task, draft, lost }: Held): Promise<void> {
  if (lost) return;
  const body: SentDraft = { value: draft, candidates: task.candidates };
  await ask(
    api.PUT("/api/v1/tasks/{task_id}/draft", {
      params: { path: { task_id: task.id } },
      body: { token: task.lease.token, body: body as never },
      keepalive: true,
    }),
  ).catch(() => {});
}

function taskKey(id: number): string {
  return `task:${id}`;
}

/** The task with what the server tells of it beside it. */
function purposed(task: Task, { headers }: Response): Task {
  return headers.get("Task-Purpose") === "audit" ? { ...task, purpose: "audit" } : task;
}

function draftKey(task: Task): string {
  return `draft:${task.stage}:${task.image.id}`;
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
