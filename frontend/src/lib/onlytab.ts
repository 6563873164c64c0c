// One tab at a time: two that do the same work would take each other's tasks.

export class OnlyTab {
  #makeRoom: () => void = () => {};

  /** `robbed` is called when another tab has taken over. */
  constructor(
    readonly name: string,
    readonly robbed: () => void,
  ) {}

  /** Whether this is the tab now; `steal`: whichever had it before. */
  take(steal: boolean): Promise<boolean> {
    if (!navigator.locks) return Promise.resolve(true);
    return new Promise((resolve) => {
      navigator.locks
        .request(this.name, steal ? { steal } : { ifAvailable: true }, (lock) => {
          resolve(lock !== null);
          return lock ? new Promise<void>((leave) => (this.#makeRoom = leave)) : undefined;
        })
        .catch(() => this.robbed());
    });
  }

  /** Let another tab have it. */
  leave(): void {
    this.#makeRoom();
  }
}
