/** Recurrent layers of sample models: Mamba, LFM2's short convolutions, Qwen 3.5's linear attention. Pure. */
import { meta } from "../src/core/gguf-encode.ts";
import { matrix, type TensorSpec, vector } from "../src/core/made-up-model.ts";
import type { Keys, SampleShape } from "./sample-shape.ts";

const recurrentOf = ({ recurrent = { kernel: 0, state: 0, attentionLayers: [] } }: SampleShape) => recurrent;

function sizesOf(s: SampleShape) {
  const { state, keyHeads = 0, valueHeads = 0 } = recurrentOf(s);
  return s.architecture === "mamba"
    ? { inner: 2 * s.width, timeStep: Math.ceil(s.width / 16), groups: 0 }
    : { inner: valueHeads * state, timeStep: valueHeads, groups: keyHeads };
}

function mamba(s: SampleShape): TensorSpec[] {
  const { inner, timeStep } = sizesOf(s);
  const { kernel, state } = recurrentOf(s);
  return [
    matrix(s, "ssm_in", s.width, 2 * inner),
    vector("ssm_conv1d.weight", kernel, inner),
    vector("ssm_conv1d.bias", inner),
    matrix(s, "ssm_x", inner, timeStep + 2 * state),
    matrix(s, "ssm_dt", timeStep, inner),
    vector("ssm_dt.bias", inner),
    vector("ssm_a", state, inner),
    vector("ssm_d", inner),
    matrix(s, "ssm_out", inner, s.width),
  ];
}

function shortConvolution(s: SampleShape): TensorSpec[] {
  return [
    vector("shortconv.conv.weight", recurrentOf(s).kernel, s.width),
    matrix(s, "shortconv.in_proj", s.width, 3 * s.width),
    matrix(s, "shortconv.out_proj", s.width, s.width),
  ];
}

function linearAttention(s: SampleShape): TensorSpec[] {
  const { inner, timeStep, groups } = sizesOf(s);
  const { kernel, state } = recurrentOf(s);
  const convolved = inner + 2 * groups * state;
  return [
    matrix(s, "attn_qkv", s.width, convolved),
    matrix(s, "attn_gate", s.width, inner),
    vector("ssm_conv1d.weight", kernel, convolved),
    vector("ssm_dt.bias", timeStep),
    vector("ssm_a", timeStep),
    matrix(s, "ssm_beta", s.width, timeStep),
    matrix(s, "ssm_alpha", s.width, timeStep),
    vector("ssm_norm.weight", state),
    matrix(s, "ssm_out", inner, s.width),
    vector("post_attention_norm.weight", s.width),
  ];
}

function mixer(s: SampleShape): TensorSpec[] {
  if (s.architecture === "mamba") return mamba(s);
  return s.architecture === "lfm2" ? shortConvolution(s) : linearAttention(s);
}

/** Tensors of a recurrent layer without its feed-forward; null when this layer attends. */
export function recurrentLayer(s: SampleShape, layer: number): TensorSpec[] | null {
  if (recurrentOf(s).attentionLayers.includes(layer)) return null;
  return [vector("attn_norm.weight", s.width), ...mixer(s)];
}

export function recurrentKeys(s: SampleShape): Keys {
  const { kernel, state, attentionLayers } = recurrentOf(s);
  if (s.architecture === "lfm2") {
    const kvHeads = Array.from({ length: s.layers }, (_, i) => (attentionLayers.includes(i) ? s.kvHeads : 0));
    return { "shortconv.l_cache": meta.u32(kernel), "attention.head_count_kv": meta.i32s(kvHeads) };
  }
  const { inner, timeStep, groups } = sizesOf(s);
  return {
    "ssm.conv_kernel": meta.u32(kernel),
    "ssm.inner_size": meta.u32(inner),
    "ssm.state_size": meta.u32(state),
    "ssm.time_step_rank": meta.u32(timeStep),
    ...(s.architecture === "qwen35" && {
      "ssm.group_count": meta.u32(groups),
      full_attention_interval: meta.u32((attentionLayers[0] ?? 0) + 1),
      "rope.dimension_sections": meta.i32s([s.headSize / 4, s.headSize / 4, 0, 0]),
    }),
  };
}
