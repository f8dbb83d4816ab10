/** Timings that somebody asks for: what they come to, where they are kept, and why one is not made. */
import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { MEASURE_HOLDER } from "../../src/core/timing.ts";
import { advanceUntil } from "../fakes/clock.ts";
import { ENGINE } from "../fakes/llama-port.ts";
import { upResult } from "../fakes/rpc-port.ts";
import { cpu } from "../fixtures/model-facts.ts";
import { NEVER, THREE } from "./fleet-support.ts";
import { setUp, WEIGHT_BYTES } from "./measure-support.ts";
import { errorsOf } from "./supervisor-support.ts";

const [FIRST, SECOND, THIRD] = THREE;
const GPU = { name: "CUDA0", description: "a card", freeBytes: 8 * 1024 ** 3, totalBytes: 8 * 1024 ** 3 };
const SPEEDS = { [FIRST]: 100, [SECOND]: 25, [THIRD]: 200, head: 50 };

describe("measure()", () => {
  test("times each backend in turn, by tokens per second and the bytes that each goes through", async () => {
    const { runtime, clock, log, llama } = setUp({ speeds: SPEEDS });
    await runtime.observe();
    const rows = await advanceUntil(clock, runtime.measure({}, NEVER));
    expect(rows.map(({ endpoint, devices, failure }) => [endpoint, devices, failure])).toEqual(
      THREE.map((endpoint) => [endpoint, ["cpu"], null]),
    );
    expect(rows.map(({ timing }) => timing?.tokensPerSecond)).toEqual([100, 25, 200]);
    // Less the round trip of 0.4 ms.
    expect(rows[0]?.timing?.bytesPerSecond).toBeCloseTo(WEIGHT_BYTES / (0.01 - 0.0004), -3);
    expect(rows[0]?.timing).toMatchObject({
      build: "0.7.0 (11669)",
      measuredAt: expect.stringMatching(/^2026-11-24T/),
    });
    expect(log.lines().filter((line) => line.includes("measur"))).toEqual([
      `info measuring ${FIRST}`,
      `info ${FIRST} measured: 11.8 GB/s, 100.0 tokens/s on the timing model`,
      `info measuring ${SECOND}`,
      `info ${SECOND} measured: 2.9 GB/s, 25.0 tokens/s on the timing model`,
      `info measuring ${THIRD}`,
      `info ${THIRD} measured: 24.6 GB/s, 200.0 tokens/s on the timing model`,
    ]);
    expect(llama.children.map((child) => [child.alive, child.signals])).toEqual(THREE.map(() => [false, ["SIGTERM"]]));
    await runtime.close();
  });

  test("runs five times what a warm-up came to, with nothing kept from one to the next", async () => {
    const { runtime, clock, llama } = setUp();
    await runtime.observe();
    await advanceUntil(clock, runtime.measure({ endpoints: [FIRST] }, NEVER));
    expect(llama.requests.filter((request) => request === "POST /completion")).toHaveLength(6);
    expect(llama.child.valueOf("--rpc")).toBe(FIRST);
    expect(llama.child.valueOf("--tensor-split")).toBe("4");
    await runtime.close();
  });

  test("holds the backend meanwhile, under a name that no model has, and shows its speed after", async () => {
    const { runtime, clock, llama, shown, load } = setUp();
    const spawned = Promise.withResolvers<void>();
    llama.onSpawn = () => spawned.resolve();
    await runtime.observe();
    const rows = runtime.measure({ endpoints: ["10.0.0.2"] }, NEVER);
    await clock.advance(0);
    await spawned.promise;
    expect(runtime.snapshot().backends[1]).toMatchObject({ state: "leased", lease: MEASURE_HOLDER });
    expect(shown()).toEqual([null, null, null]);
    load(llama.child);
    await advanceUntil(clock, rows);
    expect(runtime.snapshot().backends[1]).toMatchObject({ state: "up", lease: null });
    expect(shown()).toEqual([null, 11.8, null]);
    await runtime.close();
  });

  test("times the head node only when asked, by its processor or by its own devices", async () => {
    for (const [engine, layers, split] of [
      [ENGINE, "0", false],
      [{ ...ENGINE, localDevices: [GPU] }, "4", true],
    ] as const) {
      const { runtime, clock, llama } = setUp({ speeds: SPEEDS, engine });
      await runtime.observe();
      const rows = await advanceUntil(clock, runtime.measure({ endpoints: [], head: true }, NEVER));
      expect(rows).toMatchObject([{ endpoint: "head", timing: { tokensPerSecond: 50 }, failure: null }]);
      expect(rows[0]?.timing?.bytesPerSecond).toBeCloseTo(WEIGHT_BYTES * 50, -3);
      expect(runtime.snapshot().head.speed).toEqual(rows[0]?.timing ?? undefined);
      expect(llama.child.valueOf("--gpu-layers")).toBe(layers);
      expect([llama.child.args.includes("--rpc"), llama.child.args.includes("--tensor-split")]).toEqual([false, split]);
      await runtime.close();
    }
  });

  test("says of each that it cannot time why not, and times the others", async () => {
    const { runtime, clock, rpc } = setUp();
    rpc.set(SECOND, { tag: "silent" });
    rpc.set(THIRD, { tag: "refused" });
    await runtime.observe();
    const grant = await advanceUntil(clock, runtime.fleet.acquire(await runtime.catalog.find("a"), NEVER));
    const rows = await advanceUntil(clock, runtime.measure({}, NEVER));
    expect(rows.map(({ failure }) => failure)).toEqual([
      { code: "too_busy", message: `Cannot measure ${FIRST} now: it is held for a` },
      expect.objectContaining({ code: "too_busy", message: expect.stringContaining("takes connections but stays") }),
      {
        code: "no_backends",
        message: `Cannot lease ${THIRD} for synaptic measure: connection refused: is rpc-server running there?`,
      },
    ]);
    grant.release();
    await runtime.close();
  });

  test("throws a timing away whose bytes lie elsewhere than planned", async () => {
    const { runtime, clock, llama, shown, state } = setUp();
    llama.onSpawn = (child) => child.load(["offloaded 4/4 layers to GPU"]);
    await runtime.observe();
    const rows = await advanceUntil(clock, runtime.measure({ endpoints: [FIRST] }, NEVER), 200);
    expect(rows[0]?.failure?.message).toStartWith("Cannot prove the sharding of the timing model: ");
    expect([shown()[0], state.files.size]).toEqual([null, 0]);
    await runtime.close();
  });

  test("knows configured backends only, and takes one wish at a time", async () => {
    const { runtime, clock } = setUp();
    await runtime.observe();
    const [unknown] = await errorsOf([runtime.measure({ endpoints: ["10.9.9.9:1"] }, NEVER)]);
    expect(unknown).toMatchObject({ code: "bad_request", hint: `known here: ${THREE.join(", ")}` });
    const first = runtime.measure({ endpoints: [FIRST] }, NEVER);
    const [second] = await errorsOf([runtime.measure({ endpoints: [SECOND] }, NEVER)]);
    expect(second).toMatchObject({ code: "too_busy", message: "Cannot measure now: another measurement is under way" });
    expect((await advanceUntil(clock, first))[0]?.timing).not.toBeNull();
    await runtime.close();
  });

  test("ends with who asked: its llama-server is gone, its backend free", async () => {
    const { runtime, clock, llama } = setUp();
    llama.onSpawn = () => {};
    await runtime.observe();
    const leaving = new AbortController();
    const rows = runtime.measure({}, leaving.signal);
    await clock.advance(0);
    leaving.abort(new Error("left"));
    await expect(rows).rejects.toThrow("left");
    await clock.advance(0);
    expect(llama.child.alive).toBe(false);
    expect(runtime.snapshot().backends[0]).toMatchObject({ state: "up" });
    expect(llama.children).toHaveLength(1);
    await runtime.close();
  });

  test("does not wait for ever: a minute for a timing, two seconds for a llama-server that does not end", async () => {
    const { runtime, clock, llama, log } = setUp();
    llama.onSpawn = (child) => {
      child.deaf = true;
    };
    await runtime.observe();
    const rows = runtime.measure({ endpoints: [FIRST] }, NEVER);
    await clock.advance(59_999);
    expect(llama.child.signals).toEqual([]);
    await clock.advance(1);
    expect(llama.child.signals).toEqual(["SIGTERM"]);
    await clock.advance(2_000);
    expect(llama.child.signals).toEqual(["SIGTERM", "SIGKILL"]);
    expect((await rows)[0]?.failure).toMatchObject({ code: "coordinator_timeout" });
    expect(log.lines()).toContain("warn the llama-server of a timing does not end on SIGTERM: killing it");
    await runtime.close();
  });

  test("tells of a llama-server that dies", async () => {
    const { runtime, clock, llama } = setUp();
    llama.onSpawn = (child) => child.exit(1);
    await runtime.observe();
    const rows = await advanceUntil(clock, runtime.measure({ endpoints: [FIRST] }, NEVER));
    expect(rows[0]?.failure).toMatchObject({ code: "coordinator_failed" });
    await runtime.close();
  });
});

