/** Loads are remembered, also by the next run, and never needed. */
import { expect, test } from "bun:test";
import { createLoadHistory } from "../../src/engine/load-history.ts";

const LOAD = { model: "m", bytes: 10, ms: 4_000 };
const UNDER_WAY = { model: "m", bytes: 10, progress: null, elapsedMs: 1_000 };

function stateOf() {
  const state = {
    kept: null as unknown,
    read: async () => state.kept,
    async write(_: string, value: unknown) {
      state.kept = value;
    },
  };
  return state;
}

test("a load says how long the next one takes, in this run and in the next", async () => {
  const state = stateOf();
  const history = createLoadHistory(state);
  await history.load();
  expect(history.remainingMs(UNDER_WAY)).toBeNull();
  await history.record(LOAD);
  expect(history.remainingMs(UNDER_WAY)).toBe(3_000);
  expect(state.kept).toEqual([LOAD]);
  const next = createLoadHistory(state);
  await next.load();
  expect(next.remainingMs(UNDER_WAY)).toBe(3_000);
});

test("what another synaptic has written meanwhile stays", async () => {
  const state = stateOf();
  const history = createLoadHistory(state);
  state.kept = [{ model: "n", bytes: 1, ms: 1 }];
  await history.record(LOAD);
  expect(state.kept).toEqual([LOAD, { model: "n", bytes: 1, ms: 1 }]);
});

test("where nothing can be kept, this run remembers all the same", async () => {
  const history = createLoadHistory({ read: async () => null, write: async () => {} });
  await history.record(LOAD);
  expect(history.remainingMs(UNDER_WAY)).toBe(3_000);
});
