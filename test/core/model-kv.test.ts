/** What layers keep: windows, latent attention, states and borrowed caches as llama.cpp derives them from the keys. */
import { describe, expect, test } from "bun:test";
import { type GgufMeta, meta } from "../../src/core/gguf-encode.ts";
import { modelKeys } from "../../src/core/model-keys.ts";
import { kvInexactReason, type LayerCache, layerCache } from "../../src/core/model-kv.ts";
import { headerOf } from "../fixtures/gguf-model.ts";

const LAYERS = 12;

function keysOf(architecture: string, own: Readonly<Record<string, GgufMeta>>) {
  const base = {
    embedding_length: meta.u32(256),
    "attention.head_count": meta.u32(8),
    "attention.head_count_kv": meta.u32(2),
  };
  const metadata = Object.entries({ ...base, ...own }).map(
    ([key, value]) => [`${architecture}.${key}`, value] as const,
  );
  return modelKeys(headerOf({ metadata, tensors: [] }), architecture);
}

function layersOf(architecture: string, own: Readonly<Record<string, GgufMeta>>, layers = LAYERS): LayerCache[] {
  const keys = keysOf(architecture, own);
  return Array.from({ length: layers }, (_, layer) => layerCache(keys, layer, layers));
}

const WINDOW = { "attention.sliding_window": meta.u32(1_000) };
const PATTERN = "attention.sliding_window_pattern";

/** As llama-server prints `is_swa` of each layer. */
function windowsOf(architecture: string, own: Readonly<Record<string, GgufMeta>> = WINDOW, layers = LAYERS): string {
  return layersOf(architecture, own, layers)
    .map(({ window }) => (window === null ? "0" : "1"))
    .join("");
}

describe("windows, as llama-server 0.7.0 has them", () => {
  test.each([
    ["gemma2", "101010101010"],
    ["gemma3", "111110111110"],
    ["gemma3n", "111101111011"],
    ["gpt-oss", "101010101010"],
    ["cohere2", "111011101110"],
    ["cohere2moe", "011101110111"],
    ["olmo2", "111011101110"],
    ["llama4", "111011101110"],
    ["exaone-moe", "111011101110"],
    ["smallthinker", "011101110111"],
    ["laguna", "011101110111"],
    ["plamo3", "111111101111"],
    ["lfm2", "111111111111"],
    ["phi3", "000000000000"],
    ["llama", "000000000000"],
    ["exaone4", "000000000000"],
  ])("%s: %s", (architecture, flags) => {
    expect(windowsOf(architecture)).toBe(flags);
    expect(kvInexactReason(keysOf(architecture, WINDOW))).toBeNull();
  });

  test("a pattern in the file goes before: a period, or a flag for each layer", () => {
    const flags = meta.bools(Array.from({ length: LAYERS }, (_, i) => i === 1 || i === 5));
    for (const architecture of ["gemma2", "gemma3", "gpt-oss", "cohere2"]) {
      expect(windowsOf(architecture, { ...WINDOW, [PATTERN]: meta.u32(3) })).toBe("110110110110");
      expect(windowsOf(architecture, { ...WINDOW, [PATTERN]: flags })).toBe("010001000000");
    }
    expect(windowsOf("gemma4", { ...WINDOW, [PATTERN]: flags })).toBe("010001000000");
    expect(windowsOf("smallthinker", { ...WINDOW, [PATTERN]: meta.u32(3) })).toBe("011011011011");
    expect(windowsOf("lfm2", { ...WINDOW, [PATTERN]: flags })).toBe("111111111111");
    expect(windowsOf("gemma3", { ...WINDOW, [PATTERN]: meta.bools([true, false]) })).toBe("100000000000");
    expect(windowsOf("gemma3", { ...WINDOW, [PATTERN]: meta.u32(0) })).toBe("111111111111");
  });

  test("some have windows without the key, and of a fixed width", () => {
    const widths = (architecture: string, own: Readonly<Record<string, GgufMeta>>, layers = LAYERS) =>
      Math.max(...layersOf(architecture, own, layers).map(({ window }) => window ?? 0));
    expect([widths("gemma2", {}), widths("gemma2", WINDOW)]).toEqual([4_096, 1_000]);
    expect([widths("llama4", {}), widths("llama4", WINDOW)]).toEqual([8_192, 8_192]);
    expect(widths("llama4", { "attention.sliding_window": meta.u32(0) })).toBe(0);
    expect([widths("smallthinker", {}), widths("smallthinker", WINDOW)]).toEqual([0, 4_096]);
    expect([widths("gemma3", {}), widths("exaone4", {}, 64)]).toEqual([0, 4_096]);
  });

  test("a window that no rule explains is reserved in full, and said", () => {
    expect(windowsOf("brand-new")).toBe("000000000000");
    expect(kvInexactReason(keysOf("brand-new", WINDOW))).toContain("may see a sliding window of 1000 tokens");
    expect(kvInexactReason(keysOf("brand-new", { "attention.sliding_window": meta.u32(0) }))).toBeNull();
  });
});

