// Whether somebody is there: leases are kept for people, not for a tab that was left open.

/** Somebody who has touched nothing for so long has gone; their leases may run out. */
const PRESENT_MS = 15 * 60_000;

let touchedAt = Date.now();
// On the way down: windows over the page keep what happens in them to themselves.
for (const kind of ["pointerdown", "keydown", "wheel"]) {
  addEventListener(kind, () => (touchedAt = Date.now()), { passive: true, capture: true });
}

export function present(): boolean {
  return Date.now() - touchedAt <= PRESENT_MS;
}
