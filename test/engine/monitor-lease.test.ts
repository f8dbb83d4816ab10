/** Leases of the monitor: exclusive, never probed, watched by sentinels. */
import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import type { Endpoint } from "../../src/core/units.ts";
import { createMonitor } from "../../src/engine/monitor.ts";
import { openSentinel, probeBackend } from "../../src/io/rpc-client.ts";
import { createFakeClock } from "../fakes/clock.ts";
import { createRecordedLog } from "../fakes/log.ts";
import { startRpcServer } from "../fakes/real-rpc-server.ts";
import { holdRpcServer } from "../fakes/rpc-holder.ts";
import { ScriptedRpc, upResult } from "../fakes/rpc-port.ts";
import { FakeRpcServer } from "../fakes/rpc-server.ts";

const A: Endpoint = "10.0.0.1:50052";
const B: Endpoint = "10.0.0.2:50052";
const OPTIONS = { backends: [A, B], intervalMs: 5_000, failures: 3, successes: 2, timeoutMs: 2_000 };

async function setUp() {
  const rpc = new ScriptedRpc();
  const clock = createFakeClock();
  const log = createRecordedLog();
  const ports = { clock, log, probe: rpc.probe.bind(rpc), openSentinel: rpc.openSentinel.bind(rpc) };
  const monitor = createMonitor(ports, OPTIONS);
  monitor.start();
  await monitor.firstRound;
  return { rpc, clock, log, monitor, states: () => monitor.snapshot().map(({ state }) => state) };
}

