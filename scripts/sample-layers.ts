/** Tensors and keys of sample models: what each architecture consists of, as llama.cpp names and shapes it. Pure. */
import { meta } from "../src/core/gguf-encode.ts";
import { attention, feedForward, matrix, type TensorSpec, vector } from "../src/core/made-up-model.ts";
import { gemma4Keys, gemma4Shape, gemma4Shared, perLayerInput } from "./sample-gemma.ts";
import { recurrentKeys, recurrentLayer } from "./sample-recurrent.ts";
import type { Keys, SampleShape } from "./sample-shape.ts";

function attentionBiases({ heads, kvHeads, headSize }: SampleShape): TensorSpec[] {
  return [
    vector("attn_q.bias", heads * headSize),
    vector("attn_k.bias", kvHeads * headSize),
    vector("attn_v.bias", kvHeads * headSize),
  ];
}

function headNorms({ headSize }: SampleShape): TensorSpec[] {
  return [vector("attn_q_norm.weight", headSize), vector("attn_k_norm.weight", headSize)];
}

function experts(s: SampleShape): TensorSpec[] {
  const { count, feedForward: size } = expertsOf(s);
  return [
    vector("ffn_gate_inp.weight", s.width, count),
    matrix(s, "ffn_gate_exps", s.width, size, count),
    matrix(s, "ffn_up_exps", s.width, size, count),
    matrix(s, "ffn_down_exps", size, s.width, count),
  ];
}

const expertsOf = ({ experts = { count: 0, used: 0, feedForward: 0 } }: SampleShape) => experts;
const latentOf = ({ latent = { queryRank: 0, rank: 0, plain: 0, rope: 0, value: 0 } }: SampleShape) => latent;

/** The query comes with a gate of the same size. */
function gatedAttention(s: SampleShape): TensorSpec[] {
  const query = matrix(s, "attn_q", s.width, 2 * s.heads * s.headSize);
  const plain = attention(s).filter(({ name }) => name !== query.name);
  return [...plain, query, ...headNorms(s), vector("post_attention_norm.weight", s.width)];
}

function latentAttention(s: SampleShape): TensorSpec[] {
  const { width, heads } = s;
  const { queryRank, rank, plain, rope, value } = latentOf(s);
  return [
    vector("attn_norm.weight", width),
    matrix(s, "attn_q_a", width, queryRank),
    vector("attn_q_a_norm.weight", queryRank),
    matrix(s, "attn_q_b", queryRank, heads * (plain + rope)),
    matrix(s, "attn_kv_a_mqa", width, rank + rope),
    vector("attn_kv_a_norm.weight", rank),
    matrix(s, "attn_k_b", plain, rank, heads),
    matrix(s, "attn_v_b", rank, value, heads),
    matrix(s, "attn_output", heads * value, width),
  ];
}

/** DeepSeek's first layer is dense; the others have one shared expert beside the chosen ones. */
function deepseekLayer(s: SampleShape, layer: number): TensorSpec[] {
  if (layer === 0) return [...latentAttention(s), ...feedForward(s)];
  const { feedForward: size } = expertsOf(s);
  return [
    ...latentAttention(s),
    vector("ffn_norm.weight", s.width),
    ...experts(s),
    matrix(s, "ffn_gate_shexp", s.width, size),
    matrix(s, "ffn_up_shexp", s.width, size),
    matrix(s, "ffn_down_shexp", size, s.width),
  ];
}

function gptOssLayer(s: SampleShape): TensorSpec[] {
  const { count, feedForward: size } = expertsOf(s);
  return [
    ...attention(s),
    ...attentionBiases(s),
    vector("attn_output.bias", s.width),
    vector("attn_sinks.weight", s.heads),
    vector("post_attention_norm.weight", s.width),
    ...experts(s),
    vector("ffn_gate_inp.bias", count),
    vector("ffn_gate_exps.bias", size, count),
    vector("ffn_up_exps.bias", size, count),
    vector("ffn_down_exps.bias", s.width, count),
  ];
}

