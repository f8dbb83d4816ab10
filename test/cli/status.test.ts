/** What `synaptic status` prints of queues, of who makes room and who stays, and of the whole server. */
import { expect, test } from "bun:test";
import { renderStatus } from "../../src/cli/render.ts";
import type { CoordinatorSnapshot, Snapshot } from "../../src/core/snapshot.ts";

const COORDINATOR: CoordinatorSnapshot = {
  model: "m",
  state: "ready",
  since: "2026-11-24T18:00:00.000Z",
  phase: null,
  drainingFor: null,
  pinned: false,
  keepUntil: null,
  pid: 1,
  progress: null,
  etaMs: null,
  slots: { total: 4, busy: 4 },
  queue: { length: 3, oldestMs: 10, estimateMs: 12_300 },
  tokensPerSecond: 42,
  restarts: 0,
  lastFailure: null,
  plan: null,
  proof: null,
};

const SNAPSHOT: Snapshot = {
  version: "0.1.0",
  startedAt: "2026-11-24T18:00:00.000Z",
  ready: true,
  engine: null,
  engineFailure: null,
  head: { freeBytes: 2 * 1024 ** 3, totalBytes: 4 * 1024 ** 3 },
  backends: [],
  nodes: [],
  coordinators: [COORDINATOR, { ...COORDINATOR, model: "n", queue: { length: 0, oldestMs: null } }],
  requests: { inFlight: 7, limit: 1_024 },
};

test("renderStatus() shows slots, who waits with the wait of the next one where it is known, and all in flight", () => {
  const text = renderStatus(SNAPSHOT);
  expect(text).toContain("7 of at most 1024 requests in flight\n");
  expect(text).toContain("head node: 2.0 GiB of 4.0 GiB free\n");
  expect(text).toMatch(/^m +ready +4\/4 +3, ~12\.3 s +42\.0/m);
  expect(text).toMatch(/^n +ready +4\/4 +0 +42\.0/m);
});

test("renderStatus() says what a model waits for, for whom it goes, and how long it stays", () => {
  const states: readonly Partial<CoordinatorSnapshot>[] = [
    { state: "starting", phase: "queued", slots: { total: 0, busy: 0 } },
    { state: "starting", phase: "loading", progress: 0.4 },
    { state: "draining", drainingFor: "big" },
    { pinned: true },
    { keepUntil: "2026-11-24T19:20:30.000Z" },
  ];
  const queue = { length: 0, oldestMs: null };
  const coordinators = states.map((each) => ({ ...COORDINATOR, queue, ...each }));
  const lines = renderStatus({ ...SNAPSHOT, coordinators }).split("\n");
  const rows = lines.filter((line) => line.startsWith("m ")).map((line) => line.replace(/ {2,}/g, "  "));
  expect(rows).toEqual([
    "m  waits for room  0/0  0  42.0  -  -",
    "m  starting 40 %  4/4  0  42.0  -  -",
    "m  draining for big  4/4  0  42.0  -  -",
    "m  ready  4/4  0  42.0  -  pinned",
    "m  ready  4/4  0  42.0  -  until 19:20:30 UTC",
  ]);
});
