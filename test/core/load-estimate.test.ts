/** How long a load still takes. */
import { expect, test } from "bun:test";
import { type LoadSample, readSamples, remainingLoadMs, withSample } from "../../src/core/load-estimate.ts";
import { GIB } from "../../src/core/units.ts";

const a = (ms: number): LoadSample => ({ model: "a", bytes: 10 * GIB, ms });
const START = { model: "a", bytes: 10 * GIB, progress: null, elapsedMs: 0 };

test("remainingLoadMs() knows nothing of a cluster's first load until that load is under way", () => {
  expect(remainingLoadMs([], START)).toBeNull();
  expect(remainingLoadMs([], { ...START, progress: 0.1, elapsedMs: 5_000 })).toBeNull();
  expect(remainingLoadMs([], { ...START, progress: 0.25, elapsedMs: 10_000 })).toBe(30_000);
  expect(remainingLoadMs([], { ...START, progress: 1, elapsedMs: 10_000 })).toBe(0);
});

test("remainingLoadMs() goes by the model's own earlier loads, the median of them, until progress tells more", () => {
  const samples = [a(60_000), a(20_000), a(22_000), { model: "b", bytes: GIB, ms: 1_000 }];
  expect(remainingLoadMs(samples, START)).toBe(22_000);
  expect(remainingLoadMs(samples, { ...START, elapsedMs: 2_000, progress: 0.05 })).toBe(20_000);
  expect(remainingLoadMs(samples, { ...START, elapsedMs: 30_000, progress: 0.5 })).toBe(30_000);
});

test("remainingLoadMs() goes by bytes where a model was never loaded, or its file has another size now", () => {
  expect(remainingLoadMs([a(20_000)], { ...START, model: "new", bytes: 5 * GIB })).toBe(10_000);
  expect(remainingLoadMs([a(20_000)], { ...START, bytes: 20 * GIB })).toBe(40_000);
});

test("remainingLoadMs() says nothing of a load that takes longer than it should", () => {
  expect(remainingLoadMs([a(20_000)], { ...START, elapsedMs: 20_000 })).toBeNull();
});

test("withSample() keeps the latest three of each model, and a hundred in all", () => {
  const many = Array.from({ length: 5 }, (_, i) => a(i)).reduce(withSample, [] as readonly LoadSample[]);
  expect(many.map(({ ms }) => ms)).toEqual([4, 3, 2]);
  const models = Array.from({ length: 150 }, (_, i) => ({ model: `m${i}`, bytes: 1, ms: 1 }));
  const kept = models.reduce(withSample, many);
  expect(kept).toHaveLength(100);
  expect(kept[0]?.model).toBe("m149");
});

test("readSamples() takes what an earlier run kept, and leaves out what makes no sense", () => {
  const good = a(5);
  expect(readSamples([good, { ...good, ms: "5" }, null, { model: "b" }, { ...good, bytes: 0 }])).toEqual([good]);
  for (const value of [null, "x", 7, {}]) expect(readSamples(value)).toEqual([]);
  expect(readSamples(JSON.parse(JSON.stringify(Array.from({ length: 500 }, () => good))))).toHaveLength(100);
});
