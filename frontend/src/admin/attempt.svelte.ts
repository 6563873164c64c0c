// One try at a time of something the server may refuse; the refusal is kept, to be shown.

import { Problem } from "../api/client";

export class Attempt {
  trouble = $state("");
  busy = $state(false);

  /** Do it; whether it was done. */
  async run(action: () => Promise<unknown>): Promise<boolean> {
    this.trouble = "";
    this.busy = true;
    try {
      await action();
      return true;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      this.trouble = [problem.message, ...Object.values(problem.errors).flat()].join(" ");
      return false;
    } finally {
      this.busy = false;
    }
  }

  /** What a form does when it is sent. */
  sent(action: () => Promise<unknown>): (event: Event) => void {
    return (event) => {
      event.preventDefault();
      void this.run(action);
    };
  }
}