describe("lease()", () => {
  test("takes all at once, shows the holder, and no probe touches them until release", async () => {
    const { rpc, clock, monitor, states } = await setUp();
    await monitor.lease([A, B], "tiny");
    await clock.advance(60_000);
    await monitor.refresh();
    expect(rpc.probes).toEqual([A, B]);
    expect(states()).toEqual(["leased", "leased"]);
    expect(monitor.snapshot()[0]).toMatchObject({ lease: "tiny", reason: "" });
  });

  test("waits for a probe under way, and then looks at what it saw", async () => {
    const { rpc, clock, monitor, states } = await setUp();
    rpc.set(A, "hang");
    const refreshing = monitor.refresh([A]);
    const leasing = monitor.lease([A, B], "tiny");
    await clock.advance(1_000);
    expect(states()).toEqual(["up", "up"]);
    rpc.settle(A, upResult(A));
    await leasing;
    await refreshing;
    expect(states()).toEqual(["leased", "leased"]);
    expect(rpc.running.get(A)).toBe(0);
  });

  test("takes none when one is not up, and says which and why", async () => {
    const { rpc, monitor, states } = await setUp();
    rpc.set(B, { tag: "silent" });
    await monitor.refresh();
    await expect(monitor.lease([A, B], "tiny")).rejects.toMatchObject({
      code: "no_backends",
      message: "Cannot lease 10.0.0.2:50052 for tiny: held by another client",
    });
    expect(states()).toEqual(["up", "busy"]);
  });

  test("is exclusive, also between two that ask at the same time", async () => {
    const { monitor } = await setUp();
    const results = await Promise.allSettled([monitor.lease([A], "one"), monitor.lease([B, A], "two")]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
    expect(results[1]).toMatchObject({ reason: { message: `Cannot lease ${A} for two: one holds it` } });
    expect(monitor.snapshot()[1]?.state).toBe("up");
  });

  test("refuses a backend whose last probe failed, and one that is not configured", async () => {
    const { rpc, clock, monitor } = await setUp();
    rpc.set(A, { tag: "refused" });
    await clock.advance(5_000);
    await expect(monitor.lease([A], "tiny")).rejects.toThrow(`Cannot lease ${A} for tiny: it failed its last probe`);
    await expect(monitor.lease(["10.9.9.9:1"], "tiny")).rejects.toMatchObject({ code: "no_backends" });
  });
});

describe("release()", () => {
  test("closes the sentinels, probes at once and on, and does nothing the second time", async () => {
    const { rpc, clock, monitor, states } = await setUp();
    const lease = await monitor.lease([A], "tiny");
    await lease.guard(() => {});
    lease.release();
    lease.release();
    expect(rpc.sentinels).toMatchObject([{ endpoint: A, closed: true }]);
    await monitor.refresh([A]);
    expect(states()).toEqual(["up", "up"]);
    expect(rpc.count(A)).toBe(2);
    await clock.advance(5_000);
    expect(rpc.count(A)).toBe(3);
    expect(rpc.peak).toBe(1);
  });

  test("is not news for the log when the backend is as it was", async () => {
    const { log, monitor } = await setUp();
    const lease = await monitor.lease([A], "tiny");
    lease.release();
    await monitor.refresh();
    expect(log.lines()).toEqual(["info backend up", "info backend up"]);
  });

  test("stop() releases what is leased", async () => {
    const { rpc, monitor } = await setUp();
    const lease = await monitor.lease([A], "tiny");
    await lease.guard(() => {});
    await monitor.stop();
    expect(rpc.sentinels[0]?.closed).toBe(true);
  });
});

describe("guard()", () => {
  test("opens one sentinel per backend; a break marks it down at once and is told once", async () => {
    const { rpc, clock, log, monitor, states } = await setUp();
    const lease = await monitor.lease([A, B], "tiny");
    const losses: [Endpoint, string][] = [];
    await lease.guard((endpoint, detail) => losses.push([endpoint, detail]));
    expect(rpc.sentinels.map(({ endpoint }) => endpoint)).toEqual([A, B]);
    rpc.sentinels[1]?.lose("it closed the connection");
    const reason = "lost while tiny was using it: it closed the connection";
    expect(losses).toEqual([[B, "it closed the connection"]]);
    expect(monitor.snapshot()[1]).toMatchObject({ state: "down", reason, lease: "tiny" });
    expect(log.lines().at(-1)).toBe("warn backend down");
    await clock.advance(60_000);
    expect(rpc.count(B)).toBe(1);
    lease.release();
    await monitor.refresh([B]);
    expect(states()[1]).toBe("down");
    await clock.advance(5_000);
    expect(states()[1]).toBe("up");
  });

  test("takes a refused sentinel for a loss, a full queue for nothing", async () => {
    const { rpc, monitor, states } = await setUp();
    rpc.refuseSentinel(A, new SynapticError("upstream_error", `Cannot watch ${A}: connection refused`));
    rpc.refuseSentinel(B, new SynapticError("upstream_timeout", `Cannot watch ${B}: no connection within 2000 ms`));
    const lease = await monitor.lease([A, B], "tiny");
    const losses: Endpoint[] = [];
    await lease.guard((endpoint) => losses.push(endpoint));
    expect(losses).toEqual([A]);
    expect(states()).toEqual(["down", "leased"]);
  });

  test("tells nothing after release", async () => {
    const { rpc, monitor, states } = await setUp();
    const lease = await monitor.lease([A], "tiny");
    const losses: Endpoint[] = [];
    await lease.guard((endpoint) => losses.push(endpoint));
    lease.release();
    rpc.sentinels[0]?.lose("late");
    await monitor.refresh();
    expect(losses).toEqual([]);
    expect(states()).toEqual(["up", "up"]);
  });
});

describe("over real TCP", () => {
  const ports = () => ({ clock: createFakeClock(), log: createRecordedLog(), probe: probeBackend, openSentinel });

  test("a fake rpc-server gets no byte between lease and release, and every close is an RST", async () => {
    const server = new FakeRpcServer();
    const monitor = createMonitor(ports(), { ...OPTIONS, backends: [server.endpoint] });
    monitor.start();
    await monitor.firstRound;
    const lease = await monitor.lease([server.endpoint], "tiny");
    await lease.guard(() => {});
    const before = server.received;
    await monitor.refresh();
    expect(server.received).toBe(before);
    lease.release();
    await monitor.refresh();
    expect(monitor.snapshot()[0]?.state).toBe("up");
    await monitor.stop();
    await server.empty();
    expect(server.closes).toEqual(["rst", "rst", "rst"]);
    server.stop();
  });

  test("the death of a held real rpc-server is seen by its sentinel", async () => {
    const server = await startRpcServer();
    const monitor = createMonitor(ports(), { ...OPTIONS, backends: [server.endpoint] });
    monitor.start();
    await monitor.firstRound;
    const lease = await monitor.lease([server.endpoint], "tiny");
    await holdRpcServer(server.endpoint);
    const lost = Promise.withResolvers<string>();
    await lease.guard((_, reason) => lost.resolve(reason));
    server.kill("SIGKILL");
    expect(await lost.promise).toContain("connection broke");
    expect(monitor.snapshot()[0]?.state).toBe("down");
    await server.exited;
    await monitor.stop();
  });
});
