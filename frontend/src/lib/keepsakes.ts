// What this browser keeps of one person's work: tasks at hand, drafts, and answers not yet sent (IndexedDB).

import { createStore, del, entries, get, set, type UseStore } from "idb-keyval";

/** A person's own cupboard; where the browser keeps nothing (private windows), a drawer that lasts as long as the page. */
export class Keepsakes {
  readonly #store: UseStore | null;
  readonly #drawer = new Map<string, unknown>();

  constructor(userId: number) {
    this.#store = typeof indexedDB === "undefined" ? null : createStore(`crowd-${userId}`, "kept");
  }

  async put(key: string, value: unknown): Promise<void> {
    this.#drawer.set(key, value);
    if (this.#store) await set(key, value, this.#store).catch(() => {});
  }

  async take<T>(key: string): Promise<T | undefined> {
    const kept = this.#store ? await get<T>(key, this.#store).catch(() => undefined) : undefined;
    return kept ?? (this.#drawer.get(key) as T | undefined);
  }

  async drop(key: string): Promise<void> {
    this.#drawer.delete(key);
    if (this.#store) await del(key, this.#store).catch(() => {});
  }

  /** Everything whose key begins with `prefix`. */
  async all<T>(prefix: string): Promise<T[]> {
    return (await this.pairs<T>(prefix)).map(([, value]) => value);
  }

  /** The same with their keys. */
  async pairs<T>(prefix: string): Promise<(readonly [string, T])[]> {
    const kept = this.#store ? await entries<string, T>(this.#store).catch(() => []) : [];
    const found = new Map<string, T>([...(this.#drawer as Map<string, T>), ...kept]);
    return [...found].filter(([key]) => key.startsWith(prefix));
  }
}
