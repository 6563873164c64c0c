// Days as inputs of the browser hold them: "2026-03-02".

const DAY_MS = 86_400_000;

/** The day so many days before today; negative: after. */
export function dayBefore(days: number): string {
  return new Date(Date.now() - days * DAY_MS).toISOString().slice(0, 10);
}

/** The moment at which that day, or that local minute, begins here. */
export function instant(day: string): string {
  return new Date(day.length === 10 ? `${day}T00:00` : day).toISOString();
}
