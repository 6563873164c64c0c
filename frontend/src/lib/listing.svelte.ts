// A list that the server gives page by page.

interface Page<T> {
  items?: T[];
  next_cursor?: string | null;
}

export class Listing<T> {
  items = $state.raw<readonly T[]>([]);
  ended = $state(false);
  #cursor: string | undefined;
  #run = 0;

  constructor(readonly fetchPage: (query: { cursor?: string; limit: number }) => Promise<Page<T>>, readonly limit = 50) {}

  /** Fetch the next page. */
  async more(): Promise<void> {
    const run = this.#run;
    const query = { limit: this.limit, ...(this.#cursor ? { cursor: this.#cursor } : {}) };
    const page = await this.fetchPage(query);
    if (run !== this.#run) return;
    this.items = [...this.items, ...(page.items ?? [])];
    this.#cursor = page.next_cursor ?? undefined;
    this.ended = !page.next_cursor;
  }

  /** From the beginning, for instance after a change or with another filter. */
  async restart(): Promise<void> {
    this.#run += 1;
    this.#cursor = undefined;
    const run = this.#run;
    const page = await this.fetchPage({ limit: this.limit });
    if (run !== this.#run) return;
    this.items = page.items ?? [];
    this.#cursor = page.next_cursor ?? undefined;
    this.ended = !page.next_cursor;
  }
}
