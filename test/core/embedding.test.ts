/** Models that make vectors: known by their headers, placed on the head node alone, started for it, asked for nothing else. */
import { describe, expect, test } from "bun:test";
import { coordinatorArgs } from "../../src/core/argv.ts";
import { embeddingArgs, embeddingBatch, embeddingOf, encoderContext, refuseTask } from "../../src/core/embedding.ts";
import { meta } from "../../src/core/gguf-encode.ts";
import { modelFacts } from "../../src/core/model.ts";
import { modelKeys } from "../../src/core/model-keys.ts";
import { GIB } from "../../src/core/units.ts";
import { headerOf, tinyModel } from "../fixtures/gguf-model.ts";
import { planned, R24, refused } from "../fixtures/model-facts.ts";

function keysOf(architecture: string, pooling?: number) {
  const keys = pooling === undefined ? {} : { [`${architecture}.pooling_type`]: meta.u32(pooling) };
  return modelKeys(headerOf(tinyModel({ architecture, keys })), architecture);
}

const ENCODER = { ...R24, embedding: { pooling: "mean", isEncoder: true } } as const;
const HEAVY = { ...ENCODER, layers: R24.layers.map((layer) => ({ ...layer, weightBytes: GIB })) };
const HEAD = { freeBytes: 8 * GIB, totalBytes: 16 * GIB };

describe("a header", () => {
  test.each([
    ["bert", 2, { pooling: "cls", isEncoder: true }],
    ["bert", 0, { pooling: "mean", isEncoder: true }],
    ["nomic-bert", undefined, { pooling: "mean", isEncoder: true }],
    ["bert", 4, { pooling: "rank", isEncoder: true }],
    ["qwen3", 3, { pooling: "last", isEncoder: false }],
    ["qwen3", undefined, null],
    ["llama", 0, null],
  ] as const)("of %s with pooling %p", (architecture, pooling, expected) => {
    expect(embeddingOf(keysOf(architecture, pooling))).toEqual(expected);
  });

  test("of an encoder: no cache, and no output head that is the embeddings once more", () => {
    const result = modelFacts(headerOf(tinyModel({ architecture: "bert", without: ["output.weight"] })));
    if (!result.ok) throw new Error(result.reason);
    const { layers, tiedOutput, kvInexact, embedding } = result.facts;
    expect(layers.map(({ keyElements, valueElements }) => keyElements + valueElements)).toEqual([0, 0]);
    expect({ tiedOutput, kvInexact }).toEqual({ tiedOutput: false, kvInexact: null });
    expect(embedding?.pooling).toBe("mean");
  });
});

describe("a plan", () => {
  test("is the head node alone, however many backends there are, and without any", () => {
    for (const backends of [undefined, []]) {
      const plan = planned({ facts: ENCODER, head: HEAD, ...(backends && { backends }) });
      expect(plan).toMatchObject({ backends: [], offloadedLayers: 0, pooling: "mean", survives: [] });
      expect(plan.head.layers).toBe(plan.totalLayers);
      expect(plan.reasons).toEqual(["an embedding model: on the head node alone, never sharded"]);
    }
  });

  test("is refused with what is missing on the head node", () => {
    const { code, text } = refused({ facts: HEAVY, head: HEAD });
    expect(code).toBe("does_not_fit");
    expect(text).toMatch(/on the head node, where embedding models run: needs .* GiB, .* usable: .* missing/);
  });

  test("starts llama-server for vectors, or for ranks, unless the owner has said how", () => {
    const argsWith = (pooling: "mean" | "rank", extraArgs: readonly string[] = []) =>
      coordinatorArgs(
        planned({ facts: { ...ENCODER, embedding: { pooling, isEncoder: true } }, head: HEAD, options: { extraArgs } }),
        1,
      ).join(" ");
    expect(argsWith("mean")).toEndWith("--embeddings --pooling mean");
    expect(argsWith("rank")).toEndWith("--rerank");
    expect(argsWith("mean", ["--pooling", "cls"])).not.toContain("mean");
    expect(coordinatorArgs(planned({ facts: R24 }), 1)).not.toContain("--embeddings");
    expect(embeddingArgs(undefined, [])).toEqual([]);
  });

  test("counts the mask of an encoder, which grows with the square of the batch", () => {
    const bytesWith = (tokens: number) =>
      planned({
        facts: ENCODER,
        head: HEAD,
        options: { contextSize: tokens, batchSize: tokens, microBatchSize: tokens },
      }).head.computeBytes;
    expect(bytesWith(4096) - 2 * bytesWith(2048)).toBeGreaterThan(4096 * 2048 * 6);
  });
});

describe("a text", () => {
  test("is computed in one piece, but where only its last token counts", () => {
    expect(embeddingBatch({ pooling: "mean", isEncoder: true }, 2048)).toBe(2048);
    expect(embeddingBatch({ pooling: "last", isEncoder: true }, 2048)).toBe(2048);
    expect(embeddingBatch({ pooling: "mean", isEncoder: false }, 32_768)).toBe(8192);
    expect(embeddingBatch({ pooling: "last", isEncoder: false }, 32_768)).toBe(512);
  });

  test("is never longer than an encoder has positions", () => {
    expect(encoderContext(8192, 512)).toBe(512);
    expect(encoderContext(null, 512)).toBe(512);
    expect(encoderContext(null, 131_072)).toBe(8192);
    expect(encoderContext(256, 512)).toBe(256);
  });
});

describe("refuseTask()", () => {
  test("lets each model do its own, and nothing else", () => {
    const poolings = { text: null, embed: "mean", rank: "rank" } as const;
    const tasks = ["text", "embed", "rank"] as const;
    for (const own of tasks) {
      expect(tasks.filter((task) => refuseTask("m", poolings[own], task) === null)).toEqual([own]);
    }
    expect(refuseTask("m", "mean", "text")).toMatchObject({ code: "unsupported_parameter", param: "model" });
  });
});
