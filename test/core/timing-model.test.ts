/** The timing model is what it is meant to be, and so are the plans that it is timed on. */
import { describe, expect, test } from "bun:test";
import { parseGgufHeader } from "../../src/core/gguf.ts";
import { encodeHeader } from "../../src/core/gguf-encode.ts";
import { type ModelFacts, modelFacts } from "../../src/core/model.ts";
import type { Plan } from "../../src/core/plan-types.ts";
import { proveLoad } from "../../src/core/proof.ts";
import { timingModelBytes, timingModelFile } from "../../src/core/timing-model.ts";
import { planTiming, type TimingSubject, timedBytes } from "../../src/core/timing-plan.ts";
import { GIB, MIB } from "../../src/core/units.ts";
import { logOfPlan, seenIn } from "../fixtures/engine-log.ts";
import { backendsWith, cpu, gpu } from "../fixtures/model-facts.ts";

function factsOfFile(): ModelFacts {
  const parsed = parseGgufHeader(encodeHeader(timingModelFile()), timingModelBytes());
  if (parsed.tag !== "ok") throw new Error(JSON.stringify(parsed));
  const result = modelFacts(parsed.header);
  if (!result.ok) throw new Error(result.reason);
  return result.facts;
}

const FACTS = factsOfFile();
const HEAD = { freeBytes: 8 * GIB, totalBytes: 8 * GIB };
const GPU = { name: "CUDA0", description: "a card", freeBytes: 8 * GIB, totalBytes: 8 * GIB };

function planned(subject: Partial<TimingSubject>): Plan {
  const result = planTiming({ facts: FACTS, path: "/t.gguf", head: HEAD, localDevices: [], backend: null, ...subject });
  if (!result.ok) throw new Error(result.refusal.message);
  return result.plan;
}

describe("the timing model", () => {
  test("is larger than caches, and a second's upload", () => {
    expect(timingModelBytes()).toBeGreaterThan(96 * MIB);
    expect(timingModelBytes()).toBeLessThan(128 * MIB);
  });

  test("is nearly all in what each token reads", () => {
    expect(timedBytes(FACTS) / timingModelBytes()).toBeGreaterThan(0.99);
  });

  test("has no tensor that llama.cpp would hash and an rpc-server keep", () => {
    const sizes = timingModelFile().tensors.map(({ shape, type }) => {
      const values = shape.reduce((product, size) => product * size, 1);
      return type === "Q8_0" ? (values * 34) / 32 : values * 4;
    });
    expect(Math.max(...sizes)).toBeLessThan(10 * MIB);
  });
});

describe("planTiming()", () => {
  test("puts all layers on the one backend, whatever the head node has", () => {
    const [backend = null] = backendsWith(GIB);
    const plan = planned({ backend, localDevices: [GPU] });
    expect(plan.backends.map(({ layers }) => layers)).toEqual([4]);
    expect(plan.head.devices.map(({ layers }) => layers)).toEqual([0]);
    expect(plan.backends[0]?.modelBytes).toBe(timedBytes(FACTS));
  });

  test("uses all devices of a backend, since it is timed as one", () => {
    const plan = planned({ backend: { endpoint: "10.0.0.1:50052", devices: [gpu(8 * GIB), gpu(8 * GIB, 1)] } });
    expect(plan.backends[0]?.devices.map(({ layers }) => layers)).toEqual([2, 2]);
  });

  test("refuses a backend without room, in numbers", () => {
    const [backend = null] = backendsWith(64 * MIB);
    const result = planTiming({ facts: FACTS, path: "/t.gguf", head: HEAD, localDevices: [], backend });
    expect(result.ok ? "" : result.refusal.message).toMatch(
      /^Cannot place the timing model as pinned: .* MiB usable: .* missing$/,
    );
  });

  test("puts all on the head node's own devices when the head node is timed", () => {
    const plan = planned({ localDevices: [GPU] });
    expect(plan.backends).toEqual([]);
    expect(plan.head.devices.map(({ name, layers }) => [name, layers])).toEqual([["CUDA0", 4]]);
  });

  test("offloads nothing where the head node has a processor only, and proves that from the log", () => {
    const plan = planned({});
    expect([plan.backends, plan.head.devices, plan.offloadedLayers]).toEqual([[], [], 0]);
    expect(plan.head.kvBytes).toBe(3 * MIB);
    const log = logOfPlan(plan);
    expect(proveLoad(plan, FACTS, seenIn(log)).problems).toEqual([]);
    const withoutCache = log.filter((line) => !line.includes("KV buffer"));
    expect(proveLoad(plan, FACTS, seenIn(withoutCache)).proven).toBe(false);
  });

  test("keeps to the owner's limit of memory", () => {
    const backend = { endpoint: "10.0.0.1:50052", devices: [cpu(8 * GIB)], maxMemoryBytes: 50 * MIB } as const;
    expect(planTiming({ facts: FACTS, path: "/t.gguf", head: HEAD, localDevices: [], backend }).ok).toBe(false);
  });
});
