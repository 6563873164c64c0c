// Regions while they are drawn: what each tool and key does to them. Knows no pointer, key or server.

import type { Box, Point, Region, Ring } from "../api/types";
import {
  boundsOf,
  clamped,
  type Corner,
  cornerNear,
  distance,
  edgeNear,
  faultOf,
  isInside,
  moved,
  type RingFault,
  rounded,
  snapped,
} from "../geometry/rings";

/** `cover` marks a face: a box that becomes no region. */
export type Tool = "select" | "polygon" | "box" | "cover";

export const MOST_STEPS_BACK = 200;

interface Grip {
  readonly region: string;
  readonly corner: Corner | null;
  readonly from: Point;
}

export class Drawing {
  regions = $state.raw<readonly Region[]>([]);
  selected = $state<string | null>(null);
  corner = $state.raw<Corner | null>(null);
  tool = $state<Tool>("select");
  part = $state("");
  snapping = $state(true);
  /** The ring being drawn. */
  path = $state.raw<readonly Point[]>([]);
  /** The region that the next ring belongs to; null: a new one. */
  into = $state<string | null>(null);
  /** Where the pointer, or the crosshair of the arrow keys, is. */
  at = $state.raw<Point | null>(null);
  /** The rectangle that was marked with the tool `cover`. */
  marked = $state.raw<Box | null>(null);
  /** A region while it is dragged, in place of its own rings. */
  live = $state.raw<{ readonly id: string; readonly rings: readonly Ring[] } | null>(null);
  #past = $state.raw<readonly (readonly Region[])[]>([]);
  #future = $state.raw<readonly (readonly Region[])[]>([]);
  #grip: Grip | null = null;
  #boxFrom: Point | null = null;

  constructor(
    readonly width: number,
    readonly height: number,
    readonly parts: readonly string[],
    readonly changed: () => void,
  ) {
    this.part = parts[0] ?? "";
  }

  get current(): Region | null {
    return this.regions.find((region) => region.id === this.selected) ?? null;
  }

  get canUndo(): boolean {
    return this.#past.length > 0 || this.path.length > 0;
  }

  get canRedo(): boolean {
    return this.#future.length > 0;
  }

  /** The first fault of any ring. */
  get fault(): { readonly region: Region; readonly ring: number; readonly what: RingFault } | null {
    for (const region of this.regions) {
      for (const [ring, points] of region.rings.entries()) {
        const what = knownFault(points);
        if (what) return { region, ring, what };
      }
    }
    return null;
  }

  ringsOf(region: Region): readonly Ring[] {
    return this.live?.id === region.id ? this.live.rings : region.rings;
  }

  start(regions: readonly Region[]): void {
    this.regions = regions;
  }

  // Changes, each one step that can be undone.

