// The keys of a picture that is looked at, and those while something is marked in it.

import type { KeyMap } from "../lib/keys";
import type { Marking } from "./marking.svelte";
import type { Viewport } from "./viewport.svelte";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] } as const;
const CLOSER = 1.3;

export function keysOfLooking(viewport: Viewport): KeyMap {
  return {
    KeyZ: () => viewport.fit(),
    Equal: () => viewport.zoom(CLOSER),
    Minus: () => viewport.zoom(1 / CLOSER),
  };
}

/** These come before all others while `marking` is on. */
export function keysOfMarking(marking: Marking, viewport: Viewport): KeyMap {
  const move = (dx: number, dy: number, fast: boolean) => {
    marking.move(dx, dy, fast);
    if (marking.at) viewport.reveal(marking.at);
  };
  const arrows = Object.entries(ARROWS).flatMap(([name, [dx, dy]]) => [
    [name, () => move(dx, dy, false)],
    [`Shift+${name}`, () => move(dx, dy, true)],
  ]);
  return {
    ...Object.fromEntries(arrows),
    Space: () => marking.place(),
    Enter: () => marking.place(),
    Escape: () => marking.end(),
  };
}
