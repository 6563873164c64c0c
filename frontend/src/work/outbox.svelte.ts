// Answers on their way: kept in the browser until the server has said that it has them.

import { api, ask, Problem } from "../api/client";
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
}

export interface Receiver {
  /** The server has it. */
  taken(letter: Letter): void;
  /** The server will never take it. */
  refused(letter: Letter, problem: Problem): void;
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

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
    for (let letter = this.letters[0]; letter; letter = this.letters[0]) {
      const problem = await this.#send(letter);
      this.unreachable = problem?.status === 0;
      if (problem && (problem.passing || problem.status === 401 || problem.code === "csrf")) {
        await this.#rest(problem);
        continue;
      }
      this.#pause = FIRST_PAUSE_MS;
      this.letters = this.letters.slice(1);
      await this.keepsakes.drop(`letter:${letter.id}`);
      if (problem) this.receiver.refused(letter, problem);
      else this.receiver.taken(letter);
    }
    this.#working = false;
  }

  async #send({ kind, taskId, token, body }: Letter): Promise<Problem | null> {
    const params = { path: { task_id: taskId } };
    const whole = { token, ...body } as never;
    try {
      if (kind === "submit") await ask(api.POST("/api/v1/tasks/{task_id}/submit", { params, body: whole }));
      else if (kind === "send-back") await ask(api.POST("/api/v1/tasks/{task_id}/send-back", { params, body: whole }));
      else await ask(api.POST("/api/v1/tasks/{task_id}/release", { params, body: whole }));
      return null;
    } catch (problem) {
      if (problem instanceof Problem) return problem;
      throw problem;
    }
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