describe("heads", () => {
  test("windowed layers may have others", () => {
    const own = { "attention.key_length": meta.u32(512), "attention.key_length_swa": meta.u32(256) };
    const flags = { [PATTERN]: meta.bools([true, false]) };
    const [windowed, full] = layersOf("gemma4", { ...WINDOW, ...flags, ...own });
    expect(windowed).toMatchObject({ keyElements: 512, valueElements: 64, window: 1_000 });
    expect(full).toMatchObject({ keyElements: 1_024, valueElements: 64, window: null });
  });

  test("latent attention keeps compressed keys, and no values", () => {
    const latent = {
      "attention.head_count_kv": meta.u32(1),
      "attention.key_length": meta.u32(576),
      "attention.value_length": meta.u32(512),
      "attention.key_length_mla": meta.u32(192),
      "attention.value_length_mla": meta.u32(128),
    };
    expect(layersOf("deepseek2", latent)[0]).toMatchObject({ keyElements: 576, valueElements: 0 });
    expect(kvInexactReason(keysOf("deepseek2", latent))).toBeNull();
    expect(layersOf("kimi-new", latent)[0]).toMatchObject({ keyElements: 576, valueElements: 512 });
    expect(kvInexactReason(keysOf("kimi-new", latent))).toContain("MLA");
    const indexed = { ...latent, "attention.indexer.key_length": meta.u32(128) };
    expect(layersOf("deepseek32", indexed)[0]).toMatchObject({ keyElements: 704, valueElements: 512 });
    expect(kvInexactReason(keysOf("deepseek32", indexed))).toContain("index");
  });
});

describe("layers that borrow", () => {
  test("Gemma 4 says how many, Gemma 3n has 20 of its own; they keep nothing", () => {
    const flags = { [PATTERN]: meta.bools(Array.from({ length: LAYERS }, (_, i) => i % 6 !== 5)) };
    const layers = layersOf("gemma4", { ...WINDOW, ...flags, "attention.shared_kv_layers": meta.u32(6) });
    expect(layers.map(({ borrows }) => borrows)).toEqual(Array.from({ length: LAYERS }, (_, i) => i >= 6));
    expect(layers[11]).toEqual({ keyElements: 0, valueElements: 0, window: null, stateBytes: 0, borrows: true });
    expect(layersOf("gemma3n", WINDOW, 30).filter(({ borrows }) => borrows)).toHaveLength(10);
    expect(kvInexactReason(keysOf("brand-new", { "attention.shared_kv_layers": meta.u32(6) }))).toContain("share");
  });
});

describe("states", () => {
  const SSM = { "ssm.conv_kernel": meta.u32(4), "ssm.inner_size": meta.u32(512), "ssm.state_size": meta.u32(16) };

  test("Mamba keeps its convolution's last inputs and its state, in f32, and no cache", () => {
    const none = { keyElements: 0, valueElements: 0, window: null, borrows: false };
    expect(layersOf("mamba", SSM)[0]).toEqual({ ...none, stateBytes: 4 * (3 * 512 + 16 * 512) });
    expect(kvInexactReason(keysOf("mamba", SSM))).toBeNull();
  });

  test("LFM2 convolves where a layer has no KV heads, and attends elsewhere", () => {
    const own = { "shortconv.l_cache": meta.u32(3), "attention.head_count_kv": meta.i32s([0, 2]) };
    const [convolves, attends] = layersOf("lfm2", own, 2);
    expect(convolves).toMatchObject({ keyElements: 0, stateBytes: 4 * 2 * 256 });
    expect(attends).toMatchObject({ keyElements: 64, stateBytes: 0 });
  });

  test("Qwen 3.5 attends in each fourth layer, or as the file says", () => {
    const own = { ...SSM, "ssm.group_count": meta.u32(2) };
    const attending = (more: Readonly<Record<string, GgufMeta>>) =>
      layersOf("qwen35", { ...own, ...more }).map(({ stateBytes }) => (stateBytes === 0 ? "A" : "r"));
    expect(attending({}).join("")).toBe("rrrArrrArrrA");
    expect(attending({ full_attention_interval: meta.u32(6) }).join("")).toBe("rrrrrArrrrrA");
    expect(layersOf("qwen35", own)[0]?.stateBytes).toBe(4 * (3 * (512 + 2 * 2 * 16) + 16 * 512));
  });

  test("Falcon-H1 does both in each layer; Nemotron-H keeps nothing in its feed-forward layers", () => {
    expect(layersOf("falcon-h1", SSM)[0]).toMatchObject({ keyElements: 64, stateBytes: 4 * (3 * 512 + 16 * 512) });
    const heads = { "attention.head_count_kv": meta.i32s([0, 0, 2]), feed_forward_length: meta.i32s([0, 512, 0]) };
    const layers = layersOf("nemotron_h", { ...SSM, ...heads }, 3);
    expect(layers.map(({ stateBytes, keyElements }) => [stateBytes > 0, keyElements > 0])).toEqual([
      [true, false],
      [false, false],
      [false, true],
    ]);
  });

  test("RWKV keeps its shifted tokens and a matrix", () => {
    const own = { "wkv.head_size": meta.u32(64), token_shift_count: meta.u32(2) };
    expect(layersOf("rwkv7", own)[0]?.stateBytes).toBe(4 * (2 * 256 + 256 * 64));
  });

  test("what was never measured is called inexact", () => {
    expect(kvInexactReason(keysOf("rwkv7", {}))).toContain("never measured");
    expect(kvInexactReason(keysOf("brand-new", SSM))).toContain("recurrent");
    expect(layersOf("brand-new", SSM)[0]).toMatchObject({ keyElements: 64, stateBytes: 0 });
  });
});
