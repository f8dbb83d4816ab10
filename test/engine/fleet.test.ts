/** The fleet: models side by side, room made for one by ending an idle other, and refusals that say who is in the way. */
import { describe, expect, test } from "bun:test";
import type { DeviceFacts } from "../../src/core/plan-types.ts";
import { GIB } from "../../src/core/units.ts";
import type { CatalogEntry } from "../../src/engine/catalog-entry.ts";
import { advanceUntil } from "../fakes/clock.ts";
import { ENGINE } from "../fakes/llama-port.ts";
import { type ScriptedRpc, upResult } from "../fakes/rpc-port.ts";
import { modelOf } from "../fixtures/model-facts.ts";
import { entry, NEVER, setUp, THREE } from "./fleet-support.ts";
import { DEAD, errorsOf } from "./supervisor-support.ts";

/** Too large for two backends of 8 GiB. */
const LARGE = modelOf({ layers: 180 });
/** Too large for all three. */
const HUGE = modelOf({ layers: 300 });

describe("acquire()", () => {
  test("loads a model on backends that it then holds, and tells why a request goes there", async () => {
    const { fleet, use, leases, states } = await setUp();
    expect(fleet.reason("a")).toBe("loads on demand");
    await use("a");
    expect(states()).toEqual({ a: "ready" });
    expect(leases()).toEqual(["a", null, null]);
    expect(fleet.reason("a")).toBe(`sharded over ${THREE[0]}`);
    expect(fleet.snapshot()[0]?.proof?.proven).toBe(true);
  });

  test("loads a second model beside the first while there is room", async () => {
    const { use, leases, states } = await setUp();
    await use("a");
    await use("b");
    expect(states()).toEqual({ a: "ready", b: "ready" });
    expect(leases()).toEqual(["a", "b", null]);
  });

  test("loads two models asked for at once one after the other, and never on the same backend", async () => {
    const { fleet, clock, leases } = await setUp();
    const grants = ["a", "b", "c"].map((id) => fleet.acquire(entry(id), NEVER));
    await clock.advance(1_000);
    await Promise.all(grants);
    expect(leases().toSorted()).toEqual(["a", "b", "c"]);
  });

  test("takes the model's own settings", async () => {
    const own = {
      models: { settings: { a: { contextSize: 1024, args: ["--threads", "3"], env: { OMP_NUM_THREADS: "2" } } } },
    };
    const { llama, use } = await setUp({ own });
    await use("a");
    expect(llama.child.valueOf("--ctx-size")).toBe("1024");
    expect(llama.child.valueOf("--threads")).toBe("3");
    expect(llama.child.env.OMP_NUM_THREADS).toBe("2");
  });

  test("plans again without a backend that falls silent between its probe and the lease", async () => {
    const { fleet, rpc, clock, leases } = await setUp();
    rpc.set(THREE[2], "hang");
    await clock.advance(5_000);
    const grant = fleet.acquire(entry("a"), NEVER);
    await clock.advance(0);
    rpc.set(THREE[0], "hang");
    await clock.advance(5_000);
    rpc.set(THREE[2], upResult(THREE[2]));
    rpc.settle(THREE[2], upResult(THREE[2]));
    await clock.advance(0);
    rpc.set(THREE[0], { tag: "refused" });
    rpc.settle(THREE[0], { tag: "refused" });
    (await advanceUntil(clock, grant)).release();
    expect(leases()).toEqual([null, "a", null]);
  });

  test("takes a tag's new files when it is next asked for at rest, and goes on with the old ones while it is in use", async () => {
    const { fleet, clock, llama } = await setUp();
    const pulled = (digest: string): CatalogEntry => ({ ...entry("m"), path: `/blobs/${digest}`, digest });
    const ask = (digest: string) => advanceUntil(clock, fleet.acquire(pulled(digest), NEVER));
    const paths = () => llama.children.map((child) => child.valueOf("--model"));
    const used = await ask("old");
    (await ask("new")).release();
    expect(paths()).toEqual(["/blobs/old"]);
    used.release();
    (await ask("new")).release();
    (await ask("new")).release();
    expect(paths()).toEqual(["/blobs/old", "/blobs/new"]);
  });

  test("refuses when sharding is switched off", async () => {
    const { fleet } = await setUp({ more: { model_sharding_enabled: false, task_distribution_enabled: true } });
    const [error] = await errorsOf([fleet.acquire(entry("a"), NEVER)]);
    expect(error?.message).toBe("Cannot load a: model sharding is switched off");
  });

  test("plans again without a backend that the engine cannot reach", async () => {
    const { fleet, llama, clock, rpc, loadAsPlanned, leases, monitor } = await setUp({ own: { placement: "spread" } });
    llama.onSpawn = (child) => {
      if (!child.valueOf("--rpc").includes("10.0.0.2")) return loadAsPlanned(child);
      rpc.set("10.0.0.2:50052", { tag: "refused" });
      child.say(DEAD);
      child.exit(134);
    };
    const grant = fleet.acquire(entry("a"), NEVER);
    await clock.advance(1_000);
    await grant;
    expect(leases()).toEqual(["a", null, "a"]);
    expect(monitor.snapshot()[1]).toMatchObject({ state: "down" });
    expect(llama.children).toHaveLength(2);
  });
});

