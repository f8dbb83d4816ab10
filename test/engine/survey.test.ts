/** The listing of all models: damaged ones with their reasons, the others with where they would run. */
import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { NO_DEFAULTS } from "../../src/core/model-defaults.ts";
import type { StoredModel } from "../../src/core/stored-model.ts";
import { GIB } from "../../src/core/units.ts";
import { Runtime } from "../../src/engine/runtime.ts";
import { advanceUntil } from "../fakes/clock.ts";
import { logOfPlan } from "../fixtures/engine-log.ts";
import { modelOf } from "../fixtures/model-facts.ts";
import { configOf, NEVER, portsOf } from "./fleet-support.ts";

const stored = (id: string, more: Partial<StoredModel> = {}): StoredModel => ({
  ...{ id, store: "/o", digest: "d".repeat(64), path: `/o/${id}.gguf`, bytes: 5, projector: null, adapters: [] },
  ...{ contextSize: null, args: [], defaults: NO_DEFAULTS, notes: [], defect: null },
  ...more,
});
const BROKEN = stored("broken:latest", { defect: { reason: "cut", hint: "pull it again" } });

interface World {
  readonly stored?: readonly StoredModel[];
  readonly own?: Readonly<Record<string, unknown>>;
  readonly more?: Readonly<Record<string, unknown>>;
}

async function setUp({ stored: models = [], own = {}, more = {} }: World = {}) {
  const facts = { small: modelOf(), huge: modelOf({ layers: 80, layerBytes: GIB }), "tagged:latest": modelOf() };
  const { ports, ...parts } = portsOf(facts);
  const files = { small: "/models/small.gguf", huge: "/models/huge.gguf", torn: "/models/torn.gguf" };
  const { read } = ports.models;
  const torn = new SynapticError("model_unreadable", "Cannot read model /models/torn.gguf: file is truncated", {
    hint: "h",
  });
  const withStore = {
    ...ports,
    models: {
      ...ports.models,
      read: (path: string, options: { signal: AbortSignal }) =>
        path.includes("torn") ? Promise.reject(torn) : read(path, options),
      stored: async () => ({ models, problems: [] }),
    },
  };
  const config = configOf({ own: { models: { files }, ...own }, more });
  const runtime = new Runtime({ config, ports: withStore, version: "1" });
  parts.llama.onSpawn = (child) => {
    const plan = runtime.snapshot().coordinators.at(-1)?.plan;
    if (plan) child.load(logOfPlan(plan));
  };
  await runtime.observe();
  const rows = async () => {
    const listing = await runtime.models(NEVER);
    return Object.fromEntries(listing.models.map((model) => [model.id, model]));
  };
  return { ...parts, runtime, rows };
}

describe("models()", () => {
  test("says of each what it is, and where it would run or why nowhere", async () => {
    const { runtime, rows } = await setUp();
    const { small, huge } = await rows();
    expect(small).toMatchObject({
      ...{
        architecture: "llama",
        quantization: "F16",
        contextSize: 4096,
        trainedContext: 4096,
        runs: true,
        defect: null,
      },
      origin: { kind: "file", where: "synaptic.models.files" },
      where: "10.0.0.1:50052",
    });
    expect(huge).toMatchObject({
      runs: false,
      contextSize: null,
      where: expect.stringMatching(/^needs .* usable: .* missing in whole layers$/),
    });
    await runtime.close();
  });

  test("lists the damaged with their reasons, known by the store or found in the file", async () => {
    const { runtime, rows } = await setUp({ stored: [BROKEN] });
    const { "broken:latest": broken, torn } = await rows();
    expect(broken).toMatchObject({ defect: BROKEN.defect, runs: false, architecture: null, bytes: 5 });
    expect(torn).toMatchObject({ defect: { reason: "file is truncated", hint: "h" }, runs: false });
    await runtime.close();
  });

  test("says where a loaded model lies, and loads it with what its Ollama params say", async () => {
    const args = ["--temp", "0.6"];
    const projector = { path: "/o/eyes", bytes: 7 };
    const tagged = stored("tagged:latest", {
      contextSize: 1024,
      args,
      projector,
      notes: ["its draft model is not used"],
    });
    const { runtime, rows, clock, llama, log } = await setUp({ stored: [tagged] });
    expect((await rows())["tagged:latest"]).toMatchObject({ contextSize: 1024, where: "10.0.0.1:50052", bytes: 5 });
    const grant = await advanceUntil(clock, runtime.fleet.acquire(await runtime.catalog.find("tagged"), NEVER));
    grant.release();
    const [child] = llama.children;
    expect([child?.valueOf("--temp"), child?.valueOf("--mmproj"), child?.valueOf("--ctx-size")]).toEqual([
      ...["0.6", "/o/eyes", "1024"],
    ]);
    expect(log.lines()).toContain("info tagged:latest: its draft model is not used");
    expect((await rows())["tagged:latest"]?.where).toBe("loaded on 10.0.0.1:50052");
    await runtime.close();
  });

  test("says that nothing runs where sharding is off, or there is no engine, and lists all the same", async () => {
    const off = await setUp({ more: { model_sharding_enabled: false } });
    expect((await off.rows()).small).toMatchObject({ runs: false, where: "model sharding is switched off" });
    await off.runtime.close();
    const bare = await setUp();
    bare.llama.engines = () =>
      Promise.reject(new SynapticError("coordinator_failed", "Cannot find llama-server", { hint: "h" }));
    expect((await bare.rows()).small).toMatchObject({
      ...{ runs: false, architecture: "llama", where: "Cannot find llama-server", reasons: ["h"] },
    });
    await bare.runtime.close();
  });
});

test("a tag that got other files since loads these the next time", async () => {
  const files = ["/o/first.gguf", "/o/second.gguf"];
  const models = [stored("m:latest", { path: files[0] ?? "" })];
  const { runtime, clock, llama } = await setUp({ stored: models });
  const load = async () => {
    (await advanceUntil(clock, runtime.fleet.acquire(await runtime.catalog.find("m"), NEVER))).release();
  };
  await load();
  models.splice(0, 1, stored("m:latest", { path: files[1] ?? "" }));
  await advanceUntil(clock, runtime.fleet.unload("m:latest"));
  await clock.advance(2_000);
  await load();
  expect(llama.children.map((child) => child.valueOf("--model"))).toEqual(files);
  await runtime.close();
});
