// A task that somebody holds: until when, whether it is still theirs, and how far they are with it.

import { api, ask, Problem, serverNow } from "../api/client";
import type { Task } from "../api/types";

const SOONEST_BEAT_MS = 1000;
const MOST_BETWEEN_BEATS_MS = 120_000;
/** What was not answered is asked again after so long. */
const BEAT_AGAIN_MS = 5000;

/** A task with its lease. */
export class Leased {
  expiresAt = $state(0);
  /** Why it is no longer ours: `lease_lost`, `superseded`; null while it is. */
  lost = $state<string | null>(null);
  /** What the server found wrong with the answer, by path. */
  errors = $state.raw<Readonly<Record<string, readonly string[]>>>({});
  draft: unknown = undefined;
  spentMs = 0;
  beatAt = 0;
  readonly #leaseMs: number;

  constructor(readonly task: Task) {
    this.expiresAt = Date.parse(task.lease.expires_at);
    this.#leaseMs = this.expiresAt - serverNow();
    this.#planBeat();
  }

  extended(expires: string): void {
    this.expiresAt = Date.parse(expires);
    this.#planBeat();
  }

  #planBeat(): void {
    this.beatAt = serverNow() + Math.min(Math.max(this.#leaseMs / 3, SOONEST_BEAT_MS), MOST_BETWEEN_BEATS_MS);
  }
}

/** A task on the desk, with its picture ready. */
export class Held extends Leased {
  readonly picture: HTMLImageElement;
  readonly ready: Promise<void>;

  constructor(task: Task) {
    super(task);
    this.picture = new Image();
    this.picture.src = task.image.url;
    this.picture.decoding = "sync";
    this.ready = this.picture.decode().catch(() => {});
  }
}

/** Keep a task's lease, or win it back; the refusal's code where it is lost, else null. */
export async function beat(leased: Leased): Promise<string | null> {
  const { id, lease } = leased.task;
  leased.beatAt = serverNow() + BEAT_AGAIN_MS;
  try {
    const params = { path: { task_id: id } };
    const answer = await ask(api.POST("/api/v1/tasks/{task_id}/heartbeat", { params, body: { token: lease.token } }));
    if (answer.lease) leased.extended(answer.lease.expires_at);
  } catch (problem) {
    if (problem instanceof Problem && !problem.passing && problem.status !== 401) return problem.code;
  }
  return null;
}