function gemmaLayer(s: SampleShape): TensorSpec[] {
  const norms = ["post_attention_norm.weight", "post_ffw_norm.weight"].map((name) => vector(name, s.width));
  return [...attention(s), ...headNorms(s), ...feedForward(s), ...norms];
}

const LAYERS: Record<SampleShape["architecture"], (s: SampleShape, layer: number) => TensorSpec[]> = {
  llama: (s) => [...attention(s), ...feedForward(s)],
  qwen2: (s) => [...attention(s), ...attentionBiases(s), ...feedForward(s)],
  qwen3moe: (s) => [...attention(s), ...headNorms(s), vector("ffn_norm.weight", s.width), ...experts(s)],
  gemma3: gemmaLayer,
  gemma4: (s, layer) => [...gemmaLayer(gemma4Shape(s, layer)), ...perLayerInput(s)],
  "gpt-oss": gptOssLayer,
  deepseek2: deepseekLayer,
  mamba: (s, layer) => recurrentLayer(s, layer) ?? [],
  lfm2: (s, layer) => [...(recurrentLayer(s, layer) ?? [...attention(s), ...headNorms(s)]), ...feedForward(s)],
  qwen35: (s, layer) => [...(recurrentLayer(s, layer) ?? gatedAttention(s)), ...feedForward(s).slice(1)],
};

/** LFM2 names its output norm like one of the embeddings. */
const outputNorm = ({ architecture }: SampleShape) => (architecture === "lfm2" ? "token_embd_norm" : "output_norm");

/** Every tensor of the model, in the order of a real file. */
export function tensorsOf(s: SampleShape): TensorSpec[] {
  const layers = Array.from({ length: s.layers }, (_, layer) =>
    LAYERS[s.architecture](s, layer).map((tensor) => ({ ...tensor, name: `blk.${layer}.${tensor.name}` })),
  );
  return [
    matrix(s, "token_embd", s.width, s.vocabulary),
    ...gemma4Shared(s),
    ...layers.flat(),
    vector(`${outputNorm(s)}.weight`, s.width),
    ...(s.tied ? [] : [matrix(s, "output", s.width, s.vocabulary)]),
  ];
}

/** Keys that go with the tensors, without the architecture's name before them. */
export function keysOf(s: SampleShape): Keys {
  const { count, used, feedForward: expertSize } = expertsOf(s);
  return {
    block_count: meta.u32(s.layers),
    context_length: meta.u32(131_072),
    embedding_length: meta.u32(s.width),
    feed_forward_length: meta.u32(s.feedForward),
    vocab_size: meta.u32(s.vocabulary),
    "attention.head_count": meta.u32(s.heads),
    "attention.head_count_kv": meta.u32(s.kvHeads),
    "attention.layer_norm_rms_epsilon": meta.f32(1e-5),
    ...(s.latent ? latentKeys(s) : headKeys(s)),
    ...(s.window && { "attention.sliding_window": meta.u32(s.window) }),
    ...(s.experts && {
      expert_count: meta.u32(count),
      expert_used_count: meta.u32(used),
      expert_feed_forward_length: meta.u32(expertSize),
    }),
    ...(s.recurrent && recurrentKeys(s)),
    ...gemma4Keys(s),
  };
}

function headKeys({ headSize }: SampleShape): Keys {
  if (headSize === 0) return {};
  return { "attention.key_length": meta.u32(headSize), "attention.value_length": meta.u32(headSize) };
}

function latentKeys(s: SampleShape): Keys {
  const { queryRank, rank, plain, rope, value } = latentOf(s);
  return {
    "attention.q_lora_rank": meta.u32(queryRank),
    "attention.kv_lora_rank": meta.u32(rank),
    "attention.key_length": meta.u32(rank + rope),
    "attention.value_length": meta.u32(rank),
    "attention.key_length_mla": meta.u32(plain + rope),
    "attention.value_length_mla": meta.u32(value),
    "rope.dimension_count": meta.u32(rope),
    leading_dense_block_count: meta.u32(1),
    expert_shared_count: meta.u32(1),
    expert_weights_scale: meta.f32(1),
    expert_gating_func: meta.u32(1),
  };
}