describe("what was measured", () => {
  async function measured() {
    const world = setUp({ speeds: SPEEDS });
    await world.runtime.observe();
    await advanceUntil(world.clock, world.runtime.measure({}, NEVER));
    await world.runtime.close();
    return world.state;
  }

  test("is known at the next start, as soon as the backends answer", async () => {
    const { runtime, shown } = setUp({ state: await measured() });
    expect(shown()).toEqual([null, null, null]);
    await runtime.observe();
    expect(shown()).toEqual([11.8, 2.9, 24.6]);
    await runtime.close();
  });

  test("decides where a model goes: on the head node alone, where that was measured to be faster", async () => {
    const { runtime, clock } = setUp({ speeds: { head: 500 } });
    await runtime.observe();
    const placed = async () => {
      const { result } = await runtime.plan("a", NEVER);
      return result.ok ? result.plan.backends.length : null;
    };
    expect(await placed()).toBe(1);
    await advanceUntil(clock, runtime.measure({ head: true }, NEVER));
    expect(await placed()).toBe(0);
    await runtime.close();
  });

  test("is known as soon as a llama-server is found, when there was none at the start", async () => {
    const { runtime, clock, llama, rpc, shown } = setUp({ state: await measured() });
    llama.facts = new SynapticError("coordinator_failed", "Cannot find llama-server");
    await runtime.observe();
    // Held by another client since: its devices are those that it showed before.
    rpc.set(SECOND, { tag: "silent" });
    await clock.advance(6_000);
    expect(shown()).toEqual([null, null, null]);
    llama.facts = ENGINE;
    expect(await runtime.measure({ endpoints: [] }, NEVER)).toEqual([]);
    expect(shown()).toEqual([11.8, 2.9, 24.6]);
    await runtime.close();
  });

  test("is not known of other devices, nor by another build", async () => {
    const state = await measured();
    const { runtime, rpc, shown } = setUp({ state });
    const answer = upResult(SECOND);
    if (answer.tag === "up") rpc.set(SECOND, { ...answer, devices: [cpu(16 * 1024 ** 3)] });
    await runtime.observe();
    expect(shown()).toEqual([11.8, null, 24.6]);
    await runtime.close();
    const other = setUp({ state, engine: { ...ENGINE, build: 11_670 } });
    await other.runtime.observe();
    expect(other.shown()).toEqual([null, null, null]);
    await other.runtime.close();
  });

  test("takes nothing away that another synaptic has written meanwhile", async () => {
    const state = await measured();
    const ours = setUp({ speeds: { [FIRST]: 50 } });
    await ours.runtime.observe();
    // Theirs is written while we measure.
    for (const [name, value] of state.files) ours.state.files.set(name, value);
    await ours.clock.advance(1_000);
    await advanceUntil(ours.clock, ours.runtime.measure({ endpoints: [FIRST] }, NEVER));
    expect(ours.shown()).toEqual([5.8, 2.9, 24.6]);
    const next = setUp({ state: ours.state });
    await next.runtime.observe();
    expect(next.shown()).toEqual([5.8, 2.9, 24.6]);
    await Promise.all([ours.runtime.close(), next.runtime.close()]);
  });
});
