// Files on their way to a delivery: two at a time, each with its answer; a lost connection is tried again.

import { api, ask, asForm, Problem, type Schemas } from "../api/client";

const AT_ONCE = 2;
const TRIES = 4;
const PAUSE_MS = 1500;

export interface Sent {
  readonly name: string;
  readonly taken: readonly Schemas["TakenFile"][];
  /** Why the server would not have it. */
  readonly refused: string;
}

export class Upload {
  total = $state(0);
  done = $state(0);
  sent = $state.raw<readonly Sent[]>([]);

  constructor(readonly deliveryId: number) {}

  get running(): boolean {
    return this.done < this.total;
  }

  /** Send them all; whoever adds more meanwhile adds to the same count. */
  async send(files: readonly File[]): Promise<void> {
    this.total += files.length;
    const rest = [...files];
    const hands = Array.from({ length: AT_ONCE }, async () => {
      for (let file = rest.shift(); file; file = rest.shift()) {
        const told = await this.#sendOne(file);
        this.sent = [told, ...this.sent];
        this.done += 1;
      }
    });
    await Promise.all(hands);
  }

  async #sendOne(file: File): Promise<Sent> {
    for (let attempt = 1; ; attempt += 1) {
      const body = new FormData();
      body.append("file", file);
      try {
        const params = { path: { delivery_id: this.deliveryId } };
        const { files } = await ask(api.POST("/api/v1/deliveries/{delivery_id}/files", { params, body: body as never, ...asForm }));
        return { name: file.name, taken: files ?? [], refused: "" };
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        const refused = [problem.message, ...Object.values(problem.errors).flat()].join(" ");
        if (!problem.passing || attempt === TRIES) return { name: file.name, taken: [], refused };
        await new Promise((resolve) => setTimeout(resolve, (problem.retryAfter ?? 0) * 1000 || PAUSE_MS * attempt));
      }
    }
  }
}
