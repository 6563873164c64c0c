import { describe, expect, test } from "vitest";
import { areaOf, crossing, edgeNear, faultOf, isInside, moved, nearestOn, recut, snapped } from "./rings";
import type { Point, Ring } from "../api/types";

const SQUARE: Ring = [
  [0, 0],
  [10, 0],
  [10, 10],
  [0, 10],
];
const BOW: Ring = [
  [0, 0],
  [10, 10],
  [10, 0],
  [0, 10],
];

describe("a ring", () => {
  test("encloses its area whatever its direction", () => {
    expect(areaOf(SQUARE)).toBe(100);
    expect(areaOf(SQUARE.toReversed())).toBe(100);
  });

  test("that crosses itself says where", () => {
    expect(crossing(SQUARE)).toBeNull();
    expect(crossing(BOW)).toEqual([5, 5]);
  });

  test("that touches itself at a corner, or runs back on itself, is at fault", () => {
    expect(faultOf([[0, 0], [10, 0], [10, 10], [5, 0], [0, 10]])).toBe("crosses");
    expect(faultOf([[0, 0], [10, 0], [5, 0], [5, 8]])).toBe("crosses");
  });

  test("with a point given twice in a row is whole", () => {
    expect(faultOf([[0, 0], [10, 0], [10, 0], [10, 10], [0, 10], [0, 0]])).toBeNull();
  });

  test("of two points or on one line is at fault", () => {
    expect(faultOf([[0, 0], [5, 5], [0, 0]])).toBe("few_points");
    expect(faultOf([[0, 0], [5, 0], [10, 0]])).not.toBeNull();
  });

  test("is found from inside and not from beside", () => {
    expect(isInside([5, 5], [SQUARE])).toBe(true);
    expect(isInside([15, 5], [SQUARE])).toBe(false);
  });

  test("stays within the image when it is moved", () => {
    const [ring] = moved([SQUARE], -50, 300, 100, 100);
    expect(ring?.[0]).toEqual([0, 90]);
  });
});

describe("a point", () => {
  test("is nearest to an edge at its foot, or at its end", () => {
    expect(nearestOn([5, 3], [0, 0], [10, 0])).toEqual({ at: [5, 0], far: 3 });
    expect(nearestOn([13, 4], [0, 0], [10, 0])).toEqual({ at: [10, 0], far: 5 });
  });

  test("snaps to a corner before an edge, and stays when neither is near", () => {
    expect(snapped([9, 1], [[SQUARE]], 2)).toEqual([10, 0]);
    expect(snapped([5, 1], [[SQUARE]], 2)).toEqual([5, 0]);
    expect(snapped([5, 4], [[SQUARE]], 2)).toEqual([5, 4] satisfies Point);
  });

  test("on an edge becomes a corner between its ends", () => {
    expect(edgeNear([5, 1], [SQUARE], 2)).toEqual({ ring: 0, index: 1, at: [5, 0] });
  });
});

describe("a picture that was cut", () => {
  test("takes its rings along, and loses what is no longer in it", () => {
    const below: Ring = [
      [0, 20],
      [10, 20],
      [10, 40],
    ];
    expect(recut([SQUARE, below], 0, -15, 100, 100)).toEqual([
      [
        [0, 5],
        [10, 5],
        [10, 25],
      ],
    ]);
    expect(recut([SQUARE], -4, -4, 100, 100)).toEqual([
      [
        [0, 0],
        [6, 0],
        [6, 6],
        [0, 6],
      ],
    ]);
  });
});
