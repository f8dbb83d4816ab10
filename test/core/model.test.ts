/** modelFacts(): where bytes lie, what the cache takes, and what is no language model. */
import { describe, expect, test } from "bun:test";
import { meta } from "../../src/core/gguf-encode.ts";
import { type ModelFacts, modelFacts } from "../../src/core/model.ts";
import { headerOf, type TinyModel, tinyModel, VOCABULARY, WIDTH, zeros } from "../fixtures/gguf-model.ts";

const LAYER_BYTES = WIDTH * 4 + WIDTH * WIDTH * 2;
const EMBEDDING_BYTES = WIDTH * VOCABULARY * 2;
const NORM_BYTES = WIDTH * 4;

function factsOf(model: TinyModel = {}): ModelFacts {
  const result = modelFacts(headerOf(tinyModel(model)));
  if (result.ok) return result.facts;
  throw new Error(result.reason);
}

function reasonFor(model: TinyModel): string {
  const result = modelFacts(headerOf(tinyModel(model)));
  return result.ok ? "no refusal" : result.reason;
}

describe("modelFacts() of weights", () => {
  test("counts each layer, the embeddings on the head node, and the output head with its norm", () => {
    const facts = factsOf();
    expect(facts.layers.map((layer) => layer.weightBytes)).toEqual([LAYER_BYTES, LAYER_BYTES]);
    expect(facts.inputBytes).toBe(EMBEDDING_BYTES);
    expect(facts.outputBytes).toBe(EMBEDDING_BYTES + NORM_BYTES);
    expect(facts.tiedOutput).toBe(false);
    expect(facts.perDeviceBytes).toBe(0);
    expect(facts.parameters).toBe(2 * (WIDTH + WIDTH * WIDTH) + 2 * WIDTH * VOCABULARY + WIDTH);
  });

  test("counts the embeddings once more on the output head when it is tied to them", () => {
    const facts = factsOf({ without: ["output.weight"] });
    expect(facts.tiedOutput).toBe(true);
    expect(facts.inputBytes).toBe(EMBEDDING_BYTES);
    expect(facts.outputBytes).toBe(EMBEDDING_BYTES + NORM_BYTES);
  });

  test("knows what every device needs, and other tensors that stay on the head node", () => {
    const rope = ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];
    const tensors = [...rope.map((name) => zeros(name, [32], "F32")), zeros("position_embd.weight", [WIDTH, 2])];
    const facts = factsOf({ tensors });
    expect(facts.perDeviceBytes).toBe(3 * 32 * 4);
    expect(facts.inputBytes).toBe(EMBEDDING_BYTES + WIDTH * 2 * 2);
  });

  test("puts a norm that is named like an input with the output head where llama.cpp does", () => {
    const tensors = [zeros("token_embd_norm.weight", [WIDTH], "F32")];
    expect(factsOf({ tensors }).inputBytes).toBe(EMBEDDING_BYTES + NORM_BYTES);
    expect(factsOf({ architecture: "lfm2", tensors }).outputBytes).toBe(EMBEDDING_BYTES + 2 * NORM_BYTES);
  });

  test("puts projections that all layers share with the first layer", () => {
    const [first] = factsOf({ tensors: [zeros("per_layer_model_proj.weight", [WIDTH, 4])] }).layers;
    expect(first?.weightBytes).toBe(LAYER_BYTES + WIDTH * 4 * 2);
  });

  test("leaves out the prediction layers that the architecture skips, and counts them elsewhere, always without cache", () => {
    const facts = (architecture: string) =>
      factsOf({ architecture, keys: { [`${architecture}.nextn_predict_layers`]: meta.u32(1) } });
    expect(facts("glm4moe").layers[1]).toMatchObject({ weightBytes: 0, keyElements: 0, valueElements: 0 });
    expect(facts("deepseek2").layers[1]).toMatchObject({ weightBytes: LAYER_BYTES, keyElements: 0, valueElements: 0 });
    expect(facts("deepseek2").layers[0]?.keyElements).toBe(32);
  });
});

