// Which part of an image is in view: how far in, and where.

import type { Point } from "../api/types";

const FURTHEST_IN = 24;
const MARGIN_PX = 12;

export class Viewport {
  /** Screen pixels for each pixel of the image. */
  scale = $state(1);
  /** Where the image's corner lies on the screen, from the corner of the view. */
  x = $state(0);
  y = $state(0);
  width = $state(0);
  height = $state(0);
  #fitted = true;

  constructor(
    readonly imageWidth: number,
    readonly imageHeight: number,
  ) {}

  get box(): string {
    const { x, y, scale, width, height } = this;
    return `${-x / scale} ${-y / scale} ${Math.max(width / scale, 1)} ${Math.max(height / scale, 1)}`;
  }

  get fitScale(): number {
    const across = (this.width - 2 * MARGIN_PX) / this.imageWidth;
    const down = (this.height - 2 * MARGIN_PX) / this.imageHeight;
    return Math.max(Math.min(across, down), 0.05);
  }

  /** The view has another size: what was fitted stays fitted. */
  resize(width: number, height: number): void {
    this.width = width;
    this.height = height;
    if (this.#fitted) this.fit();
  }

  /** Show the whole image. */
  fit(): void {
    this.scale = this.fitScale;
    this.x = (this.width - this.imageWidth * this.scale) / 2;
    this.y = (this.height - this.imageHeight * this.scale) / 2;
    this.#fitted = true;
  }

  /** Show a part of the image, with room around. */
  show([left, top, width, height]: readonly [number, number, number, number]): void {
    const across = this.width / (width * 1.3 + 1);
    const down = this.height / (height * 1.3 + 1);
    this.scale = Math.min(across, down, FURTHEST_IN);
    this.x = this.width / 2 - (left + width / 2) * this.scale;
    this.y = this.height / 2 - (top + height / 2) * this.scale;
    this.#fitted = false;
  }

  /** Zoom by `factor` around a spot of the view. */
  zoom(factor: number, at: Point = [this.width / 2, this.height / 2]): void {
    const wanted = Math.min(Math.max(this.scale * factor, this.fitScale / 2), FURTHEST_IN);
    const real = wanted / this.scale;
    this.x = at[0] - (at[0] - this.x) * real;
    this.y = at[1] - (at[1] - this.y) * real;
    this.scale = wanted;
    this.#fitted = false;
  }

  pan(dx: number, dy: number): void {
    this.x += dx;
    this.y += dy;
    this.#fitted = false;
  }

  /** The spot of the image below a spot of the view. */
  toImage(at: Point): Point {
    return [(at[0] - this.x) / this.scale, (at[1] - this.y) / this.scale];
  }

  /** Bring a spot of the image into view if it lies outside. */
  reveal([x, y]: Point): void {
    const [sx, sy] = [x * this.scale + this.x, y * this.scale + this.y];
    const room = 24;
    this.pan(
      sx < room ? room - sx : sx > this.width - room ? this.width - room - sx : 0,
      sy < room ? room - sy : sy > this.height - room ? this.height - room - sy : 0,
    );
  }
}
