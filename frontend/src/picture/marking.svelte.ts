// Marking one rectangle of a picture, by pointer or by a crosshair that the arrow keys move.

import type { Box, Point } from "../api/types";
import type { Hand } from "./Picture.svelte";

const STEP = 4;
/** Less than that is a slip of the hand. */
const LEAST_SIDE = 4;

export class Marking {
  /** Whether a rectangle is being marked. */
  on = $state(false);
  /** The crosshair. */
  at = $state.raw<Point | null>(null);
  /** The rectangle while it is drawn. */
  box = $state.raw<Box | null>(null);
  /** The rectangle that was marked. */
  marked = $state.raw<Box | null>(null);
  #from: Point | null = null;

  constructor(
    readonly width: number,
    readonly height: number,
  ) {}

  begin(): void {
    this.end();
    this.on = true;
  }

  end(): void {
    this.on = false;
    this.at = this.box = this.marked = this.#from = null;
  }

  /** Move the crosshair by steps; `fast` by ten times as far. */
  move(dx: number, dy: number, fast: boolean): void {
    const [x, y] = this.at ?? this.#middle;
    const far = STEP * (fast ? 10 : 1);
    this.at = this.#inside([x + dx * far, y + dy * far]);
    this.#stretch(this.at);
  }

  /** The first corner, then the opposite one, at the crosshair. */
  place(): void {
    this.at ??= this.#middle;
    if (this.#from) this.#done();
    else this.#from = this.at;
  }

  readonly hand: Hand = {
    press: (at) => {
      if (!this.on) return false;
      this.#from = this.#inside(at);
      return true;
    },
    drag: (at) => this.#stretch(this.#inside(at)),
    lift: () => this.#done(),
    tap: () => {},
    hover: (at) => {
      if (this.on && !this.#from) this.at = at && this.#inside(at);
    },
    cancel: () => {
      this.#from = this.box = null;
    },
  };

  get #middle(): Point {
    return [Math.round(this.width / 2), Math.round(this.height / 2)];
  }

  #inside([x, y]: Point): Point {
    return [Math.min(Math.max(Math.round(x), 0), this.width), Math.min(Math.max(Math.round(y), 0), this.height)];
  }

  #stretch([x, y]: Point): void {
    if (!this.#from) return;
    const [left, top] = this.#from;
    this.box = [Math.min(left, x), Math.min(top, y), Math.abs(x - left), Math.abs(y - top)];
  }

  #done(): void {
    const { box } = this;
    this.#from = this.box = null;
    if (box && box[2] >= LEAST_SIDE && box[3] >= LEAST_SIDE) this.marked = box;
  }
}
