import { expect, test } from "vitest";
import { Drawing, MOST_STEPS_BACK } from "./drawing.svelte";

function drawing(): Drawing {
  const made = new Drawing(100, 100, ["top", "bottom"], () => {});
  made.add("top", [[[10, 10], [20, 10], [20, 20]]]);
  return made;
}

test("two hundred steps can be taken back, and all be done again", () => {
  const made = drawing();
  for (let step = 0; step < MOST_STEPS_BACK + 20; step++) made.nudge(step % 2 ? -1 : 1, 0);
  const last = made.regions;
  let back = 0;
  while (made.canUndo) {
    made.undo();
    back += 1;
  }
  expect(back).toBe(MOST_STEPS_BACK);
  while (made.canRedo) made.redo();
  expect(made.regions).toEqual(last);
});

test("a new step forgets what was undone", () => {
  const made = drawing();
  made.nudge(1, 0);
  made.undo();
  made.setPart("bottom");
  expect(made.canRedo).toBe(false);
});

test("removing one of three corners removes the ring, and the last ring the region", () => {
  const made = drawing();
  made.cycleCorner(1);
  made.remove();
  expect(made.regions).toEqual([]);
  expect(made.selected).toBeNull();
});

test("ids are never given twice", () => {
  const made = drawing();
  made.add("bottom", [[[30, 30], [40, 30], [40, 40]]]);
  made.removeRegion("r1");
  made.add("top", [[[50, 50], [60, 50], [60, 60]]]);
  expect(new Set(made.regions.map(({ id }) => id)).size).toBe(2);
});

test("a box dragged to nothing leaves nothing", () => {
  const made = drawing();
  made.use("box");
  made.boxFrom([50, 50]);
  made.boxTo([50, 50]);
  made.boxDone();
  expect(made.regions).toHaveLength(1);
  expect(made.path).toEqual([]);
});

test("a corner stays inside the image", () => {
  const made = drawing();
  made.cycleCorner(1);
  made.nudge(-500, 500);
  expect(made.regions[0]?.rings[0]?.[0]).toEqual([0, 100]);
});
