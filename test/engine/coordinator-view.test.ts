/** viewSwap(): what the scheduler is told of a coordinator. */
import { expect, test } from "bun:test";
import { type Viewed, viewSwap } from "../../src/engine/coordinator-view.ts";

const NOW = 1_000_000;

function viewed(more: Partial<Viewed>, { busy = 0, waiting = 0, oldestMs = 0 } = {}): Viewed {
  const admission = {
    busy: () => busy,
    waiting: () => waiting,
    oldestMs: () => (waiting > 0 ? oldestMs : null),
    lastUsed: () => NOW - 5_000,
    load: () => ({ slots: { total: 0, busy }, queue: { length: waiting, oldestMs: null } }),
  };
  const state = { tag: "ready", launch: 1, since: NOW - 9_000, failures: 0 } as const;
  return {
    ...{ model: "m", state, since: NOW - 9_000, queuedSince: 0, now: NOW, admission, pinned: false, keepMs: 60_000 },
    ...more,
  };
}

const QUEUED = { tag: "starting", launch: 2, phase: "queued", deadline: NOW, attempt: 1, failures: 0 } as const;

test("a queued model has waited for as long as its oldest request", () => {
  expect(viewSwap(viewed({ state: QUEUED }, { waiting: 2, oldestMs: 700 }), true)).toMatchObject({ since: NOW - 700 });
});

test("one that has just made room for another waits from then on, or it would take that room back", () => {
  const left = viewed({ state: QUEUED, queuedSince: NOW - 300 }, { waiting: 2, oldestMs: 60_000 });
  expect(viewSwap(left, true)).toMatchObject({ tag: "queued", since: NOW - 300 });
});

test("a ready model is idle when it answers nobody and nobody waits, and is kept from its last use on", () => {
  expect(viewSwap(viewed({}), true)).toMatchObject({ tag: "loaded", idle: true, keepUntil: NOW + 55_000 });
  expect(viewSwap(viewed({ since: NOW }), true)).toMatchObject({ usedAt: NOW, keepUntil: NOW + 60_000 });
  expect(viewSwap(viewed({}, { busy: 1 }), true)).toMatchObject({ idle: false });
  expect(viewSwap(viewed({}, { waiting: 1 }), true)).toMatchObject({ idle: false });
  expect(viewSwap(viewed({ pinned: true }), true)).toMatchObject({ keepUntil: null });
  expect(viewSwap(viewed({ keepMs: Number.POSITIVE_INFINITY }), true)).toMatchObject({ keepUntil: null });
});

test("one that neither holds room nor waits for any is not told of", () => {
  expect(viewSwap(viewed({ state: { tag: "idle", launch: 1 } }), true)).toBeNull();
  expect(viewSwap(viewed({ state: { ...QUEUED, phase: "loading" } }), true)).toMatchObject({ tag: "loading" });
});
