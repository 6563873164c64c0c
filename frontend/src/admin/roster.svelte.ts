// Everybody, every group and every batch, to choose from.

import { api, ask, type Schemas } from "../api/client";

const MOST_PAGES = 25;
const PAGE = 200;

interface Page<T> {
  items?: T[];
  next_cursor?: string | null;
}

/** All pages of a list of moderate length. */
export async function everything<T>(fetchPage: (query: { cursor?: string; limit: number }) => Promise<Page<T>>): Promise<T[]> {
  const found: T[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const { items = [], next_cursor } = await fetchPage({ limit: PAGE, ...(cursor ? { cursor } : {}) });
    found.push(...items);
    if (!next_cursor) break;
    cursor = next_cursor;
  }
  return found;
}

export const everyPerson = (): Promise<Schemas["Worker"][]> =>
  everything((query) => ask(api.GET("/api/v1/workers", { params: { query } }))).then((people) =>
    people.filter((person) => !person.erased).sort((one, other) => (one.username ?? "").localeCompare(other.username ?? "")),
  );

export const everyGroup = (): Promise<Schemas["Group"][]> => everything((query) => ask(api.GET("/api/v1/groups", { params: { query } })));

export const everyBatch = (): Promise<Schemas["Batch"][]> => everything((query) => ask(api.GET("/api/v1/batches", { params: { query } })));
