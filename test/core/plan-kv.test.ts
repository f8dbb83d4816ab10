/** What layers keep in memory: the cache as long as they see, padded as llama.cpp pads it, and a state for each slot. */
import { describe, expect, test } from "bun:test";
import { cacheCells, layerKvBytes, padContext, type Sizing, wantsFlashAttention } from "../../src/core/plan-kv.ts";
import { MIB } from "../../src/core/units.ts";
import { modelOf, R24 } from "../fixtures/model-facts.ts";

function sizing(more: Partial<Sizing> = {}): Sizing {
  return { contextSize: 4096, parallel: 1, kvType: "f16", microBatchSize: 512, flashAttention: true, ...more };
}

describe("the KV cache", () => {
  test("is exact: 2 MiB for each layer of r24 at 4096 tokens, as logged", () => {
    expect(layerKvBytes(R24, sizing())).toEqual(R24.layers.map(() => 2 * MIB));
  });

  test("takes 34 bytes for 32 elements in q8_0, 18 in q4_0", () => {
    expect(layerKvBytes(R24, sizing({ kvType: "q8_0" }))[0]).toBe(((2 * MIB) / 64) * 34);
    expect(layerKvBytes(R24, sizing({ kvType: "q4_0" }))[0]).toBe(((2 * MIB) / 64) * 18);
  });

  test("has its length padded to 256 tokens", () => {
    expect([1, 256, 257, 4000, 4096].map(padContext)).toEqual([256, 256, 512, 4096, 4096]);
  });

  test("of a window has room for one in each slot and a micro-batch, and never for more than the context", () => {
    expect(cacheCells(sizing(), 1000)).toBe(1536);
    expect(cacheCells(sizing({ parallel: 3 }), 1000)).toBe(3584);
    expect(cacheCells(sizing({ parallel: 4 }), 1000)).toBe(4096);
    expect(cacheCells(sizing({ parallel: 4 }), null)).toBe(4096);
  });

  test("pads values to the widest layer's without flash attention, where a layer has any", () => {
    const [layer] = R24.layers;
    if (!layer) throw new Error("no layer");
    const layers = [layer, { ...layer, valueElements: 64 }, { ...layer, valueElements: 0 }];
    expect(layerKvBytes({ layers }, sizing())).toEqual([2 * MIB, 1.5 * MIB, MIB]);
    expect(layerKvBytes({ layers }, sizing({ flashAttention: false }))).toEqual([2 * MIB, 2 * MIB, MIB]);
  });

  test("comes with a state for each slot, whatever the context and the type", () => {
    const layers = R24.layers.map((layer) => ({ ...layer, keyElements: 0, valueElements: 0, stateBytes: 1000 }));
    for (const kvType of ["f16", "q4_0"] as const) {
      expect(layerKvBytes({ layers }, sizing({ kvType, parallel: 3 }))[0]).toBe(3000);
    }
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
