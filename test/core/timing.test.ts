/** How runs become a timing, and when which backend may be timed. */
import { describe, expect, test } from "bun:test";
import type { BackendSnapshot, CoordinatorSnapshot } from "../../src/core/snapshot.ts";
import { backendKey } from "../../src/core/speed-book.ts";
import { isQuiet, loading, median, nextToTime, timingOf, tokensPerRun } from "../../src/core/timing.ts";
import { type Endpoint, GIB } from "../../src/core/units.ts";
import { cpu } from "../fixtures/model-facts.ts";

const AT = "2026-11-24T18:00:00.000Z";
const BUILD = "0.7.0 (11669)";

test.each([
  [null, 4],
  [2, 4],
  [100, 25],
  [5_000, 256],
])("tokensPerRun(): at %p tokens/s it takes %p", (speed, tokens) => {
  expect(tokensPerRun(speed)).toBe(tokens);
});

test("median() is the middle one, however wild one run was", () => {
  expect(median([140, 6.8, 121, 138, 122])).toBe(122);
  expect(median([])).toBeNull();
});

describe("timingOf()", () => {
  const runs = { speeds: [90, 100, 110], weightBytes: 1e8, build: BUILD, measuredAt: AT };

  test("takes the round trip off each token's time", () => {
    const timing = timingOf({ ...runs, rttMs: 2 });
    expect(timing?.tokensPerSecond).toBe(100);
    expect(timing?.bytesPerSecond).toBeCloseTo(1e8 / 0.008, 0);
  });

  test("takes off no more than half, since the probe may have waited longer than a token", () => {
    expect(timingOf({ ...runs, rttMs: 50 })?.bytesPerSecond).toBeCloseTo(1e8 / 0.005, 0);
  });

  test("has nothing to take off on the head node", () => {
    expect(timingOf({ ...runs, rttMs: null })?.bytesPerSecond).toBeCloseTo(1e10, 0);
  });

  test("makes nothing of runs that made nothing", () => {
    expect([timingOf({ ...runs, speeds: [], rttMs: 0 }), timingOf({ ...runs, speeds: [0], rttMs: 0 })]).toEqual([
      null,
      null,
    ]);
  });
});

function coordinator(more: Partial<CoordinatorSnapshot>): CoordinatorSnapshot {
  return {
    model: "m",
    state: "ready",
    since: AT,
    pid: 1,
    progress: null,
    etaMs: null,
    slots: { total: 4, busy: 0 },
    queue: { length: 0, oldestMs: null },
    tokensPerSecond: null,
    restarts: 0,
    lastFailure: null,
    plan: null,
    proof: null,
    phase: null,
    drainingFor: null,
    pinned: false,
    keepUntil: null,
    ...more,
  };
}

describe("quiet", () => {
  test.each(["idle", "ready", "failed", "closed"] as const)("is a coordinator that is %s", (state) => {
    expect(isQuiet([coordinator({ state })])).toBe(true);
  });

  test.each([
    ["starting", "m is being loaded"],
    ["draining", "m is being unloaded"],
    ["stopping", "m is being unloaded"],
  ] as const)("is none that is %s", (state, why) => {
    expect(isQuiet([coordinator({ model: "a" }), coordinator({ state })])).toBe(false);
    expect(loading([coordinator({ model: "a" }), coordinator({ state })])).toBe(why);
  });

  test("is none that answers, or that somebody waits for", () => {
    expect(isQuiet([coordinator({ slots: { total: 4, busy: 1 } })])).toBe(false);
    expect(isQuiet([coordinator({ queue: { length: 1, oldestMs: 5 } })])).toBe(false);
    expect(loading([coordinator({ slots: { total: 4, busy: 1 } })])).toBeNull();
  });
});

describe("nextToTime()", () => {
  const speed = { bytesPerSecond: 1e9, build: BUILD, measuredAt: AT };
  const backend = (endpoint: Endpoint, more: Partial<BackendSnapshot> = {}): BackendSnapshot => ({
    endpoint,
    machine: "10.0.0.1",
    state: "up",
    since: AT,
    reason: "",
    protocol: "8.0.0",
    rttMs: 0.4,
    devices: [cpu(8 * GIB)],
    lease: null,
    ...more,
  });
  const failed = { key: backendKey("a:1", [cpu(8 * GIB)]), build: BUILD, atMs: 0 };
  const none = new Map<Endpoint, typeof failed>();
  const next = (backends: readonly BackendSnapshot[], failures = none, nowMs = 1_000) =>
    nextToTime({ backends, failures, build: BUILD, nowMs })?.endpoint ?? null;

  test("is the first that is free and was never timed", () => {
    const held = backend("b:1", { state: "leased", lease: "m" });
    const others = (["busy", "down", "incompatible", "unknown"] as const).map((state) => backend("c:1", { state }));
    expect(next([backend("a:1", { speed }), held, ...others, backend("d:1"), backend("e:1")])).toBe("d:1");
    expect(next([backend("a:1", { speed }), held])).toBeNull();
  });

  test("is none that failed within the hour", () => {
    const failures = new Map([["a:1", failed]] as const);
    expect(next([backend("a:1"), backend("b:1")], failures)).toBe("b:1");
    const timed = backend("b:1", { speed });
    expect(next([backend("a:1"), timed], failures, 3_599_999)).toBeNull();
    expect(next([backend("a:1"), timed], failures, 3_600_000)).toBe("a:1");
  });

  test("is one that failed with other devices, or another llama-server", () => {
    const timed = backend("b:1", { speed });
    expect(next([backend("a:1", { devices: [cpu(16 * GIB)] }), timed], new Map([["a:1", failed]]))).toBe("a:1");
    expect(next([backend("a:1"), timed], new Map([["a:1", { ...failed, build: "0.6.0 (1)" }]]))).toBe("a:1");
  });

  test("is none where there is but one backend: its speed decides nothing", () => {
    expect(next([backend("a:1")])).toBeNull();
  });
});
