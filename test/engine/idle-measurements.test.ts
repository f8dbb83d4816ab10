/** Backends are timed by themselves while nobody needs the server, and never in anybody's way. */
import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { MEASURE_HOLDER } from "../../src/core/timing.ts";
import { advanceUntil } from "../fakes/clock.ts";
import { modelOf } from "../fixtures/model-facts.ts";
import { NEVER, THREE } from "./fleet-support.ts";
import { type MeasureWorld, setUp } from "./measure-support.ts";

const [FIRST, SECOND] = THREE;

async function started(world: MeasureWorld = {}) {
  const parts = setUp(world);
  await parts.runtime.start();
  const acquire = async () => await parts.runtime.fleet.acquire(await parts.runtime.catalog.find("a"), NEVER);
  /** Until nothing is under way that a timing needs. */
  const timed = () => parts.llama.children.length;
  return { ...parts, acquire, timed };
}

/** A timing takes no time here but what the polls of `/health` take. */
const MOMENT_MS = 1_000;

describe("an idle server", () => {
  test("times nothing within a minute of its start, then one backend after another, each once", async () => {
    const { runtime, clock, shown, timed } = await started();
    await clock.advance(59_999);
    expect(timed()).toBe(0);
    await clock.advance(5_000 + MOMENT_MS);
    expect(shown()).toEqual([11.8, null, null]);
    await clock.advance(15_000);
    expect(shown()).toEqual([11.8, 11.8, 11.8]);
    await clock.advance(7_200_000);
    expect(timed()).toBe(3);
    await runtime.close();
  });

  test("shows which one it times", async () => {
    const { runtime, clock, llama, measuring, load } = await started();
    llama.onSpawn = () => {};
    await clock.advance(61_000);
    expect(runtime.snapshot().backends[0]).toMatchObject({ state: "leased", lease: MEASURE_HOLDER });
    const { result } = await runtime.plan("a", NEVER);
    // As a load would find it.
    expect(result.ok && result.plan.backends.map(({ endpoint }) => endpoint)).toEqual([FIRST]);
    load(llama.child);
    await clock.advance(MOMENT_MS);
    expect(measuring()).toBeNull();
    await runtime.close();
  });

  test("waits as long as the config says, or never", async () => {
    const soon = await started({ own: { measure: { idleMs: 2_000 } } });
    await soon.clock.advance(2_000 + MOMENT_MS);
    expect(soon.timed()).toBe(1);
    await soon.runtime.close();
    const never = await started({ own: { measure: { idleMs: 0 } } });
    await never.clock.advance(7_200_000);
    expect(never.timed()).toBe(0);
    await never.runtime.close();
  });

  test("times what another synaptic has not timed meanwhile", async () => {
    const { runtime, clock, shown, timed, state } = await started();
    const other = setUp({ state });
    await other.runtime.observe();
    await advanceUntil(other.clock, other.runtime.measure({ endpoints: [FIRST] }, NEVER));
    await clock.advance(61_000 + MOMENT_MS);
    expect(shown()).toEqual([11.8, 11.8, null]);
    expect(timed()).toBe(1);
    await Promise.all([runtime.close(), other.runtime.close()]);
  });

  test("leaves alone what is held, by us or by others", async () => {
    const { runtime, clock, acquire, rpc, shown } = await started();
    (await advanceUntil(clock, acquire())).release();
    rpc.set(SECOND, { tag: "silent" });
    await clock.advance(180_000);
    expect(shown()).toEqual([null, null, 11.8]);
    expect(runtime.snapshot().backends[1]).toMatchObject({ state: "busy" });
    await runtime.close();
  });
});

describe("a server in use", () => {
  test("times nothing while a request runs, nor for a minute after the last one", async () => {
    const { runtime, clock, acquire, timed } = await started();
    const grant = await advanceUntil(clock, acquire());
    await clock.advance(600_000);
    expect(timed()).toBe(1);
    grant.release();
    await clock.advance(59_000);
    expect(timed()).toBe(1);
    await clock.advance(7_000);
    expect(timed()).toBe(2);
    await runtime.close();
  });

  test("times nothing while an Ollama node answers: it may share the machine", async () => {
    const { runtime, clock, timed } = await started();
    const leave = runtime.inFlight.enter();
    await clock.advance(600_000);
    expect(timed()).toBe(0);
    leave?.();
    await clock.advance(61_000);
    expect(timed()).toBe(1);
    await runtime.close();
  });

  test("times nothing while a model loads, however long", async () => {
    const { runtime, clock, llama, acquire, timed } = await started();
    llama.onSpawn = (child) => child.say("0.00 I load_tensors:   CPU_Mapped model buffer size =    42.33 MiB");
    const grant = acquire();
    grant.catch(() => {});
    await clock.advance(110_000);
    expect(timed()).toBe(1);
    await runtime.close();
  });
});

