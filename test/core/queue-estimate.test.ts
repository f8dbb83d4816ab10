/** The estimate of a wait: unknown before there is something to know, and about right on average. */
import { describe, expect, test } from "bun:test";
import { averageHold, estimateWaitMs } from "../../src/core/queue-estimate.ts";
import { createRandom } from "../fixtures/random.ts";

describe("estimateWaitMs()", () => {
  test("is unknown before the first slot was given back", () => {
    expect(estimateWaitMs(1, { slots: 2, averageMs: null, ageMs: 5_000 })).toBeNull();
  });

  test("grows with the position, and falls with the slots", () => {
    const slots = { averageMs: 8_000, ageMs: 0 };
    expect(estimateWaitMs(1, { ...slots, slots: 2 })).toBe(4_000);
    expect(estimateWaitMs(6, { ...slots, slots: 2 })).toBe(24_000);
    expect(estimateWaitMs(6, { ...slots, slots: 4 })).toBe(12_000);
  });

  test("does not stay behind answers that run longer than those before", () => {
    expect(estimateWaitMs(1, { slots: 1, averageMs: 1_000, ageMs: 30_000 })).toBe(30_000);
  });
});

describe("averageHold()", () => {
  test("begins with the first, and follows a change within ten", () => {
    let average = averageHold(null, 1_000);
    expect(average).toBe(1_000);
    for (let i = 0; i < 10; i++) average = averageHold(average, 5_000);
    expect(average).toBeGreaterThan(4_500);
    expect(average).toBeLessThan(5_000);
  });
});

test("over many queues the estimate is within a third of the wait, on average", () => {
  const random = createRandom(7);
  const hold = (): number => random.whole(2_000, 20_000);
  let estimated = 0;
  let waited = 0;
  for (let round = 0; round < 500; round++) {
    const slots = random.whole(1, 6);
    const position = random.whole(1, 20);
    let average = averageHold(null, hold());
    for (let i = 0; i < 20; i++) average = averageHold(average, hold());
    // Each slot is in the middle of an answer.
    const ends = Array.from({ length: slots }, () => {
      const heldMs = hold();
      const ageMs = random.next() * heldMs;
      return { ageMs, leftMs: heldMs - ageMs };
    });
    const ageMs = ends.reduce((sum, end) => sum + end.ageMs, 0) / slots;
    estimated += estimateWaitMs(position, { slots, averageMs: average, ageMs }) ?? 0;
    const free = ends.map(({ leftMs }) => leftMs);
    for (let turn = 1; turn < position; turn++) {
      free.sort((a, b) => a - b);
      free[0] = (free[0] ?? 0) + hold();
    }
    waited += Math.min(...free);
  }
  expect(estimated / waited).toBeGreaterThan(0.75);
  expect(estimated / waited).toBeLessThan(1.33);
});
