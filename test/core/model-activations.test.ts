/** activationElements(): the widest step of a layer, by what its keys say. */
import { describe, expect, test } from "bun:test";
import { type GgufMeta, meta } from "../../src/core/gguf-encode.ts";
import { activationElements, perLayerInputs } from "../../src/core/model-activations.ts";
import { modelKeys } from "../../src/core/model-keys.ts";
import { headerOf } from "../fixtures/gguf-model.ts";

function keysOf(architecture: string, own: Readonly<Record<string, GgufMeta>>) {
  const base = { embedding_length: meta.u32(256), "attention.head_count": meta.u32(4) };
  const metadata = Object.entries({ ...base, ...own }).map(
    ([key, value]) => [`${architecture}.${key}`, value] as const,
  );
  return modelKeys(headerOf({ metadata, tensors: [] }), architecture);
}

const elements = (architecture: string, own: Readonly<Record<string, GgufMeta>>) =>
  activationElements(keysOf(architecture, own));

describe("the widest step is", () => {
  test("the feed-forward's gate, up and their product, of the largest layer", () => {
    expect(elements("llama", { feed_forward_length: meta.u32(1024) })).toBe(3 * 1024);
    expect(elements("llama", { feed_forward_length: meta.i32s([512, 2048]) })).toBe(3 * 2048);
  });

  test("three rows and an answer for each expert of a token", () => {
    const experts = { expert_used_count: meta.u32(8), expert_feed_forward_length: meta.u32(768) };
    expect(elements("qwen3moe", { ...experts, feed_forward_length: meta.u32(512) })).toBe(8 * (256 + 3 * 768));
    const mixtral = { expert_used_count: meta.u32(2), feed_forward_length: meta.u32(1000) };
    expect(elements("llama", mixtral)).toBe(2 * (256 + 3 * 1000));
  });

  test("attention, where heads are wider than the rest", () => {
    expect(elements("qwen3", { "attention.head_count_kv": meta.u32(1), "attention.key_length": meta.u32(256) })).toBe(
      3 * (4 * 256 + 256),
    );
  });

  test("latent attention's way into the compressed space and back", () => {
    const latent = {
      "attention.key_length": meta.u32(576),
      "attention.value_length": meta.u32(512),
      "attention.kv_lora_rank": meta.u32(512),
      "attention.key_length_mla": meta.u32(192),
      "attention.value_length_mla": meta.u32(128),
    };
    expect(elements("deepseek2", latent)).toBe(4 * (192 + 512 + 576 + 64));
  });

  test("a recurrent layer's projections", () => {
    expect(elements("mamba", { "ssm.inner_size": meta.u32(5000) })).toBe(25_000);
    const linear = {
      "ssm.inner_size": meta.u32(512),
      "ssm.group_count": meta.u32(16),
      "ssm.state_size": meta.u32(128),
    };
    expect(elements("qwen35", linear)).toBe(3 * (512 + 2 * 16 * 128));
    expect(elements("lfm2", { "shortconv.l_cache": meta.u32(3) })).toBeGreaterThanOrEqual(3 * 256);
  });

  test("more by eight rows where the architecture was never measured", () => {
    const own = { feed_forward_length: meta.u32(1024) };
    expect(elements("brand-new", own)).toBe(elements("llama", own) + 8 * 256);
  });
});

test("perLayerInputs() counts one input for each layer", () => {
  const own = { block_count: meta.u32(30), embedding_length_per_layer_input: meta.u32(256) };
  expect(perLayerInputs(keysOf("gemma4", own))).toBe(30 * 256);
  expect(perLayerInputs(keysOf("llama", { block_count: meta.u32(30) }))).toBe(0);
});