describe("room for another model", () => {
  const all = { own: { placement: "spread" } };

  test("is made by ending an idle one", async () => {
    const { llama, log, use, leases, states } = await setUp(all);
    await use("a");
    await use("b");
    expect(states()).toEqual({ a: "idle", b: "ready" });
    expect(leases()).toEqual(["b", "b", "b"]);
    expect(llama.children[0]?.signals).toEqual(["SIGTERM"]);
    expect(log.lines()).toContain("info unloading a to make room for b");
  });

  test("is made of those unused for longest first, and of no more than are needed", async () => {
    const { clock, use, states } = await setUp({ models: { large: modelOf({ layers: 120 }) } });
    for (const id of ["a", "b", "c"]) {
      await use(id);
      await clock.advance(1_000);
    }
    await use("a");
    await use("large");
    expect(states()).toEqual({ a: "ready", b: "idle", c: "idle", large: "ready" });
  });

  test("is waited for while another is in use, and made as soon as that one is at rest", async () => {
    const { fleet, clock, use, states } = await setUp(all);
    await use("a");
    const grant = await fleet.acquire(entry("a"), NEVER);
    const b = fleet.acquire(entry("b"), NEVER);
    await clock.advance(5_000);
    expect(states()).toEqual({ a: "ready", b: "starting" });
    grant.release();
    (await advanceUntil(clock, b)).release();
    expect(states()).toEqual({ a: "idle", b: "ready" });
  });

  test("counts what a model in use holds of the head node's RAM, and not what an idle one would give back", async () => {
    const { fleet, use } = await setUp();
    await use("a");
    const heldBy = async () => {
      const { result } = await fleet.plan(entry("b"), NEVER);
      return result.ok ? result.plan.reasons.filter((reason) => reason.includes("RAM of the head node")) : [];
    };
    expect(await heldBy()).toEqual([]);
    const grant = await fleet.acquire(entry("a"), NEVER);
    expect(await heldBy()).toEqual([expect.stringMatching(/^\d+\.\d MiB of the RAM of the head node are held by a$/)]);
    grant.release();
  });

  test("is not made for a model that would not fit even then", async () => {
    const { fleet, use, states } = await setUp({ ...all, models: { huge: HUGE } });
    await use("a");
    const [error] = await errorsOf([fleet.acquire(entry("huge"), NEVER)]);
    expect(error?.code).toBe("does_not_fit");
    expect(error?.message).toMatch(
      /Cannot place huge on 3 backends: needs 34\.\d GiB, 21\.\d GiB usable: 12\.\d GiB missing/,
    );
    expect(states()).toEqual({ a: "ready", huge: "idle" });
  });

  test("does not hold up a request for the model that is being ended: both load in turn", async () => {
    const { fleet, llama, clock, use, states } = await setUp(all);
    await use("a");
    const [first] = llama.children;
    if (first) first.deaf = true;
    const b = fleet.acquire(entry("b"), NEVER);
    await clock.advance(500);
    expect(states()).toEqual({ a: "stopping", b: "starting" });
    const a = fleet.acquire(entry("a"), NEVER);
    first?.exit(0);
    (await advanceUntil(clock, b)).release();
    (await advanceUntil(clock, a)).release();
    expect(states()).toEqual({ a: "ready", b: "idle" });
  });
});

test("a backend that another client holds is not waited for where the others suffice, and is where they do not", async () => {
  const { fleet, rpc, clock, use, leases, monitor } = await setUp({ models: { large: LARGE } });
  rpc.set(THREE[2], { tag: "silent" });
  await monitor.refresh();
  rpc.set(THREE[2], "hang");
  const before = rpc.count(THREE[2]);
  await use("a");
  expect(leases()).toEqual(["a", null, null]);
  expect(rpc.count(THREE[2])).toBe(before);
  const large = fleet.acquire(entry("large"), NEVER);
  await clock.advance(100);
  expect(rpc.count(THREE[2])).toBe(before + 1);
  rpc.set(THREE[2], upResult(THREE[2]));
  rpc.settle(THREE[2], upResult(THREE[2]));
  (await advanceUntil(clock, large)).release();
  expect(leases()).toEqual(["large", "large", "large"]);
});

