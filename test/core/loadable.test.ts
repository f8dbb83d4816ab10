/** Headers of published Ollama models that llama.cpp cannot load, and of those that it can. */
import { describe, expect, test } from "bun:test";
import { meta } from "../../src/core/gguf-encode.ts";
import { headerRepairs, projectorDefect, whyNotLoadable } from "../../src/core/loadable.ts";
import { headerOf, type TinyModel, tinyModel, WIDTH, zeros } from "../fixtures/gguf-model.ts";

const reasonFor = (model: TinyModel): string => whyNotLoadable(headerOf(tinyModel(model)))?.reason ?? "";
const vector = (name: string) => zeros(name, [WIDTH], "F32");
const rms = (architecture: string) => ({ [`${architecture}.attention.layer_norm_rms_epsilon`]: meta.f32(1e-6) });
const sections = (architecture: string, ...items: number[]) => ({
  [`${architecture}.rope.dimension_sections`]: meta.i32s(items),
});

/** As Ollama publishes them (its llama/compat layer names the markers). */
const PUBLISHED: readonly (readonly [name: string, model: TinyModel, says: string])[] = [
  ...["gptoss", "qwen25vl", "olmo3", "deepseekocr", "glmocr", "glm4moelite", "nemotron_h_omni", "mllama"].map(
    (architecture) =>
      [architecture, { architecture }, `its architecture is called ${architecture} (llama.cpp`] as const,
  ),
  ["gemma3 1B", { architecture: "gemma3" }, "attention.layer_norm_rms_epsilon is missing"],
  [
    "gemma3 4B",
    { architecture: "gemma3", keys: rms("gemma3"), tensors: [vector("v.blk.0.attn_q.weight")] },
    "it holds more than the text model (v.blk.0.attn_q.weight)",
  ],
  [
    "gemma3 with nested rope keys",
    { architecture: "gemma3", keys: { ...rms("gemma3"), "gemma3.rope.global.freq_base": meta.f32(1e6) } },
    "its rope settings have other names",
  ],
  [
    "embeddinggemma",
    { architecture: "gemma3", keys: rms("gemma3"), tensors: [vector("dense.0.weight")] },
    "it is an embedding model under the name of a chat model",
  ],
  [
    "gemma3n",
    { architecture: "gemma3n", tensors: [zeros("per_layer_token_embd.weight", [WIDTH, 8])] },
    "its two vocabularies differ in size",
  ],
  [
    "gemma4 with audio",
    { architecture: "gemma4", tensors: [vector("a.blk.0.ln1.weight")] },
    "more than the text model",
  ],
  [
    "gemma4 text",
    {
      architecture: "gemma4",
      keys: { "tokenizer.ggml.model": meta.string("llama"), "tokenizer.ggml.merges": meta.strings(["a b"]) },
    },
    "its tokenizer is announced as another one",
  ],
  ["lfm2", { architecture: "lfm2" }, "its output norm has another name"],
  [
    "mistral3",
    { architecture: "mistral3", keys: { "mistral3.rope.scaling_beta": meta.f32(0.1) } },
    "its rope scaling settings have other names",
  ],
  ["llama4", { architecture: "llama4", tensors: [vector("mm.linear_1.weight")] }, "more than the text model"],
  ["qwen35", { architecture: "qwen35", tensors: [vector("blk.0.ssm_dt")] }, "ssm_dt tensors lack .bias"],
  ["qwen35moe", { architecture: "qwen35moe", keys: sections("qwen35moe", 11, 11, 10) }, "has 3 items, not 4"],
  ["qwen35 with prediction layers", { architecture: "qwen35", tensors: [vector("mtp.fc.weight")] }, "mtp.fc.weight"],
  ["qwen3next", { architecture: "qwen3next", tensors: [vector("blk.1.ssm_dt")] }, "ssm_dt tensors lack .bias"],
  ["qwen3vl", { architecture: "qwen3vl" }, "rope.dimension_sections is missing"],
  ["laguna", { architecture: "laguna", tensors: [vector("blk.0.attn_g.weight")] }, "attention gates"],
  ["nemotron_h_moe", { architecture: "nemotron_h_moe", tensors: [vector("blk.1.ffn_latent_in.weight")] }, "latent"],
];

