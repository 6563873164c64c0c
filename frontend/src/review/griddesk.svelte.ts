// The second reviews of the grid: held together, judged in any order, sent together. Answers go out by the desk's outbox.

import { api, ask, Problem, serverNow } from "../api/client";
import type { Task, Verdict } from "../api/types";
import { OnlyTab } from "../lib/onlytab";
import { present } from "../lib/presence";
import { recognise, session } from "../lib/session.svelte";
import { gridKey, myDesk, type Side, type WorkDesk } from "../work/desk.svelte";
import { beat, Leased } from "../work/held.svelte";
import type { Kind, Letter } from "../work/outbox.svelte";
import { VerdictDraft } from "./verdict.svelte";

const AT_ONCE = 24;
const TICK_MS = 1000;
const LONGEST_TICK_MS = 5000;
const AGAIN_AFTER_S = 3;

/** An image of the grid as the browser keeps it. */
interface Kept extends Task {
  readonly spentMs?: number;
}

export class Tile extends Leased {
  readonly verdict: VerdictDraft;
  url = $state("");

  constructor(task: Task, draft?: unknown) {
    super(task);
    this.draft = draft;
    this.url = task.image.url;
    this.verdict = new VerdictDraft(draft as Verdict | undefined);
  }
}

export class GridDesk implements Side {
  tiles = $state.raw<readonly Tile[]>([]);
  /** Whether another tab has the grid. */
  elsewhere = $state(false);
  busy = $state(false);
  /** Why nothing more could be fetched. */
  trouble = $state.raw<Problem | null>(null);
  /** Verdicts that the server has taken. */
  done = $state(0);
  readonly live = $derived(this.tiles.filter(({ lost }) => lost === null));
  readonly lost = $derived(this.tiles.filter(({ lost }) => lost !== null));
  readonly ready = $derived(this.live.filter(({ verdict }) => verdict.wanting === null));
  readonly #tab: OnlyTab;
  #looked = false;
  #opening = false;
  #opened = false;
  #resumed = false;
  #again = Infinity;
  #ticker: ReturnType<typeof setInterval> | undefined;
  #tickedAt = performance.now();
  /** Time at the grid that belongs to no verdict yet. */
  #spentMs = 0;
  readonly #sent = new Map<string, Tile>();

  constructor(readonly desk: WorkDesk) {
    this.#tab = new OnlyTab(`crowd-grid-${session.me?.id}`, () => this.#robbed());
    addEventListener("online", () => {
      for (const tile of this.tiles) tile.beatAt = 0;
      void this.fill();
    });
  }

