/** planInput(): the config's words and the backends as last seen, as the planner takes them. */
import { describe, expect, test } from "bun:test";
import { type PlannedModel, type PlanSources, planInput } from "../../src/core/plan-input.ts";
import type { BackendSnapshot } from "../../src/core/snapshot.ts";
import { GIB } from "../../src/core/units.ts";
import { ENGINE } from "../fakes/llama-port.ts";
import { cpu, endpointOf, modelOf } from "../fixtures/model-facts.ts";
import { accepted } from "./config-support.ts";

function seen(position: number, more: Partial<BackendSnapshot> = {}): BackendSnapshot {
  return {
    endpoint: endpointOf(position),
    machine: "10.0.0.1",
    state: "up",
    since: "2026-11-24T18:00:00.000Z",
    reason: "",
    protocol: "8.0.0",
    rttMs: 0.4,
    devices: [cpu(8 * GIB)],
    lease: null,
    ...more,
  };
}

const BACKENDS = [
  seen(0),
  seen(1, { state: "down", reason: "connection refused" }),
  seen(2, { state: "leased", lease: "other" }),
  seen(3, { state: "unknown" }),
];

const MODEL: PlannedModel = {
  id: "m",
  settingsId: "m",
  contextSize: null,
  args: [],
  projector: null,
  adapters: [],
};

function inputFor(
  own: Readonly<Record<string, unknown>> = {},
  model: Partial<PlannedModel> = {},
  more: Partial<PlanSources> = {},
) {
  const rpcBackends = BACKENDS.map(({ endpoint }) => ({ host: endpoint.split(":")[0], port: 50052 }));
  return planInput({
    model: { ...MODEL, ...model },
    path: "/models/m.gguf",
    config: accepted({ rpc_backends: rpcBackends, synaptic: own }),
    facts: modelOf(),
    engine: ENGINE,
    backends: BACKENDS,
    isUsable: ({ state }) => state === "up",
    ...more,
  });
}

describe("planInput()", () => {
  test("takes the usable backends, and says of each other why it is left out", () => {
    const { backends, leftOut } = inputFor();
    expect(backends).toEqual([{ endpoint: endpointOf(0), machine: "10.0.0.1", devices: [cpu(8 * GIB)], rttMs: 0.4 }]);
    expect(leftOut).toEqual([
      { endpoint: endpointOf(1), reason: "connection refused" },
      { endpoint: endpointOf(2), reason: "held by other" },
      { endpoint: endpointOf(3), reason: "unknown" },
    ]);
  });

  test("adds what the owner says of a backend", () => {
    const own = { backends: [{ endpoint: endpointOf(0), maxMemory: "2GiB", layers: 7, priority: 3, ownDevice: true }] };
    expect(inputFor(own).backends).toMatchObject([
      { maxMemoryBytes: 2 * GIB, layers: 7, priority: 3, ownDevice: true },
    ]);
  });

  test("takes the model's own settings before the config's", () => {
    const settings = { m: { contextSize: 1024, kvType: "q8_0", args: ["--threads", "2"] } };
    const { options } = inputFor({ contextSize: 8192, placement: "spread", models: { settings } });
    expect(options).toMatchObject({
      contextSize: 1024,
      kvType: "q8_0",
      extraArgs: ["--threads", "2"],
      placement: "spread",
    });
    expect(inputFor({ contextSize: 8192 }).options).toMatchObject({ contextSize: 8192, placement: "fewest" });
  });

  test("takes what the model brings along where the owner says nothing else", () => {
    const file = { path: "/o/blobs/sha256-1", bytes: 5 };
    const model = { contextSize: 2048, args: ["--temp", "0.6", "--top-k", "7"], projector: file, adapters: [file] };
    expect(inputFor({}, model).options).toMatchObject({
      contextSize: 2048,
      extraArgs: ["--temp", "0.6", "--top-k", "7"],
      projector: file,
      adapters: [file],
    });
    expect(inputFor({ contextSize: 8192 }, model).options.contextSize).toBe(8192);
    for (const flag of ["--temp", "--temperature"]) {
      const settings = { m: { contextSize: 512, args: [flag, "1"] } };
      expect(inputFor({ models: { settings } }, model).options).toMatchObject({
        contextSize: 512,
        extraArgs: ["--top-k", "7", flag, "1"],
      });
    }
  });

  test("takes the owner's projector before the model's, and reserves for a draft what it takes at most", () => {
    const mine = { path: "/mine", bytes: 5 };
    const draft = { path: "/d", facts: modelOf() };
    const { options } = inputFor({}, { projector: { path: "/theirs", bytes: 6 } }, { projector: mine, draft });
    expect(options.projector).toEqual(mine);
    const { bytes = 0 } = options.draft ?? {};
    const longer = inputFor({ contextSize: 8192 }, {}, { draft }).options.draft?.bytes ?? 0;
    // 4096 tokens, as many as the model was trained for: its file, and more than its f16 cache.
    const cache = (tokens: number) =>
      tokens * 2 * draft.facts.layers.reduce((sum, layer) => sum + layer.keyElements + layer.valueElements, 0);
    expect(bytes).toBeGreaterThan(draft.facts.fileBytes + cache(4096));
    expect(longer - bytes).toBeGreaterThanOrEqual(cache(4096));
    expect(inputFor({}).options.draft).toBeNull();
  });

  test("takes settings under the name that the owner wrote", () => {
    const settings = { Llama3: { parallel: 7 } };
    expect(inputFor({ models: { settings } }, { settingsId: "Llama3" }).options).toMatchObject({
      model: "m",
      parallel: 7,
    });
  });
});