describe("whyNotLoadable()", () => {
  test.each(PUBLISHED)("knows %s as Ollama publishes it, and says what to do", (_, model, says) => {
    const defect = whyNotLoadable(headerOf(tinyModel(model)));
    expect(defect?.reason).toStartWith("only Ollama's own engine can load this file: ");
    expect(defect?.reason).toContain(says);
    expect(defect?.hint).toContain("ollama pull hf.co/");
  });

  test("lets the same architectures through when they are made for llama.cpp", () => {
    const made: readonly TinyModel[] = [
      ...["llama", "gpt-oss", "qwen2vl", "olmo2", "glm4", "deepseek2", "llama4", "mistral3", "qwen3next"].map(
        (architecture) => ({ architecture }),
      ),
      { architecture: "gemma3", keys: rms("gemma3") },
      { architecture: "gemma3n", tensors: [zeros("per_layer_token_embd.weight", [WIDTH, 10])] },
      { architecture: "gemma4", keys: { "tokenizer.ggml.model": meta.string("gemma4") } },
      { architecture: "lfm2", without: ["output_norm.weight"], tensors: [vector("token_embd_norm.weight")] },
      { architecture: "qwen35", keys: sections("qwen35", 11, 11, 10, 0), tensors: [vector("blk.0.ssm_dt.bias")] },
      { architecture: "qwen3vl", keys: sections("qwen3vl", 24, 20, 20, 0) },
      { architecture: "laguna", tensors: [vector("blk.0.attn_gate.weight")] },
    ];
    for (const model of made) expect([model.architecture, reasonFor(model)]).toEqual([model.architecture, ""]);
  });

  test("says nothing of projectors, whose vision tensors are all they have", () => {
    expect(reasonFor({ architecture: "clip", tensors: [vector("v.blk.0.ln1.weight")] })).toBe("");
  });

  test("knows MXFP4 tensors by the number that Ollama once gave them", () => {
    const header = headerOf(tinyModel({ architecture: "gpt-oss" }));
    const old = { name: "blk.0.ffn_up_exps.weight", shape: [32], type: "MXFP4 (Ollama's)", bytes: 17 };
    expect(whyNotLoadable({ ...header, tensors: [...header.tensors, old] })?.reason).toContain("MXFP4");
  });
});

describe("headerRepairs()", () => {
  const tokens = meta.strings(new Array<string>(128_256).fill("t"));
  const llama3 = (keys: TinyModel["keys"]) =>
    headerRepairs(
      headerOf(
        tinyModel({
          keys: {
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.chat_template": meta.string("{{ '<|start_header_id|>' }}"),
            "tokenizer.ggml.eos_token_id": meta.u32(128_009),
            "tokenizer.ggml.pre": meta.string("llama-bpe"),
            ...keys,
          },
        }),
      ),
    );

  test("give a first-generation Llama 3 its end of turn and its pre-tokenizer", () => {
    expect(llama3({ "tokenizer.ggml.eos_token_id": meta.u32(128_001) })).toEqual([
      "--override-kv",
      "tokenizer.ggml.eos_token_id=int:128009",
    ]);
    expect(llama3({ "tokenizer.ggml.pre": meta.string("default") })).toEqual([
      "--override-kv",
      "tokenizer.ggml.pre=str:llama-bpe,tokenizer.ggml.eos_token_id=int:128009",
    ]);
  });

  test("leave alone what needs none: a sound one, a base model, another model", () => {
    expect(llama3({})).toEqual([]);
    const base = { "tokenizer.chat_template": meta.string("x"), "tokenizer.ggml.eos_token_id": meta.u32(128_001) };
    expect(llama3(base)).toEqual([]);
    expect(headerRepairs(headerOf(tinyModel()))).toEqual([]);
  });
});

test("projectorDefect() knows projectors that do not say of which kind they are", () => {
  const of = (model: TinyModel) => projectorDefect(headerOf(tinyModel(model)));
  expect(of({ architecture: "clip", keys: { "clip.projector_type": meta.string("mlp") } })).toBeNull();
  expect(of({ architecture: "clip", keys: { "clip.vision.projector_type": meta.string("gemma3") } })).toBeNull();
  expect(of({ architecture: "clip" })).toContain("clip.projector_type");
  expect(of({})).toContain("no GGUF file of a projector");
});