  /** Somebody looks at the grid: take up what was left, then fetch more. `steal`: from another tab. */
  async open(steal = false): Promise<void> {
    this.#looked = true;
    if (this.#opening) return;
    if (!this.#opened) {
      this.#opening = true;
      this.elsewhere = !(await this.#tab.take(steal));
      this.#opening = false;
      if (this.elsewhere) return;
      this.#opened = true;
      this.desk.side = this;
      this.#tickedAt = performance.now();
      this.#ticker = setInterval(() => this.#tick(), TICK_MS);
      await this.desk.outbox.load();
    }
    await this.fill();
  }

  /** The page is left: what nobody has begun on goes back, the rest stays as it is. */
  async away(): Promise<void> {
    this.#looked = false;
    for (const tile of this.live) if (tile.draft === undefined) this.#giveBack(tile, "");
    this.tiles = this.tiles.filter((tile) => tile.lost !== null || tile.draft !== undefined);
    await this.desk.drafts.saveNow();
  }

  /** Get up, before logging out or learning. */
  async leave(): Promise<void> {
    await this.away();
    this.#close();
    this.#tab.leave();
  }

  /** Fetch images until the grid is full. */
  async fill(): Promise<void> {
    if (this.busy || !this.#opened || !this.#looked) return;
    this.busy = true;
    this.#again = Infinity;
    try {
      if (!this.#resumed) await this.#resume();
      const limit = AT_ONCE - this.live.length;
      if (limit > 0) await this.#claim(limit);
      this.trouble = null;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      this.trouble = problem;
      if (problem.passing) this.#again = Date.now() + (problem.retryAfter ?? AGAIN_AFTER_S) * 1000;
    } finally {
      this.busy = false;
    }
  }

  /** Keep what is said of these images so far; the time since the last verdict was theirs. */
  keep(...judged: readonly Tile[]): void {
    this.#measure();
    for (const tile of judged) {
      tile.spentMs += this.#spentMs / judged.length;
      this.desk.drafts.keep(tile, tile.verdict.result);
      this.#put(tile);
    }
    this.#spentMs = 0;
  }

  /** Every verdict that is whole; what is wanting stays. */
  send(): void {
    const sent = this.ready;
    for (const tile of sent) {
      void this.desk.drafts.settle(tile);
      const seconds = Math.round(tile.spentMs / 100) / 10;
      this.#sent.set(idOf(tile.task), tile);
      this.#post(tile, "submit", { result: tile.verdict.result, seconds });
    }
    this.tiles = this.tiles.filter((tile) => !sent.includes(tile));
    void this.fill();
  }

  /** Pass an image on to somebody else. */
  skip(tile: Tile, reason: string): void {
    this.desk.drafts.forget(tile);
    this.#giveBack(tile, reason, true);
    this.tiles = this.tiles.filter((each) => each !== tile);
    void this.fill();
  }

  /** Clear away what was lost; the verdicts stay for when the images come back. */
  letGo(): void {
    for (const { task } of this.lost) void this.desk.keepsakes.drop(gridKey(task.id));
    this.tiles = this.live;
    void this.fill();
  }

  /** The picture was made anew, as large as before. */
  repaint(tile: Tile, url: string): void {
    tile.url = url;
    this.#put(tile);
  }

  taken({ id, kind }: Letter): void {
    this.#sent.delete(id);
    if (kind === "submit") this.done += 1;
    if (!this.desk.outbox.letters.some(({ inGrid }) => inGrid)) void this.fill();
  }

  refused(letter: Letter, problem: Problem): void {
    if (letter.kind !== "submit") return;
    void this.#backAgain(letter, problem);
  }

  /** What the server does not take lies in the grid again, with its fault or as lost. */
  async #backAgain({ id, taskId }: Letter, problem: Problem): Promise<void> {
    const tile = this.#sent.get(id) ?? (await this.#kept(taskId));
    this.#sent.delete(id);
    if (!tile) return;
    if (problem.status === 422) tile.errors = problem.errors;
    else tile.lost = problem.code;
    this.tiles = [tile, ...this.tiles];
  }

  /** Put back what this browser kept: as long as it is ours, or a verdict on it is to be told of. */
  async #resume(): Promise<void> {
    const me = await recognise();
    if (!me) return;
    const leases = new Map(me.leases.map((lease) => [`${lease.task_id}:${lease.token}`, lease]));
    const waiting = new Set(this.desk.outbox.letters.map(({ id }) => id));
    const kept = await this.desk.keepsakes.all<Kept>("grid:");
    const found: Tile[] = [];
    for (const task of kept.filter((each) => !waiting.has(idOf(each)))) {
      const lease = leases.get(idOf(task));
      const tile = await this.#tileOf(lease ? { ...task, lease: { token: lease.token, expires_at: lease.expires_at } } : task);
      if (!lease) await this.#beat(tile);
      if (tile.lost !== null && tile.draft === undefined) void this.desk.keepsakes.drop(gridKey(task.id));
      else found.push(tile);
    }
    const known = new Set(this.tiles.map(({ task }) => task.id));
    this.tiles = [...this.tiles, ...found.filter(({ task }) => !known.has(task.id))];
    this.#resumed = true;
  }

  async #claim(limit: number): Promise<void> {
    const { tasks } = await ask(api.POST("/api/v1/tasks/claim-batch", { body: { stage: "second_review", limit } }));
    const more = await Promise.all((tasks as unknown as Task[]).map((task) => this.#tileOf(task)));
    // Kept before it is shown: whoever reloads at once finds again what they saw.
    await Promise.all(more.map((tile) => this.#put(tile)));
    if (!this.#looked) for (const tile of more) this.#giveBack(tile, "");
    else this.tiles = [...this.tiles, ...more];
  }

  async #tileOf(task: Kept): Promise<Tile> {
    const tile = new Tile(task, (await this.desk.drafts.of(task))?.value);
    tile.spentMs = task.spentMs ?? 0;
    return tile;
  }

  async #kept(taskId: number): Promise<Tile | null> {
    const task = await this.desk.keepsakes.take<Kept>(gridKey(taskId));
    return task ? this.#tileOf(task) : null;
  }

  #put({ task, url, spentMs }: Tile): Promise<void> {
    const kept: Kept = { ...task, image: { ...task.image, url }, spentMs };
    return this.desk.keepsakes.put(gridKey(task.id), kept);
  }

  #giveBack(tile: Tile, reason: string, skip = false): void {
    void this.desk.keepsakes.drop(gridKey(tile.task.id));
    this.#post(tile, "release", skip ? { skip, reason } : { reason });
  }

  #post({ task }: Tile, kind: Kind, body: Letter["body"]): void {
    const { id: taskId, stage, lease, image } = task;
    this.desk.outbox.post({ id: idOf(task), kind, taskId, token: lease.token, stage, imageId: image.id, at: Date.now(), body, inGrid: true });
  }

  #tick(): void {
    this.#measure();
    if (Date.now() >= this.#again) void this.fill();
    if (!present()) return;
    for (const tile of this.live) if (serverNow() >= tile.beatAt) void this.#beat(tile);
  }

  async #beat(tile: Tile): Promise<void> {
    const lost = await beat(tile);
    if (lost) tile.lost = lost;
  }

  /** Count the time at the grid, while it is looked at. */
  #measure(): void {
    const now = performance.now();
    if (this.#looked && !document.hidden) this.#spentMs += Math.min(now - this.#tickedAt, LONGEST_TICK_MS);
    this.#tickedAt = now;
  }

  #robbed(): void {
    void this.desk.drafts.saveNow();
    this.#close();
    this.elsewhere = true;
  }

  #close(): void {
    clearInterval(this.#ticker);
    this.tiles = [];
    this.#opened = this.#resumed = false;
    this.desk.side = null;
  }
}

function idOf({ id, lease }: Task): string {
  return `${id}:${lease.token}`;
}

let grid: GridDesk | null = null;

/** The grid of whoever is logged in; it outlasts a look at another page. */
export function myGrid(): GridDesk {
  grid ??= new GridDesk(myDesk());
  return grid;
}
