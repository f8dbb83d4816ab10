/** The runtime as one thing: observes, preloads, says when it is ready, and ends without a remainder. */
import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import type { ModelFacts } from "../../src/core/model.ts";
import { Runtime } from "../../src/engine/runtime.ts";
import { advanceUntil } from "../fakes/clock.ts";
import { ENGINE } from "../fakes/llama-port.ts";
import { logOfPlan } from "../fixtures/engine-log.ts";
import { modelOf } from "../fixtures/model-facts.ts";
import { configOf, NEVER, portsOf, THREE } from "./fleet-support.ts";

const FILES = { models: { files: { a: "/models/a.gguf" } } };

function setUp(
  more: Readonly<Record<string, unknown>> = {},
  own: Readonly<Record<string, unknown>> = FILES,
  models: Readonly<Record<string, ModelFacts>> = { a: modelOf() },
) {
  const parts = portsOf(models);
  const config = configOf({ own, more });
  const runtime = new Runtime({ config, ports: parts.ports, version: "1.2.3" });
  parts.llama.onSpawn = (child) => {
    const { coordinators } = runtime.snapshot();
    const plan = coordinators.find((each) => each.plan?.command.includes(child.valueOf("--port")))?.plan;
    if (plan) child.load(logOfPlan(plan));
  };
  return { ...parts, runtime };
}

describe("start()", () => {
  test("is over when the first round is, and then ready", async () => {
    const { runtime, rpc, clock } = setUp();
    rpc.set("10.0.0.2:50052", "hang");
    expect(runtime.snapshot()).toMatchObject({ version: "1.2.3", ready: false, engine: null, coordinators: [] });
    const started = runtime.start();
    await clock.advance(0);
    expect(runtime.snapshot()).toMatchObject({ ready: false, startedAt: "2026-11-24T18:00:00.000Z" });
    rpc.settle("10.0.0.2:50052", { tag: "silent" });
    await started;
    const { ready, engine, backends } = runtime.snapshot();
    expect([ready, engine]).toEqual([true, ENGINE]);
    expect(backends.map(({ endpoint, state }) => [endpoint, state])).toEqual([
      [THREE[0], "up"],
      [THREE[1], "busy"],
      [THREE[2], "up"],
    ]);
    await runtime.close();
  });

  test("judges backends by the protocol of the engine that was found", async () => {
    const { runtime, llama } = setUp();
    llama.facts = { ...ENGINE, protocol: { major: 9, minor: 0 } };
    await runtime.start();
    expect(runtime.snapshot().backends.map(({ state }) => state)).toEqual([
      "incompatible",
      "incompatible",
      "incompatible",
    ]);
    await runtime.close();
  });

  test("serves without an engine, and says so", async () => {
    const { runtime, llama, log } = setUp();
    llama.facts = new SynapticError("coordinator_failed", "Cannot find llama-server");
    await runtime.start();
    expect(runtime.snapshot()).toMatchObject({ ready: true, engine: null });
    expect(log.lines()).toContain("warn Cannot find llama-server");
    await runtime.close();
  });

  test("warns of an engine outside of the tested range", async () => {
    const { runtime, llama, log } = setUp();
    llama.facts = { ...ENGINE, build: 20_000 };
    await runtime.start();
    expect(log.lines().filter((line) => line.startsWith("warn"))).toEqual([
      expect.stringContaining("is newer than what is tested"),
    ]);
    await runtime.close();
  });
});

describe("a preload", () => {
  test("is loaded before it is ready", async () => {
    const { runtime, clock, log } = setUp({ model: "a" });
    await advanceUntil(clock, runtime.start());
    expect(runtime.snapshot()).toMatchObject({
      ready: true,
      coordinators: [{ model: "a", state: "ready", slots: { busy: 0 } }],
    });
    expect(log.lines()).toContain("info ready: a");
    await runtime.close();
  });

  test("of several models is one after the other; one that has no room beside them is left to its first request", async () => {
    const files = { a: "/models/a.gguf", b: "/models/b.gguf", c: "/models/c.gguf" };
    const settings = { a: { preload: true }, b: { preload: true }, c: { preload: true } };
    const { runtime, clock, llama, log } = setUp({}, { models: { files, settings } }, { b: modelOf({ layers: 120 }) });
    await advanceUntil(clock, runtime.start());
    expect(llama.children.map((child) => child.valueOf("--alias"))).toEqual(["a", "b"]);
    expect(runtime.snapshot()).toMatchObject({
      ready: true,
      coordinators: [
        { model: "a", state: "ready" },
        { model: "b", state: "ready" },
      ],
    });
    expect(log.lines().at(-1)).toStartWith("warn c is not preloaded: it does not fit beside the others");
    const grant = runtime.fleet.acquire(await runtime.catalog.find("c"), NEVER);
    (await advanceUntil(clock, grant)).release();
    expect(runtime.snapshot().coordinators[0]).toMatchObject({ model: "a", state: "idle" });
    await runtime.close();
  });

  test("that does not exist is warned of, and the rest serves", async () => {
    const { runtime, log } = setUp({ model: "nosuch" });
    await runtime.start();
    expect(runtime.snapshot()).toMatchObject({ ready: true, coordinators: [] });
    expect(log.lines().at(-1)).toStartWith("warn Nothing is preloaded: The model 'nosuch' does not exist");
    await runtime.close();
  });

  test("that fails is told once with its reason, which stays in the snapshot", async () => {
    const { runtime, clock, llama, log } = setUp({ model: "a" });
    llama.onSpawn = (child) => {
      child.say("error: invalid argument: --kv-unified");
      child.exit(1);
    };
    await advanceUntil(clock, runtime.start());
    expect(runtime.snapshot()).toMatchObject({
      ready: true,
      coordinators: [{ state: "failed", lastFailure: expect.stringContaining("--kv-unified") }],
    });
    expect(log.lines().filter((line) => line.includes("--kv-unified"))).toHaveLength(1);
    expect(log.lines().at(-1)).toBe("warn a is not preloaded: the next request for it tries again");
    await runtime.close();
  });
});

describe("plan()", () => {
  test("plans a model by name, and knows no other", async () => {
    const { runtime } = setUp();
    await runtime.observe();
    expect((await runtime.plan("a", NEVER)).result.ok).toBe(true);
    await expect(runtime.plan("b", NEVER)).rejects.toMatchObject({ code: "model_not_found" });
    await runtime.close();
  });
});

describe("close()", () => {
  test("during a preload ends its child, and leaves no timer and no lease", async () => {
    const { runtime, clock, llama, log } = setUp({ model: "a" });
    llama.onSpawn = () => {};
    const started = runtime.start();
    await clock.advance(50);
    expect(llama.children).toHaveLength(1);
    await runtime.close();
    await started;
    await clock.advance(200);
    expect(llama.child.alive).toBe(false);
    expect(runtime.snapshot().backends.map(({ lease }) => lease)).toEqual([null, null, null]);
    expect(clock.pending()).toBe(0);
    expect(log.lines().filter((line) => line.includes("not preloaded"))).toEqual([]);
  });

  test("before the first round is over ends the probes", async () => {
    const { runtime, clock, rpc } = setUp();
    rpc.set("10.0.0.1:50052", "hang");
    const started = runtime.start();
    await clock.advance(0);
    await runtime.close();
    await started;
    expect(clock.pending()).toBe(0);
  });
});