describe("two rpc-servers on one card", () => {
  const two = [50052, 50053].map((port) => ({ host: "10.0.0.1", port }));

  /** One card of 4 GiB, told of by both. */
  function share(rpc: ScriptedRpc, freeBytes: number): void {
    const devices: readonly DeviceFacts[] = [{ index: 0, kind: "accelerator", freeBytes, totalBytes: 4 * GIB }];
    for (const address of ["10.0.0.1:50052", "10.0.0.1:50053"] as const) {
      rpc.set(address, { tag: "up", address, devices, rttMs: 0.4, protocol: { major: 8, minor: 0, patch: 0 } });
    }
  }

  test("do not get a model each before the first one has taken what it needs", async () => {
    const { fleet, rpc, llama, clock, monitor, loadAsPlanned, states } = await setUp({ more: { rpc_backends: two } });
    share(rpc, 4 * GIB);
    await monitor.refresh();
    llama.onSpawn = () => {};
    const a = fleet.acquire(entry("a"), NEVER);
    const b = fleet.acquire(entry("b"), NEVER);
    await clock.advance(1_000);
    expect(llama.children).toHaveLength(1);
    expect(fleet.snapshot().find(({ model }) => model === "b")?.phase).toBe("queued");
    // What a has taken is seen on the card, and is not counted twice.
    share(rpc, 1.2 * GIB);
    llama.onSpawn = loadAsPlanned;
    for (const child of llama.children) loadAsPlanned(child);
    (await advanceUntil(clock, a)).release();
    share(rpc, 4 * GIB);
    (await advanceUntil(clock, b)).release();
    expect(states()).toEqual({ a: "idle", b: "ready" });
  });
});

describe("the head node's own devices", () => {
  const localDevices = [{ name: "CUDA0", description: "", freeBytes: 8 * GIB, totalBytes: 8 * GIB }];

  test("are filled once: what one model holds there is not free for the next", async () => {
    const { fleet, llama, use, leases } = await setUp({
      models: { a: modelOf({ layers: 50 }), b: modelOf({ layers: 50 }) },
    });
    llama.facts = { ...ENGINE, localDevices };
    await use("a");
    await use("b");
    const local = fleet.snapshot().map(({ plan }) => plan?.head.devices[0]?.layers);
    expect(local[0]).toBe(51);
    expect(local[1]).toBeLessThan(20);
    expect(leases()).toEqual(["b", null, null]);
  });

  test("are free again when it has been ended", async () => {
    const { fleet, llama, use } = await setUp();
    llama.facts = { ...ENGINE, localDevices };
    await use("a");
    expect(fleet.reason("a")).toBe("held by the head node alone");
    await fleet.unload("a");
    await use("b");
    expect(fleet.reason("b")).toBe("held by the head node alone");
  });
});

describe("plan()", () => {
  test("only looks: no lease, no child, the exact command but for its port", async () => {
    const { fleet, llama, leases } = await setUp();
    const { result, command } = await fleet.plan(entry("a"), NEVER);
    expect(result.ok).toBe(true);
    expect(command.slice(0, 3)).toEqual(["/usr/bin/llama-server", "--model", "/models/a.gguf"]);
    expect(command[command.indexOf("--port") + 1]).toBe("PORT");
    expect([leases(), llama.children]).toEqual([[null, null, null], []]);
  });

  test("takes for free what the model itself or an idle one holds, not what another uses", async () => {
    const { fleet, use } = await setUp({ own: { placement: "spread" }, models: { large: LARGE } });
    await use("a");
    const fits = async (id: string) => (await fleet.plan(entry(id), NEVER)).result.ok;
    expect([await fits("a"), await fits("large")]).toEqual([true, true]);
    const grant = await fleet.acquire(entry("a"), NEVER);
    expect([await fits("a"), await fits("large")]).toEqual([true, false]);
    grant.release();
  });

  test("says no with numbers, and no command", async () => {
    const { fleet } = await setUp({ models: { huge: HUGE } });
    expect(await fleet.plan(entry("huge"), NEVER)).toMatchObject({ result: { ok: false }, command: [] });
  });
});

describe("close()", () => {
  test("ends all coordinators, and loads nothing any more", async () => {
    const { fleet, llama, use, leases, states } = await setUp();
    await use("a");
    await use("b");
    await fleet.close();
    expect(states()).toEqual({ a: "closed", b: "closed" });
    expect(llama.children.every(({ alive }) => !alive)).toBe(true);
    expect(leases()).toEqual([null, null, null]);
    await expect(fleet.acquire(entry("c"), NEVER)).rejects.toMatchObject({ code: "shutting_down" });
  });

  test("while models are planned and loaded leaves nothing behind", async () => {
    const { fleet, llama, clock, leases, states } = await setUp();
    llama.onSpawn = () => {};
    const grants = errorsOf(["a", "b", "c"].map((id) => fleet.acquire(entry(id), NEVER)));
    await clock.advance(50);
    await fleet.close();
    expect((await grants).map(({ code }) => code)).toEqual(["shutting_down", "shutting_down", "shutting_down"]);
    await clock.advance(1_000);
    expect(Object.values(states())).toEqual(["closed", "closed", "closed"]);
    expect(llama.children.every(({ alive }) => !alive)).toBe(true);
    expect(leases()).toEqual([null, null, null]);
  });
});