describe("modelFacts() of the cache", () => {
  test("multiplies KV heads by the head size", () => {
    const facts = factsOf();
    expect(facts.layers[0]).toMatchObject({ keyElements: 32, valueElements: 32 });
    expect(facts).toMatchObject({ headCount: 2, headSize: 32, kvInexact: null });
  });

  test("takes all heads when KV heads are not given", () => {
    expect(factsOf({ without: ["llama.attention.head_count_kv"] }).layers[0]?.keyElements).toBe(64);
  });

  test("takes key and value lengths apart", () => {
    const keys = { "llama.attention.key_length": meta.u32(48), "llama.attention.value_length": meta.u32(16) };
    const facts = factsOf({ keys });
    expect(facts.layers[0]).toMatchObject({ keyElements: 48, valueElements: 16 });
    expect(facts.headSize).toBe(48);
  });

  test("takes KV heads by layer, none included", () => {
    const facts = factsOf({ keys: { "llama.attention.head_count_kv": meta.i32s([2, 0]) } });
    expect(facts.layers.map((layer) => layer.keyElements)).toEqual([64, 0]);
  });
});

describe("modelFacts() of the rest", () => {
  test("names the quantisation by the file's word, else by the type of most bytes", () => {
    const named = (fileType: number) => factsOf({ keys: { "general.file_type": meta.u32(fileType) } }).quantization;
    expect(named(15)).toBe("Q4_K_M");
    expect(named(1024 + 7)).toBe("Q8_0");
    expect(named(999)).toBe("F16");
    expect(factsOf().quantization).toBe("F16");
  });

  test("takes the vocabulary from the tokens, a key, or the embeddings", () => {
    const without = ["tokenizer.ggml.tokens"];
    expect(factsOf().vocabularySize).toBe(VOCABULARY);
    expect(factsOf({ without, keys: { "llama.vocab_size": meta.u32(12) } }).vocabularySize).toBe(12);
    expect(factsOf({ without }).vocabularySize).toBe(VOCABULARY);
  });

  test("gives the name and whether there is a chat template", () => {
    const keys = { "general.name": meta.string("Tiny"), "tokenizer.chat_template": meta.string("{{ x }}") };
    expect(factsOf({ keys })).toMatchObject({ name: "Tiny", chatTemplate: true, trainedContext: 2048 });
    expect(factsOf()).toMatchObject({ name: null, chatTemplate: false });
  });
});

describe("modelFacts() refuses", () => {
  test.each([
    ["file holds a vision or audio projector (mmproj), not a language model", { architecture: "clip" }],
    ["file holds an encoder or audio model (t5encoder), not a language model", { architecture: "t5encoder" }],
    ["file holds a LoRA adapter, not a language model", { keys: { "general.type": meta.string("adapter") } }],
    ["file holds an importance matrix, not a language model", { keys: { "general.type": meta.string("imatrix") } }],
    ["general.architecture is missing", { without: ["general.architecture"] }],
    ["general.architecture is missing", { keys: { "general.architecture": meta.u32(7) } }],
    ["llama.block_count is missing or no whole number above 0", { without: ["llama.block_count"] }],
    ["llama.context_length is missing or no whole number above 0", { keys: { "llama.context_length": meta.u32(0) } }],
    [
      "llama.embedding_length is missing or no whole number above 0",
      { keys: { "llama.embedding_length": meta.f32(0.5) } },
    ],
    [
      "model has 4000000000 layers, llama.cpp takes at most 512",
      { keys: { "llama.block_count": meta.u32(4_000_000_000) } },
    ],
    ["layer 2 of 3 has no tensors", { keys: { "llama.block_count": meta.u32(3) } }],
    [
      "tensor blk.1.attn_norm.weight belongs to layer 1, but the model has 1 layers",
      { keys: { "llama.block_count": meta.u32(1) } },
    ],
    ["token_embd.weight is missing", { without: ["token_embd.weight"] }],
  ] satisfies readonly (readonly [string, TinyModel])[])("%s", (reason, model) => {
    expect(reasonFor(model)).toBe(reason);
  });

  test("a file without tensors", () => {
    const header = headerOf({ metadata: tinyModel().metadata, tensors: [] });
    expect(modelFacts(header)).toEqual({ ok: false, reason: "file holds a vocabulary, not a language model" });
  });
});
