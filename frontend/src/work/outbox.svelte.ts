// Answers on their way: kept in the browser until the server has said that it has them.

import { api, ask, Problem, type Schemas } from "../api/client";
import type { Stage } from "../api/types";
import type { Keepsakes } from "../lib/keepsakes";

export type Kind = "submit" | "send-back" | "release";

/** An answer to one task. Sent again it does no harm: the first one stands. */
export interface Letter {
  readonly id: string;
  readonly kind: Kind;
  readonly taskId: number;
  readonly token: number;
  readonly stage: Stage;
  readonly imageId: number;
  readonly at: number;
  readonly body: Readonly<Record<string, unknown>>;
  /** Of the grid: what was sent together there goes in one request. */
  readonly inGrid?: boolean;
}

export interface Receiver {
  /** The server has it. */
  taken(letter: Letter): void;
  /** The server will never take it. */
  refused(letter: Letter, problem: Problem): void;
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
/** As many as the server takes at once. */
const MOST_TOGETHER = 200;

export class Outbox {
  letters = $state.raw<readonly Letter[]>([]);
  /** Whether the last try found no server. */
  unreachable = $state(false);
  #working = false;
  #pause = FIRST_PAUSE_MS;
  #wake: () => void = () => {};

  constructor(
    readonly keepsakes: Keepsakes,
    readonly receiver: Receiver,
  ) {
    addEventListener("online", () => this.#wake());
  }

  /** Take up what was left when the page was closed. */
  async load(): Promise<void> {
    const kept = await this.keepsakes.all<Letter>("letter:");
    const known = new Set(this.letters.map((letter) => letter.id));
    const found = kept.filter((letter) => !known.has(letter.id)).sort((one, other) => one.at - other.at);
    this.letters = [...found, ...this.letters];
    void this.#work();
  }

  /** Kept at once, sent as soon as it can be. */
  post(letter: Letter): void {
    this.letters = [...this.letters, letter];
    void this.keepsakes.put(`letter:${letter.id}`, letter).then(() => this.#work());
  }

  /** Try again now. */
  hurry(): void {
    this.#wake();
  }

  async #work(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    for (let sent = this.#next(); sent.length; sent = this.#next()) {
      const problems = await this.#send(sent);
      this.unreachable = problems.some((problem) => problem?.status === 0);
      for (const [place, problem] of problems.entries()) {
        const letter = sent[place];
        if (letter && !(problem && isLater(problem))) await this.#settle(letter, problem);
      }
      const later = problems.find((problem) => problem && isLater(problem));
      if (later) await this.#rest(later);
    }
    this.#working = false;
  }

  /** The first letter, with those behind it that may go in the same request. */
  #next(): readonly Letter[] {
    const other = this.letters.findIndex((letter) => !isOfGrid(letter));
    const together = other < 0 ? this.letters.length : other;
    return this.letters.slice(0, Math.min(Math.max(together, 1), MOST_TOGETHER));
  }

  async #settle(letter: Letter, problem: Problem | null): Promise<void> {
    this.#pause = FIRST_PAUSE_MS;
    this.letters = this.letters.filter((each) => each !== letter);
    await this.keepsakes.drop(`letter:${letter.id}`);
    if (problem) this.receiver.refused(letter, problem);
    else this.receiver.taken(letter);
  }

  /** What the server said of each that it was asked about, from the first on. */
  async #send(letters: readonly Letter[]): Promise<readonly (Problem | null)[]> {
    const [first] = letters;
    if (!first) return [];
    if (letters.length === 1) return [await tried(sendOne(first))];
    let outcomes: readonly Schemas["Outcome"][] = [];
    const refused = await tried(sendTogether(letters).then((found) => (outcomes = found)));
    // One that no server can read must not hold up the others.
    if (refused && !isLater(refused)) return [await tried(sendOne(first))];
    if (refused) return letters.map(() => refused);
    return outcomes.map(({ status, code, errors }) => (status === 200 ? null : new Problem(status, code ?? "unknown", "", errors)));
  }

  async #rest(problem: Problem): Promise<void> {
    const wait = (problem.retryAfter ?? 0) * 1000 || this.#pause;
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, wait);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    // A session begun in another tab has another token; any reading request hands it out.
    if (problem.code === "csrf") await ask(api.GET("/api/v1/me")).catch(() => {});
  }
}

function isOfGrid({ inGrid, kind }: Letter): boolean {
  return inGrid === true && kind === "submit";
}

/** Whether the same letter may well be taken later. */
function isLater(problem: Problem): boolean {
  return problem.passing || problem.status === 401 || problem.code === "csrf";
}

async function tried(asked: Promise<unknown>): Promise<Problem | null> {
  try {
    await asked;
    return null;
  } catch (problem) {
    if (problem instanceof Problem) return problem;
    throw problem;
  }
}

function sendOne({ kind, taskId, token, body }: Letter): Promise<unknown> {
  const params = { path: { task_id: taskId } };
  const whole = { token, ...body } as never;
  if (kind === "submit") return ask(api.POST("/api/v1/tasks/{task_id}/submit", { params, body: whole }));
  if (kind === "send-back") return ask(api.POST("/api/v1/tasks/{task_id}/send-back", { params, body: whole }));
  return ask(api.POST("/api/v1/tasks/{task_id}/release", { params, body: whole }));
}

async function sendTogether(letters: readonly Letter[]): Promise<readonly Schemas["Outcome"][]> {
  const answers = letters.map(({ taskId, token, body }) => ({ task_id: taskId, token, ...body }));
  return (await ask(api.POST("/api/v1/tasks/submit-batch", { body: { answers } as never }))).outcomes;
}
