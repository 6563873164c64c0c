// One key for each reason, in the order of the keyboard's rows.

const CODES = [..."QWERTYUIOPASDFGHJKL"];

export interface Keyed<T> {
  readonly what: T;
  readonly key: string;
  readonly code: string;
}

export function keyed<T>(things: readonly T[]): readonly Keyed<T>[] {
  return things.map((what, index) => ({ what, key: CODES[index] ?? "", code: `Key${CODES[index] ?? ""}` }));
}