describe("a request that comes during a timing", () => {
  test("gets the backend at once: the timing is given up, and made later", async () => {
    const { runtime, clock, llama, log, acquire, load, shown, measuring } = await started();
    llama.onSpawn = () => {};
    await clock.advance(61_000);
    expect(measuring()).toBe(FIRST);
    llama.onSpawn = load;
    const before = clock.now();
    const grant = await advanceUntil(clock, acquire());
    expect(clock.now() - before).toBeLessThan(1_000);
    expect(llama.children[0]?.signals).toEqual(["SIGTERM"]);
    expect(runtime.snapshot().backends[0]).toMatchObject({ lease: "a" });
    expect(log.lines().filter((line) => line.includes("not measured"))).toEqual([
      `info ${FIRST} is not measured now: Cannot measure now: a model is being loaded`,
    ]);
    grant.release();
    await runtime.fleet.unload("a");
    await clock.advance(66_000);
    expect(shown()[0]).toBe(11.8);
    await runtime.close();
  });

  test("has no idle model ended for it: what is timed is as good as free", async () => {
    // On two backends of the three.
    const { runtime, clock, llama, acquire, load, measuring } = await started({ large: modelOf({ layers: 120 }) });
    (await advanceUntil(clock, acquire())).release();
    const acquireLarge = async () => await runtime.fleet.acquire(await runtime.catalog.find("large"), NEVER);
    // Once before, so that its size is known.
    (await advanceUntil(clock, acquireLarge())).release();
    await runtime.fleet.unload("large");
    llama.onSpawn = () => {};
    await clock.advance(66_000);
    expect(measuring()).toBe(SECOND);
    llama.onSpawn = load;
    const grant = await advanceUntil(clock, acquireLarge());
    expect(runtime.snapshot().backends.map(({ lease }) => lease)).toEqual(["a", "large", "large"]);
    grant.release();
    await runtime.close();
  });

  test("gets one whose llama-server does not end, as soon as that is killed", async () => {
    const { runtime, clock, llama, acquire, load } = await started();
    llama.onSpawn = (child) => {
      child.deaf = true;
    };
    await clock.advance(61_000);
    llama.onSpawn = load;
    const before = clock.now();
    const grant = await advanceUntil(clock, acquire());
    expect(llama.children[0]?.signals).toEqual(["SIGTERM", "SIGKILL"]);
    expect(clock.now() - before).toBeLessThan(3_000);
    grant.release();
    await runtime.close();
  });

  test("ends it too when its model is loaded already: both would be slowed down", async () => {
    const { runtime, clock, llama, acquire, load, measuring } = await started();
    (await advanceUntil(clock, acquire())).release();
    llama.onSpawn = () => {};
    await clock.advance(66_000);
    expect(measuring()).toBe(SECOND);
    const grant = await acquire();
    await clock.advance(250);
    expect(llama.child.alive).toBe(false);
    await clock.advance(MOMENT_MS);
    expect(measuring()).toBeNull();
    llama.onSpawn = load;
    grant.release();
    await runtime.close();
  });

  test("ends a timing that somebody asked for, and the row says so", async () => {
    const { runtime, clock, llama, acquire, load } = await started();
    llama.onSpawn = () => {};
    const rows = runtime.measure({ endpoints: [FIRST, SECOND] }, NEVER);
    await clock.advance(1_000);
    llama.onSpawn = () => {};
    const grant = acquire();
    await clock.advance(100);
    expect((await rows).map(({ failure }) => failure)).toEqual([
      { code: "too_busy", message: "Cannot measure now: a model is being loaded" },
      { code: "too_busy", message: `Cannot measure ${SECOND} now: a is being loaded` },
    ]);
    load(llama.child);
    (await advanceUntil(clock, grant)).release();
    await runtime.close();
  });
});

describe("a timing that fails", () => {
  test("is told once, and tried again after an hour", async () => {
    const { runtime, clock, llama, log, load, shown } = await started();
    llama.onSpawn = (child) => (child.valueOf("--rpc") === FIRST ? child.exit(1) : load(child));
    await clock.advance(90_000);
    expect(shown()).toEqual([null, 11.8, 11.8]);
    await clock.advance(3_500_000);
    expect(log.lines().filter((line) => line.includes("cannot be measured"))).toHaveLength(1);
    llama.onSpawn = load;
    await clock.advance(100_000);
    expect(shown()[0]).toBe(11.8);
    await runtime.close();
  });

  test("of all, since the model cannot be written, is told once for all", async () => {
    const parts = setUp();
    const error = new SynapticError("coordinator_failed", "Cannot write the timing model to /c: ENOSPC");
    Object.assign(parts.ports, { timingModel: () => Promise.reject(error) });
    await parts.runtime.start();
    await parts.clock.advance(3_000_000);
    expect(parts.log.lines().filter((line) => line.startsWith("warn"))).toEqual([
      "warn No backend is timed: Cannot write the timing model to /c: ENOSPC",
    ]);
    await parts.runtime.close();
  });
});

test("close() ends a timing under way, and none comes after", async () => {
  const { runtime, clock, llama, timed } = await started();
  llama.onSpawn = () => {};
  await clock.advance(61_000);
  expect(llama.child.alive).toBe(true);
  await runtime.close();
  expect(llama.child.alive).toBe(false);
  await clock.advance(600_000);
  expect(timed()).toBe(1);
  expect(clock.pending()).toBe(0);
});
