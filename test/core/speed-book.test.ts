/** Timings are told apart by devices and build, survive what is damaged, and merge by date. */
import { describe, expect, test } from "bun:test";
import type { Timing } from "../../src/core/speed.ts";
import {
  backendKey,
  buildOf,
  formatSpeed,
  freshTiming,
  headKey,
  mergeBooks,
  readBook,
  writeBook,
} from "../../src/core/speed-book.ts";
import { GIB } from "../../src/core/units.ts";
import { cpu, gpu } from "../fixtures/model-facts.ts";

const timing = (hour: number, more: Partial<Timing> = {}): Timing => ({
  bytesPerSecond: 1e10,
  tokensPerSecond: 90,
  build: "0.7.0 (11669)",
  measuredAt: `2026-11-24T${String(hour).padStart(2, "0")}:00:00.000Z`,
  ...more,
});

describe("what a timing belongs to", () => {
  test("is the endpoint with the sizes of its devices, not what is free there", () => {
    const full = { ...gpu(8 * GIB), freeBytes: 1 };
    expect(backendKey("10.0.0.1:50052", [gpu(8 * GIB), cpu(GIB, 1)])).toBe(
      `10.0.0.1:50052 accelerator:${9 * GIB} cpu:${GIB}`,
    );
    expect(backendKey("a:1", [full])).toBe(backendKey("a:1", [gpu(8 * GIB)]));
    expect(backendKey("a:1", [gpu(4 * GIB)])).not.toBe(backendKey("a:1", [gpu(8 * GIB)]));
  });

  test("is the head node with what llama-server lists there", () => {
    expect(headKey([])).toBe("head");
    expect(headKey([{ name: "CUDA0", totalBytes: 5 }])).toBe("head CUDA0:5");
  });

  test("is the build: another one's counts as none", () => {
    const book = new Map([["a:1", timing(1)]]);
    expect(freshTiming(book, "a:1", buildOf({ version: "0.7.0", build: 11669 }))).toEqual(timing(1));
    expect(freshTiming(book, "a:1", buildOf({ version: "0.7.1", build: 11669 }))).toBeNull();
    expect(freshTiming(book, "a:1", buildOf({ version: "0.7.0", build: null }))).toBeNull();
    expect(freshTiming(book, "b:1", "0.7.0 (11669)")).toBeNull();
  });
});

describe("a stored book", () => {
  test("comes back as it was written", () => {
    const book = new Map([
      ["a:1", timing(1)],
      ["head", timing(2)],
    ]);
    expect(readBook(JSON.parse(JSON.stringify(writeBook(book))))).toEqual(new Map([...book]));
  });

  test.each([[null], ["text"], [[]], [{ version: 2, timings: { "a:1": timing(1) } }], [{ version: 1, timings: 3 }]])(
    "that is none is empty: %j",
    (stored) => {
      expect(readBook(stored).size).toBe(0);
    },
  );

  test("loses what is wrong in it, and no more", () => {
    const bad = { ...timing(1), bytesPerSecond: -1 };
    const stored = { version: 1, timings: { "a:1": timing(1), "b:1": bad, "c:1": "x", "d:1": { build: "y" } } };
    expect([...readBook(stored).keys()]).toEqual(["a:1"]);
  });

  test("keeps the newest of very many", () => {
    const book = new Map(Array.from({ length: 5_010 }, (_, i) => [`b${i}:1`, timing(i < 10 ? 1 : 2)] as const));
    const kept = readBook(writeBook(book));
    expect([kept.size, kept.has("b0:1"), kept.has("b5009:1")]).toEqual([5_000, false, true]);
  });

  test("takes from another the timings that are later, and those that it lacks", () => {
    const ours = new Map([
      ["a:1", timing(1)],
      ["b:1", timing(5)],
    ]);
    const theirs = new Map([
      ["a:1", timing(3)],
      ["b:1", timing(2)],
      ["c:1", timing(1)],
    ]);
    expect([...mergeBooks(ours, theirs)].map(([key, { measuredAt }]) => [key, measuredAt.slice(11, 13)])).toEqual([
      ["a:1", "03"],
      ["b:1", "05"],
      ["c:1", "01"],
    ]);
  });
});

test.each([
  [12_345_000_000, "12.3 GB/s"],
  [450_000_000, "0.45 GB/s"],
])("formatSpeed(%p) is %p", (speed, text) => {
  expect(formatSpeed(speed)).toBe(text);
});
