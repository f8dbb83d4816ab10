/** Rounds, thresholds, refresh and log of the monitor. Leases: monitor-lease.test.ts. */
import { describe, expect, test } from "bun:test";
import type { BackendSnapshot } from "../../src/core/snapshot.ts";
import type { Endpoint } from "../../src/core/units.ts";
import { createMonitor } from "../../src/engine/monitor.ts";
import { createFakeClock } from "../fakes/clock.ts";
import { createRecordedLog } from "../fakes/log.ts";
import { ScriptedRpc, upResult } from "../fakes/rpc-port.ts";

const A: Endpoint = "10.0.0.1:50052";
const B: Endpoint = "10.0.0.2:50052";
const INTERVAL_MS = 5_000;

function setUp(backends: readonly Endpoint[] = [A, B]) {
  const rpc = new ScriptedRpc();
  const clock = createFakeClock();
  const log = createRecordedLog();
  const ports = {
    clock,
    log,
    probe: rpc.probe.bind(rpc),
    openSentinel: rpc.openSentinel.bind(rpc),
  };
  const options = { backends, intervalMs: INTERVAL_MS, failures: 3, successes: 2, timeoutMs: 2_000 };
  const monitor = createMonitor(ports, options);
  const states = () => monitor.snapshot().map(({ state }) => state);
  return { rpc, clock, log, monitor, states };
}

describe("rounds", () => {
  test("nothing is probed before start(), and all are unknown", async () => {
    const { rpc, clock, states } = setUp();
    await clock.advance(60_000);
    expect(rpc.probes).toEqual([]);
    expect(states()).toEqual(["unknown", "unknown"]);
  });

  test("start() probes all side by side, and firstRound waits for the slowest", async () => {
    const { rpc, clock, monitor, states } = setUp();
    rpc.set(A, "hang");
    let over = false;
    void monitor.firstRound.then(() => {
      over = true;
    });
    monitor.start();
    await clock.advance(0);
    expect(states()).toEqual(["unknown", "up"]);
    expect(over).toBe(false);
    rpc.settle(A, { tag: "silent" });
    await monitor.firstRound;
    expect(states()).toEqual(["busy", "up"]);
  });

  test("firstRound settles at once without backends", async () => {
    const { monitor } = setUp([]);
    monitor.start();
    await monitor.firstRound;
    expect(monitor.snapshot()).toEqual([]);
  });

  test("a backend that hangs delays no other, and is never probed twice at once", async () => {
    const { rpc, clock, monitor } = setUp();
    rpc.set(A, "hang");
    monitor.start();
    await clock.advance(4 * INTERVAL_MS);
    void monitor.refresh();
    await clock.advance(0);
    expect(rpc.count(A)).toBe(1);
    expect(rpc.count(B)).toBe(6);
    expect(rpc.peak).toBe(1);
  });

  test("after a refresh the next round comes one interval later, not in between", async () => {
    const { rpc, clock, monitor } = setUp([A]);
    monitor.start();
    await clock.advance(4_000);
    await monitor.refresh();
    await clock.advance(4_000);
    expect(rpc.count(A)).toBe(2);
    await clock.advance(1_000);
    expect(rpc.count(A)).toBe(3);
  });
});

