/** The made-up model that backends are timed with: a token's time goes into reading its weights. Pure. */
import { type GgufFile, ggufBytes, meta } from "./gguf-encode.ts";
import {
  attention,
  byteTokens,
  createNoise,
  feedForward,
  matrix,
  specialTokens,
  tokenizerKeys,
  vector,
} from "./made-up-model.ts";

/** Part of its file's name: another shape is another file. */
export const TIMING_MODEL_NAME = "timing-1.gguf";

/*
 * 109 MiB in Q8_0: more than most processors' caches hold, and a second's upload at 1 Gbit/s. Few but wide layers, as
 * in a model of 1B and more, so that starting a kernel or walking the graph counts for little beside the weights. Each
 * tensor stays below 10 MiB: llama.cpp asks an rpc-server for the hash of a larger one first, and one with `-c` would
 * keep it in its cache (facts/llamacpp.md e). The weights are noise, not zeros: GPUs compute on zeros faster.
 */
const SHAPE = { width: 2_048, heads: 32, kvHeads: 8, headSize: 64, feedForward: 4_096, type: "Q8_0" } as const;
const LAYERS = 3;
const CONTEXT = 4_096;

/** Its file; what it says means nothing. */
export function timingModelFile(): GgufFile {
  const tokens = [...specialTokens(), ...byteTokens()];
  const layers = Array.from({ length: LAYERS }, (_, layer) =>
    [...attention(SHAPE), ...feedForward(SHAPE)].map((spec) => ({ ...spec, name: `blk.${layer}.${spec.name}` })),
  );
  const specs = [
    matrix(SHAPE, "token_embd", SHAPE.width, tokens.length),
    ...layers.flat(),
    vector("output_norm.weight", SHAPE.width),
    matrix(SHAPE, "output", SHAPE.width, tokens.length),
  ];
  return {
    metadata: [
      ["general.architecture", meta.string("llama")],
      ["general.name", meta.string("synaptic timing model")],
      ["general.file_type", meta.u32(7)],
      ["general.quantization_version", meta.u32(2)],
      ["llama.block_count", meta.u32(LAYERS)],
      ["llama.context_length", meta.u32(CONTEXT)],
      ["llama.embedding_length", meta.u32(SHAPE.width)],
      ["llama.feed_forward_length", meta.u32(SHAPE.feedForward)],
      ["llama.attention.head_count", meta.u32(SHAPE.heads)],
      ["llama.attention.head_count_kv", meta.u32(SHAPE.kvHeads)],
      ["llama.attention.layer_norm_rms_epsilon", meta.f32(1e-5)],
      ["llama.rope.dimension_count", meta.u32(SHAPE.headSize)],
      ["llama.vocab_size", meta.u32(tokens.length)],
      ...tokenizerKeys(tokens),
    ],
    tensors: specs.map(createNoise()),
  };
}

/** Bytes of its file, by which a whole one is told from a cut one. */
export function timingModelBytes(): number {
  return ggufBytes(timingModelFile());
}