  add(part: string, rings: readonly Ring[]): void {
    const region: Region = { id: this.#freshId(), part, rings };
    this.#commit([...this.regions, region]);
    this.select(region.id);
  }

  addAll(proposed: readonly Region[]): void {
    let next = this.regions;
    for (const { part, rings } of proposed) {
      const region: Region = { id: freshId(next), part, rings: rings.map((ring) => ring.map(rounded)) };
      next = [...next, region];
    }
    if (next !== this.regions) this.#commit(next);
  }

  setPart(part: string): void {
    this.part = part;
    const { current } = this;
    if (current && current.part !== part) this.#replace({ ...current, part });
  }

  /** Remove the chosen corner, the ring if it was one of its last three, else the region. */
  remove(): void {
    const { current, corner } = this;
    if (!current) return;
    if (!corner) {
      this.#commit(this.regions.filter((region) => region !== current));
      this.select(null);
      return;
    }
    const ring = current.rings[corner.ring] ?? [];
    const rest = ring.filter((_, index) => index !== corner.index);
    const rings =
      rest.length >= 3
        ? current.rings.map((each) => (each === ring ? rest : each))
        : current.rings.filter((each) => each !== ring);
    if (rings.length === 0) {
      this.#commit(this.regions.filter((region) => region !== current));
      this.select(null);
      return;
    }
    this.#replace({ ...current, rings });
    const places = rings[corner.ring]?.length ?? 0;
    this.corner = rest.length >= 3 ? { ring: corner.ring, index: Math.min(corner.index, places - 1) } : null;
  }

  removeRegion(id: string): void {
    this.#commit(this.regions.filter((region) => region.id !== id));
    if (this.selected === id) this.select(null);
  }

  nudge(dx: number, dy: number): void {
    const { current, corner } = this;
    if (!current) return;
    if (!corner) {
      this.#replace({ ...current, rings: moved(current.rings, dx, dy, this.width, this.height) });
      return;
    }
    const point = current.rings[corner.ring]?.[corner.index];
    if (point) this.#replace({ ...current, rings: this.#withCorner(current.rings, corner, [point[0] + dx, point[1] + dy]) });
  }

  /** A new corner in the middle of the edge that follows the chosen one. */
  split(): void {
    const { current, corner } = this;
    const ring = current && corner && current.rings[corner.ring];
    if (!current || !corner || !ring) return;
    const [a, b] = [ring[corner.index], ring[(corner.index + 1) % ring.length]];
    if (!a || !b) return;
    const index = corner.index + 1;
    const middle = rounded([(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]);
    this.#replace({ ...current, rings: inserted(current.rings, corner.ring, index, middle) });
    this.corner = { ring: corner.ring, index };
  }

  undo(): void {
    if (this.path.length) {
      this.path = this.path.slice(0, -1);
      return;
    }
    const before = this.#past.at(-1);
    if (!before) return;
    this.#past = this.#past.slice(0, -1);
    this.#future = [...this.#future, this.regions];
    this.#show(before);
  }

  redo(): void {
    const after = this.#future.at(-1);
    if (!after) return;
    this.#future = this.#future.slice(0, -1);
    this.#past = [...this.#past, this.regions];
    this.#show(after);
  }

  // Choosing.

  use(tool: Tool): void {
    this.drop();
    this.tool = tool;
    if (tool !== "select") this.select(null);
  }

  select(id: string | null): void {
    this.selected = id;
    this.corner = null;
    const { current } = this;
    if (current) this.part = current.part;
  }

  cycle(step: number): void {
    const ids = this.regions.map((region) => region.id);
    if (!ids.length) return;
    const now = this.selected ? ids.indexOf(this.selected) : step > 0 ? -1 : 0;
    this.use("select");
    this.select(ids[(now + step + ids.length) % ids.length] ?? null);
  }

  cycleCorner(step: number): void {
    const all = (this.current?.rings ?? []).flatMap((ring, number) => ring.map((_, index) => ({ ring: number, index })));
    if (!all.length) return;
    const now = all.findIndex((each) => each.ring === this.corner?.ring && each.index === this.corner.index);
    this.corner = all[(now < 0 ? (step > 0 ? 0 : all.length - 1) : now + step + all.length) % all.length] ?? null;
  }

  /** The next ring becomes another piece of the chosen region. */
  anotherRing(): void {
    const id = this.selected;
    if (!id) return;
    this.use("polygon");
    this.into = id;
  }

  // Drawing a ring, by pointer or by crosshair.

  get middle(): Point {
    return this.path.at(-1) ?? [Math.round(this.width / 2), Math.round(this.height / 2)];
  }

  moveCrosshair(dx: number, dy: number): void {
    const [x, y] = this.at ?? this.middle;
    this.at = clamped([x + dx, y + dy], this.width, this.height);
    if (this.boxes && this.#boxFrom) this.#stretch(this.at);
  }

  /** Put a point of the ring; near its first point the ring closes. */
  put(at: Point, reach: number): void {
    const first = this.path[0];
    if (first && this.path.length >= 3 && distance(at, first) <= reach) {
      this.close();
      return;
    }
    const point = this.#placed(at, reach, null);
    const last = this.path.at(-1);
    if (!last || distance(last, point) > 0) this.path = [...this.path, point];
  }

  close(): void {
    if (this.path.length < 3) return;
    const ring = this.path;
    const into = this.regions.find((region) => region.id === this.into);
    this.path = [];
    if (into) {
      this.#replace({ ...into, rings: [...into.rings, ring] });
      this.select(into.id);
    } else this.add(this.part, [ring]);
    this.into = null;
    this.tool = "select";
  }

  /** Leave off what is being drawn. */
  drop(): void {
    this.path = [];
    this.into = null;
    this.at = null;
    this.marked = null;
    this.#boxFrom = null;
  }

  boxFrom(at: Point): void {
    this.#boxFrom = rounded(clamped(at, this.width, this.height));
  }

  /** Whether the tool draws rectangles. */
  get boxes(): boolean {
    return this.tool === "box" || this.tool === "cover";
  }

  get boxing(): boolean {
    return this.#boxFrom !== null;
  }

  boxTo(at: Point): void {
    this.#stretch(at);
  }

  boxDone(): void {
    const ring = this.path;
    this.#boxFrom = null;
    this.path = [];
    if (ring.length < 4 || knownFault(ring)) return;
    if (this.tool === "cover") {
      this.marked = boundsOf([ring]);
      return;
    }
    this.add(this.part, [ring]);
    this.tool = "select";
  }

  // Dragging what is there.

  /** Take hold of what is below: a corner or an edge of the chosen region, or all of it. */
  grab(at: Point, reach: number): boolean {
    const { current } = this;
    if (!current) return false;
    const corner = cornerNear(at, current.rings, reach);
    if (corner) {
      this.corner = corner;
      this.#grip = { region: current.id, corner, from: at };
      return true;
    }
    const edge = edgeNear(at, current.rings, reach * 0.7);
    if (edge) {
      this.corner = { ring: edge.ring, index: edge.index };
      this.live = { id: current.id, rings: inserted(current.rings, edge.ring, edge.index, rounded(edge.at)) };
      this.#grip = { region: current.id, corner: this.corner, from: at };
      return true;
    }
    if (!isInside(at, current.rings)) return false;
    this.#grip = { region: current.id, corner: null, from: at };
    return true;
  }

  drag(at: Point, reach: number): void {
    const grip = this.#grip;
    const region = this.regions.find((each) => each.id === grip?.region);
    if (!grip || !region) return;
    if (!grip.corner) {
      const rings = moved(region.rings, at[0] - grip.from[0], at[1] - grip.from[1], this.width, this.height);
      this.live = { id: region.id, rings };
      return;
    }
    const rings = this.live?.rings ?? region.rings;
    this.live = { id: region.id, rings: this.#withCorner(rings, grip.corner, this.#placed(at, reach, region.id)) };
  }

  /** Let go; whether anything was moved. */
  release(): boolean {
    const { live } = this;
    const region = this.regions.find((each) => each.id === live?.id);
    this.live = null;
    this.#grip = null;
    if (!live || !region) return false;
    this.#replace({ ...region, rings: live.rings });
    return true;
  }

  abandon(): void {
    this.live = null;
    this.#grip = null;
    this.#boxFrom = null;
    if (this.boxes) this.path = [];
  }

  /** The uppermost region below a point. */
  regionAt(at: Point): Region | null {
    return this.regions.findLast((region) => isInside(at, region.rings)) ?? null;
  }

  #placed(at: Point, reach: number, besides: string | null): Point {
    const inside = clamped(at, this.width, this.height);
    if (!this.snapping) return rounded(inside);
    const others = this.regions.filter((region) => region.id !== besides).map((region) => region.rings);
    return rounded(snapped(inside, others, reach));
  }

  #stretch(at: Point): void {
    const from = this.#boxFrom;
    if (!from) return;
    const [x, y] = rounded(clamped(at, this.width, this.height));
    this.path = [from, [x, from[1]], [x, y], [from[0], y]];
  }

  #withCorner(rings: readonly Ring[], corner: Corner, to: Point): readonly Ring[] {
    const point = rounded(clamped(to, this.width, this.height));
    return rings.map((ring, number) => (number === corner.ring ? ring.with(corner.index, point) : ring));
  }

  #replace(region: Region): void {
    this.#commit(this.regions.map((each) => (each.id === region.id ? { ...region, box: null } : each)));
  }