describe("states over time", () => {
  test("three refused rounds in a row take an up backend down; two answers bring it back", async () => {
    const { rpc, clock, monitor, states } = setUp([A]);
    monitor.start();
    await monitor.firstRound;
    rpc.set(A, { tag: "refused" });
    await clock.advance(2 * INTERVAL_MS);
    expect(states()).toEqual(["up"]);
    await clock.advance(INTERVAL_MS);
    expect(monitor.snapshot()[0]).toMatchObject({
      state: "down",
      since: "2026-11-24T18:00:15.000Z",
      protocol: "8.0.0",
    });
    rpc.set(A, upResult(A));
    await clock.advance(INTERVAL_MS);
    expect(states()).toEqual(["down"]);
    await clock.advance(INTERVAL_MS);
    expect(states()).toEqual(["up"]);
  });

  test("refresh() settles a doubt at once: no plan is made with a backend that has just died", async () => {
    const { rpc, monitor, states } = setUp([A]);
    monitor.start();
    await monitor.firstRound;
    rpc.set(A, { tag: "refused" });
    await monitor.refresh();
    expect(states()).toEqual(["down"]);
    expect(rpc.count(A)).toBe(4);
  });

  test("refresh() of named backends probes no other, and refuses an unknown one", async () => {
    const { rpc, monitor } = setUp();
    await monitor.refresh([B]);
    expect(rpc.probes).toEqual([B]);
    await expect(monitor.refresh(["10.9.9.9:1"])).rejects.toMatchObject({ code: "no_backends" });
  });

  test("setEngineProtocol() judges again what is known, without a probe", async () => {
    const { rpc, monitor, states } = setUp();
    rpc.set(A, upResult(A, 7));
    monitor.start();
    await monitor.firstRound;
    expect(states()).toEqual(["up", "up"]);
    monitor.setEngineProtocol({ major: 8, minor: 0, release: "0.7.0" });
    expect(states()).toEqual(["incompatible", "up"]);
    expect(monitor.snapshot()[0]?.reason).toContain("install llama.cpp 0.7.0 on it");
    expect(rpc.probes).toHaveLength(2);
  });

  test("two entries that resolve to one rpc-server: one is used, the other says so, in each round", async () => {
    const { clock, monitor } = setUp(["127.0.0.1:50052", "localhost:50052", "localhost:50053"]);
    monitor.start();
    await clock.advance(2 * INTERVAL_MS);
    expect(monitor.snapshot()).toMatchObject([
      { state: "up", machine: "127.0.0.1" },
      { state: "down", machine: "127.0.0.1", reason: expect.stringContaining("same rpc-server as 127.0.0.1:50052") },
      { state: "up", machine: "127.0.0.1" },
    ]);
  });
});

describe("what others see", () => {
  test("snapshots are frozen, and an old one stays as it was", async () => {
    const { rpc, clock, monitor } = setUp();
    monitor.start();
    await monitor.firstRound;
    const old = monitor.snapshot();
    expect(Object.isFrozen(old) && Object.isFrozen(old[0]) && Object.isFrozen(old[0]?.devices)).toBe(true);
    rpc.set(A, { tag: "silent" });
    await clock.advance(INTERVAL_MS);
    expect(old[0]?.state).toBe("up");
    expect(monitor.snapshot()[0]?.state).toBe("busy");
  });

  test("subscribers hear of changes, not of each probe, until they leave", async () => {
    const { rpc, clock, monitor } = setUp([A]);
    const heard: (readonly BackendSnapshot[])[] = [];
    const leave = monitor.subscribe((backends) => heard.push(backends));
    monitor.start();
    await clock.advance(3 * INTERVAL_MS);
    expect(heard.map(([first]) => first?.state)).toEqual(["up"]);
    leave();
    rpc.set(A, { tag: "silent" });
    await clock.advance(INTERVAL_MS);
    expect(heard).toHaveLength(1);
  });

  test("a state is logged once when it changes: up as info, the rest as warnings", async () => {
    const { rpc, clock, log, monitor } = setUp([A]);
    monitor.start();
    await clock.advance(3 * INTERVAL_MS);
    rpc.set(A, { tag: "alien", detail: "looks like HTTP" });
    await clock.advance(5 * INTERVAL_MS);
    rpc.set(A, upResult(A));
    await clock.advance(3 * INTERVAL_MS);
    expect(log.lines()).toEqual(["info backend up", "warn backend down", "info backend up"]);
    expect(log.records[1]?.fields).toEqual({
      endpoint: A,
      reason: "answers, but not as an rpc-server (looks like HTTP)",
    });
  });

  test("another patch level is worth one warning", async () => {
    const { clock, log, monitor } = setUp([A]);
    monitor.setEngineProtocol({ major: 8, minor: 0, patch: 1 });
    monitor.start();
    await clock.advance(3 * INTERVAL_MS);
    expect(log.lines()).toEqual(["info backend up", expect.stringContaining(`warn ${A} speaks RPC 8.0.0`)]);
  });
});

describe("stop()", () => {
  test("cancels probes and timers, settles firstRound, and nothing is probed again", async () => {
    const { rpc, clock, monitor } = setUp();
    rpc.set(A, "hang");
    monitor.start();
    await clock.advance(0);
    await monitor.stop();
    await monitor.firstRound;
    expect(clock.pending()).toBe(0);
    expect(rpc.running.get(A)).toBe(0);
    const before = rpc.probes.length;
    await monitor.refresh();
    await clock.advance(60_000);
    expect(rpc.probes).toHaveLength(before);
    await expect(monitor.lease([B], "tiny")).rejects.toMatchObject({ code: "shutting_down" });
  });
});
