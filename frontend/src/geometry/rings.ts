// Outlines of garments: rings of points in the image's pixels. Pure; knows neither screen nor task.

import type { Box, Point, Ring } from "../api/types";

/** Tenths of a pixel: finer than anybody draws. */
export function rounded([x, y]: Point): Point {
  return [Math.round(x * 10) / 10, Math.round(y * 10) / 10];
}

export function clamped([x, y]: Point, width: number, height: number): Point {
  return [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
}

export function distance(one: Point, other: Point): number {
  return Math.hypot(one[0] - other[0], one[1] - other[1]);
}

const paths = new WeakMap<readonly Ring[], string>();

/** The rings as the `d` of an SVG path; kept, for rings are never changed. */
export function pathOf(rings: readonly Ring[]): string {
  let path = paths.get(rings);
  if (path === undefined) {
    path = rings.map((ring) => `M${ring.map(([x, y]) => `${x} ${y}`).join("L")}Z`).join("");
    paths.set(rings, path);
  }
  return path;
}

export function boundsOf(rings: readonly Ring[]): Box {
  const points = rings.flat();
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  return [left, top, Math.max(...xs) - left, Math.max(...ys) - top];
}

/** The middle of the upper edge of the bounds: where a name goes. */
export function topOf(rings: readonly Ring[]): Point {
  const [left, top, width] = boundsOf(rings);
  return [left + width / 2, top];
}

export function areaOf(ring: Ring): number {
  let twice = 0;
  eachEdge(ring, ([ax, ay], [bx, by]) => (twice += ax * by - bx * ay));
  return Math.abs(twice) / 2;
}

export function isInside(point: Point, rings: readonly Ring[]): boolean {
  return rings.some((ring) => {
    let inside = false;
    eachEdge(ring, ([ax, ay], [bx, by]) => {
      if (ay > point[1] !== by > point[1] && point[0] < ((bx - ax) * (point[1] - ay)) / (by - ay) + ax) {
        inside = !inside;
      }
    });
    return inside;
  });
}

export interface Spot {
  readonly at: Point;
  readonly far: number;
}

/** The point of the segment a–b that is nearest. */
export function nearestOn(point: Point, a: Point, b: Point): Spot {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const length = dx * dx + dy * dy;
  const along = length ? ((point[0] - a[0]) * dx + (point[1] - a[1]) * dy) / length : 0;
  const share = Math.min(Math.max(along, 0), 1);
  const at: Point = [a[0] + share * dx, a[1] + share * dy];
  return { at, far: distance(point, at) };
}

export interface Corner {
  readonly ring: number;
  readonly index: number;
}

/** The corner nearest to a point, if one is near enough. */
export function cornerNear(point: Point, rings: readonly Ring[], reach: number): Corner | null {
  let best: Corner | null = null;
  let least = reach;
  rings.forEach((points, ring) =>
    points.forEach((corner, index) => {
      const far = distance(point, corner);
      if (far <= least) [best, least] = [{ ring, index }, far];
    }),
  );
  return best;
}

/** The edge nearest to a point, if one is near enough: a new corner belongs before `index`. */
export function edgeNear(point: Point, rings: readonly Ring[], reach: number): (Corner & { at: Point }) | null {
  let best: (Corner & { at: Point }) | null = null;
  let least = reach;
  rings.forEach((points, ring) =>
    eachEdge(points, (a, b, index) => {
      const { at, far } = nearestOn(point, a, b);
      if (far <= least) [best, least] = [{ ring, index: index + 1, at }, far];
    }),
  );
  return best;
}

/** Where a point goes so that shared borders meet: onto a corner near by, else onto an edge, else it stays. */
export function snapped(point: Point, others: readonly (readonly Ring[])[], reach: number): Point {
  for (const rings of others) {
    const corner = cornerNear(point, rings, reach);
    const found = corner && rings[corner.ring]?.[corner.index];
    if (found) return found;
  }
  let best = point;
  let least = reach;
  for (const rings of others) {
    const edge = edgeNear(point, rings, least);
    if (edge) [best, least] = [edge.at, distance(point, edge.at)];
  }
  return best;
}

/** Rings moved together, as far as the image lets them. */
export function moved(rings: readonly Ring[], dx: number, dy: number, width: number, height: number): readonly Ring[] {
  const [left, top, wide, high] = boundsOf(rings);
  const x = Math.min(Math.max(dx, -left), width - left - wide);
  const y = Math.min(Math.max(dy, -top), height - top - high);
  return rings.map((ring) => ring.map(([px, py]) => rounded([px + x, py + y])));
}

/** Where a ring crosses or touches itself; null if it does not. */
export function crossing(whole: Ring): Point | null {
  // A point given twice in a row is no fault.
  const ring = whole.filter((point, index) => distance(point, whole.at(index - 1) as Point) > 0);
  const count = ring.length;
  for (let i = 0; i < count; i++) {
    const [a, b, c] = [ring[i], ring[(i + 1) % count], ring[(i + 2) % count]] as [Point, Point, Point];
    if (isSpike(a, b, c)) return b;
    for (let j = i + 2; j < count; j++) {
      if (i === 0 && j === count - 1) continue;
      const [d, e] = [ring[j], ring[(j + 1) % count]] as [Point, Point];
      if (meet(a, b, d, e)) return meetingPoint(a, b, d, e);
    }
  }
  return null;
}

export type RingFault = "few_points" | "crosses" | "no_area";

/** What is wrong with a ring; null if nothing. */
export function faultOf(ring: Ring): RingFault | null {
  if (new Set(ring.map(String)).size < 3) return "few_points";
  if (crossing(ring)) return "crosses";
  return areaOf(ring) < 1 ? "no_area" : null;
}

function eachEdge(ring: Ring, visit: (a: Point, b: Point, index: number) => void): void {
  ring.forEach((a, index) => visit(a, ring[(index + 1) % ring.length] as Point, index));
}

function turn(a: Point, b: Point, c: Point): number {
  return Math.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]));
}