  #commit(next: readonly Region[]): void {
    this.#past = [...this.#past.slice(1 - MOST_STEPS_BACK), this.regions];
    this.#future = [];
    this.regions = next;
    this.changed();
  }

  #show(regions: readonly Region[]): void {
    this.regions = regions;
    this.corner = null;
    if (!this.current) this.selected = null;
    this.changed();
  }

  #freshId(): string {
    return freshId(this.regions);
  }
}

/** How a region's part and place are told without looking. */
export function extent(region: Region): string {
  const [, , width, height] = boundsOf(region.rings);
  return `${Math.round(width)} × ${Math.round(height)}`;
}

const faults = new WeakMap<Ring, RingFault | "none">();

function knownFault(ring: Ring): RingFault | null {
  let fault = faults.get(ring);
  if (fault === undefined) {
    fault = faultOf(ring) ?? "none";
    faults.set(ring, fault);
  }
  return fault === "none" ? null : fault;
}

function inserted(rings: readonly Ring[], number: number, index: number, point: Point): readonly Ring[] {
  return rings.map((ring, each) => (each === number ? ring.toSpliced(index, 0, point) : ring));
}

function freshId(regions: readonly Region[]): string {
  const taken = new Set(regions.map((region) => region.id));
  let count = 1;
  while (taken.has(`r${count}`)) count += 1;
  return `r${count}`;
}
