import { expect, test } from "vitest";
import { Marking } from "./marking.svelte";

const press = {} as PointerEvent;

test("a rectangle is marked from corner to corner, whichever comes first", () => {
  const marking = new Marking(200, 100);
  marking.begin();
  marking.hand.press([80, 60], press);
  marking.hand.drag([30, 20], press);
  marking.hand.lift([30, 20]);
  expect(marking.marked).toEqual([30, 20, 50, 40]);
});

test("nothing of it lies outside the picture", () => {
  const marking = new Marking(200, 100);
  marking.begin();
  marking.hand.press([-20, -5], press);
  marking.hand.drag([500, 40], press);
  marking.hand.lift([500, 40]);
  expect(marking.marked).toEqual([0, 0, 200, 40]);
});

test("the crosshair marks by keys alone, from the middle", () => {
  const marking = new Marking(200, 100);
  marking.begin();
  marking.place();
  marking.move(1, 0, true);
  marking.move(0, 1, false);
  marking.place();
  expect(marking.marked).toEqual([100, 50, 40, 4]);
});

test("a slip of the hand marks nothing, and nothing is pressed while nobody marks", () => {
  const marking = new Marking(200, 100);
  expect(marking.hand.press([10, 10], press)).toBe(false);
  marking.begin();
  marking.hand.press([10, 10], press);
  marking.hand.drag([12, 50], press);
  marking.hand.lift([12, 50]);
  expect(marking.marked).toBeNull();
  expect(marking.on).toBe(true);
});
