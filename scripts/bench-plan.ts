/** The planner alone: how long one plan takes for more machines and layers than anybody has. */
import type { ModelFacts } from "../src/core/model.ts";
import { planModel } from "../src/core/plan.ts";
import type { BackendFacts, Placement, PlanInput } from "../src/core/plan-types.ts";
import { formatEndpoint, GIB, MIB } from "../src/core/units.ts";
import { formatNumber, markdownTable, spreadOf } from "./bench-stats.ts";

const RUNS = 100;

/** Shaped like a model of 70 billion parameters, with more layers. */
function modelOf(layers: number): ModelFacts {
  return {
    architecture: "llama",
    name: "bench",
    quantization: "Q4_K_M",
    parameters: 70e9,
    fileBytes: layers * 500 * MIB,
    trainedContext: 131_072,
    embeddingLength: 8_192,
    headCount: 64,
    headSize: 128,
    activationElements: 3 * 28_672,
    perLayerInputs: 0,
    vocabularySize: 128_256,
    layers: Array.from({ length: layers }, (_, i) => ({
      weightBytes: (480 + (i % 7) * 5) * MIB,
      keyElements: 1_024,
      valueElements: 1_024,
      window: null,
      stateBytes: 0,
      borrows: false,
    })),
    inputBytes: 560 * MIB,
    outputBytes: 820 * MIB,
    tiedOutput: false,
    perDeviceBytes: 0,
    kvInexact: null,
    chatTemplate: true,
  };
}

function backendsOf(count: number): readonly BackendFacts[] {
  return Array.from({ length: count }, (_, i) => {
    const freeBytes = (8 + ((i * 37) % 41)) * GIB;
    return {
      endpoint: formatEndpoint(`10.0.${Math.floor(i / 250)}.${(i % 250) + 1}`, 50_052),
      machine: `10.0.${Math.floor(i / 250)}.${(i % 250) + 1}`,
      devices: [{ index: 0, kind: "accelerator" as const, freeBytes, totalBytes: 48 * GIB }],
      speed: { bytesPerSecond: (5 + ((i * 53) % 97)) * 1e9, build: "0.7.0", measuredAt: "" },
      rttMs: 0.5,
    };
  });
}

function inputOf(backends: number, layers: number, placement: Placement): PlanInput {
  return {
    facts: modelOf(layers),
    backends: backendsOf(backends),
    localDevices: [],
    leftOut: [],
    options: {
      model: "bench",
      path: "bench.gguf",
      placement,
      contextSize: 8_192,
      parallel: 4,
      kvType: "f16",
      batchSize: 2_048,
      microBatchSize: 512,
      extraArgs: [],
    },
  };
}

/** From facts to plan, survival of each single loss included; of the 1,000 a plan takes the best 15 at most. */
export function benchPlan(): string {
  const rows = [
    { backends: 4, layers: 80 },
    { backends: 16, layers: 200 },
    { backends: 1_000, layers: 200 },
  ].flatMap(({ backends, layers }) =>
    (["fewest", "spread", "resilient"] as const).map((placement) => {
      const input = inputOf(backends, layers, placement);
      const times: number[] = [];
      let used = 0;
      for (let round = 0; round < RUNS; round++) {
        const started = performance.now();
        const result = planModel(input);
        times.push(performance.now() - started);
        used = result.ok ? result.plan.backends.length : 0;
      }
      const { median, p99 } = spreadOf(times);
      return [backends, layers, placement, used, formatNumber(median), formatNumber(p99)];
    }),
  );
  return markdownTable(["backends", "layers", "placement", "used", "median (ms)", "p99"], rows);
}