function isSpike(a: Point, b: Point, c: Point): boolean {
  return turn(a, b, c) === 0 && (b[0] - a[0]) * (c[0] - b[0]) + (b[1] - a[1]) * (c[1] - b[1]) < 0;
}

function isOn(point: Point, a: Point, b: Point): boolean {
  return (
    Math.min(a[0], b[0]) <= point[0] &&
    point[0] <= Math.max(a[0], b[0]) &&
    Math.min(a[1], b[1]) <= point[1] &&
    point[1] <= Math.max(a[1], b[1])
  );
}

function meet(a: Point, b: Point, c: Point, d: Point): boolean {
  const [abc, abd, cda, cdb] = [turn(a, b, c), turn(a, b, d), turn(c, d, a), turn(c, d, b)];
  if (abc * abd < 0 && cda * cdb < 0) return true;
  return (
    (abc === 0 && isOn(c, a, b)) ||
    (abd === 0 && isOn(d, a, b)) ||
    (cda === 0 && isOn(a, c, d)) ||
    (cdb === 0 && isOn(b, c, d))
  );
}

function meetingPoint(a: Point, b: Point, c: Point, d: Point): Point {
  const across = (b[0] - a[0]) * (d[1] - c[1]) - (b[1] - a[1]) * (d[0] - c[0]);
  if (across === 0) return isOn(c, a, b) ? c : a;
  const share = ((c[0] - a[0]) * (d[1] - c[1]) - (c[1] - a[1]) * (d[0] - c[0])) / across;
  return [a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])];
}

/** The rings as they lie after the picture was cut: moved, and without what is no longer in it. */
export function recut(rings: readonly Ring[], dx: number, dy: number, width: number, height: number): readonly Ring[] {
  return rings
    .map((ring) => {
      const points = ring.map(([x, y]) => rounded(clamped([x + dx, y + dy], width, height)));
      return points.filter((point, index) => distance(point, points.at(index - 1) ?? point) > 0);
    })
    .filter((ring) => !["few_points", "no_area"].includes(faultOf(ring) ?? ""));
}
