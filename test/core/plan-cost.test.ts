/** What layers cost: weights, cache and the compute reserve, held against buffers that llama.cpp 0.7.0 really made. */
import { describe, expect, test } from "bun:test";
import {
  computeReserve,
  kvBytes,
  LayerCosts,
  padContext,
  type Sizing,
  wantsFlashAttention,
} from "../../src/core/plan-cost.ts";
import { MIB } from "../../src/core/units.ts";
import { BIG, modelOf, R24 } from "../fixtures/model-facts.ts";

function sizing(more: Partial<Sizing> = {}): Sizing {
  return { contextSize: 4096, kvType: "f16", microBatchSize: 512, flashAttention: true, ...more };
}

/** MiB as logged by `sched_reserve`, `-ub 512`: the largest of three backends, then the head node's. */
const MEASURED = [
  { name: "r24, 4096 tokens", facts: R24, contextSize: 4096, flashAttention: true, backend: 28.8, head: 23.6 },
  { name: "r24, 32768 tokens", facts: R24, contextSize: 32_768, flashAttention: true, backend: 140.8, head: 135.6 },
  {
    name: "r24 without flash attention",
    facts: R24,
    contextSize: 4096,
    flashAttention: false,
    backend: 94.8,
    head: 41.6,
  },
  { name: "a wider model", facts: BIG, contextSize: 4096, flashAttention: true, backend: 62.8, head: 43.6 },
  { name: "r24 on one backend", facts: R24, contextSize: 4096, flashAttention: true, backend: 7.8, head: 7.0 },
];

describe("the compute reserve", () => {
  for (const { name, facts, backend, head, ...size } of MEASURED) {
    test(`is above what ${name} really took`, () => {
      const costs = new LayerCosts(facts, sizing(size));
      expect(costs.run(0, 1).computeBytes).toBeGreaterThan(backend * MIB);
      expect(costs.run(24, 25).computeBytes).toBeGreaterThan(backend * MIB);
      expect(costs.head.computeBytes).toBeGreaterThan(head * MIB);
    });
  }

  test("wastes little where it is large: less than half more than was taken", () => {
    for (const { facts, backend, head, ...size } of MEASURED.filter((row) => row.backend > 60)) {
      const costs = new LayerCosts(facts, sizing(size));
      expect(costs.run(0, 25).computeBytes).toBeLessThan(1.5 * backend * MIB);
      expect(costs.head.computeBytes).toBeLessThan(1.5 * head * MIB);
    }
  });

  test("counts the logits of one micro-batch where the output head lies", () => {
    const facts = modelOf({}, { vocabularySize: 128_000 });
    const logits = computeReserve(facts, sizing(), true) - computeReserve(facts, sizing(), false);
    expect(logits).toBe(512 * 128_000 * 4);
  });
});

describe("the KV cache", () => {
  const [layer] = R24.layers;
  if (!layer) throw new Error("no layer");

  test("is exact: 2 MiB for each layer of r24 at 4096 tokens, as logged", () => {
    expect(kvBytes(layer, sizing())).toBe(2 * MIB);
  });

  test("takes 34 bytes for 32 elements in q8_0, 18 in q4_0", () => {
    expect(kvBytes(layer, sizing({ kvType: "q8_0" }))).toBe(((2 * MIB) / 64) * 34);
    expect(kvBytes(layer, sizing({ kvType: "q4_0" }))).toBe(((2 * MIB) / 64) * 18);
  });

  test("has its length padded to 256 tokens", () => {
    expect([1, 256, 257, 4000, 4096].map(padContext)).toEqual([256, 256, 512, 4096, 4096]);
  });
});

describe("flash attention", () => {
  test("is on for the head sizes that all kernels know, off for others", () => {
    expect(wantsFlashAttention(modelOf({}, { headSize: 128 }), "f16")).toBe(true);
    expect(wantsFlashAttention(modelOf({}, { headSize: 100 }), "f16")).toBe(false);
  });

  test("is on for a quantised cache whatever the head size", () => {
    expect(wantsFlashAttention(modelOf({}, { headSize: 100 }), "q8_0")).toBe(true);
  });
});

describe("LayerCosts", () => {
  const costs = new LayerCosts(modelOf({}, { perDeviceBytes: 7 }), sizing());

  test("run() sums layers, the output head last, and what each device needs a copy of", () => {
    expect(costs.run(0, 2)).toMatchObject({ modelBytes: 200 * MIB + 7, kvBytes: 32 * MIB });
    expect(costs.run(23, 25)).toMatchObject({ modelBytes: 150 * MIB + 7, kvBytes: 16 * MIB });
    expect(costs.run(3, 3)).toEqual({ modelBytes: 0, kvBytes: 0, computeBytes: 0 });
  });

  test("fill() takes as many layers as fit, and not one more", () => {
    for (const layers of [1, 5, 24, 25]) {
      const bytes = costs.total(0, layers);
      expect([costs.fill(0, bytes), costs.fill(0, bytes - 1)]).toEqual([layers, layers - 1]);
    }
    expect(costs.fill(20, 1)).toBe(20);
    expect(costs.fill(0, Number.MAX_SAFE_INTEGER)).toBe(25);
  });
});
