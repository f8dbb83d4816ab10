/** What layers cost: weights, cache and the compute reserve, held against buffers that llama.cpp 0.7.0 really made. */
import { describe, expect, test } from "bun:test";
import { LayerCosts } from "../../src/core/plan-cost.ts";
import type { Sizing } from "../../src/core/plan-kv.ts";
import { MIB } from "../../src/core/units.ts";
import { BIG, modelOf, R24 } from "../fixtures/model-facts.ts";

function sizing(more: Partial<Sizing> = {}): Sizing {
  return { contextSize: 4096, parallel: 1, kvType: "f16", microBatchSize: 512, flashAttention: true, ...more };
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

  test("counts the logits of one micro-batch where the output head lies, when they are the widest step", () => {
    const costs = new LayerCosts(modelOf({}, { vocabularySize: 128_000 }), sizing());
    const more = new LayerCosts(modelOf({}, { vocabularySize: 129_000 }), sizing());
    const grown = more.run(20, 25).computeBytes - costs.run(20, 25).computeBytes;
    expect(grown / (512 * 1000 * 4)).toBeCloseTo(1.02, 5);
    expect(more.run(20, 24)).toEqual(costs.run(20, 24));
  });

  test("has no mask and no scores where the output head lies alone", () => {
    const costs = new LayerCosts(R24, sizing({ flashAttention: false, contextSize: 32_768 }));
    expect(costs.run(24, 25).computeBytes).toBeLessThan(16 * MIB);
    expect(costs.run(23, 25).computeBytes).toBeGreaterThan(400 * MIB);
  });

  test("is less on a single device, which keeps no copies for pipelining; devices without layers count", () => {
    const costs = new LayerCosts(R24, sizing({ contextSize: 32_768 }));
    const alone = costs.among(1);
    expect(alone.run(0, 25).computeBytes).toBeGreaterThan(35.6 * MIB);
    expect(alone.run(0, 25).computeBytes).toBeLessThan(42 * MIB);
    expect(alone.head.computeBytes).toBeLessThan(39 * MIB);
    expect(costs.among(2)).toBe(costs);
    expect(costs.among(1)).toBe(alone);
    expect(alone.among(5)).toBe(alone);
  });

  test("counts the masks of the layers that a device holds: some see a window only", () => {
    const layers = R24.layers.map((layer, i) => (i < 12 ? { ...layer, window: 1000 } : layer));
    const costs = new LayerCosts({ ...R24, layers }, sizing({ contextSize: 32_768 }));
    const mask = (cells: number) => (4 * 512 * cells * 2 * 1.02) / MIB;
    const [windowed, full, both] = [costs.run(2, 10), costs.run(12, 20), costs.run(6, 20)].map(
      ({ computeBytes }) => computeBytes / MIB,
    );
    expect((full ?? 0) - (windowed ?? 0)).toBeCloseTo(mask(32_768 - 1536), 1);
    expect((both ?? 0) - (full ?? 0)).toBeCloseTo(mask(1536), 1);
  });

  test("counts caches that lie elsewhere, once for each layer that looks into them", () => {
    const layers = R24.layers.map((layer, i) =>
      i < 20 ? layer : { ...layer, keyElements: 0, valueElements: 0, borrows: true },
    );
    const costs = new LayerCosts({ ...R24, layers }, sizing());
    const lent = (from: number, to: number) =>
      (costs.run(from, to).computeBytes - costs.run(1, 2).computeBytes) / (4 * 2 * MIB * 1.02);
    expect(lent(20, 24)).toBeCloseTo(4, 5);
    expect(lent(22, 24)).toBeCloseTo(2, 5);
    expect(lent(19, 22)).toBeCloseTo(2, 5);
    expect(lent(18, 24)).toBe(0);
    expect(lent(2, 20)).toBe(0);
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
