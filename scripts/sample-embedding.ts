/** A small embedding model with random weights: BERT, which llama.cpp computes without a cache. Its vectors mean nothing,
 *  but each text has its own. */
import { type GgufMeta, meta } from "../src/core/gguf-encode.ts";
import { createNoise, matrix, type TensorSpec, TOKEN, vector } from "../src/core/made-up-model.ts";
import { writeGguf } from "../src/io/gguf-write.ts";

/** `rank` judges how well a text fits a question, and gives one number. */
export type SamplePooling = "mean" | "cls" | "rank";

export interface EmbeddingShape {
  /** Of its vectors; a multiple of 32. */
  readonly width: number;
  readonly layers: number;
  /** Tokens. */
  readonly context: number;
  readonly pooling: SamplePooling;
}

const SHAPE: EmbeddingShape = { width: 64, layers: 2, context: 256, pooling: "mean" };
const HEAD_SIZE = 32;
/** llama.cpp's `enum llama_pooling_type`. */
const POOLING: Readonly<Record<SamplePooling, number>> = { mean: 1, cls: 2, rank: 4 };
const NORMAL = 1;
const SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/** Letters at the start of words and within them: any lower-case text can be spelled. */
const LETTERS = [..."abcdefghijklmnopqrstuvwxyz0123456789.,?!"];
const TOKENS = [...SPECIAL, ...LETTERS.map((letter) => `\u2581${letter}`), ...LETTERS];

function tokenizer(): readonly (readonly [string, GgufMeta])[] {
  return [
    ["tokenizer.ggml.model", meta.string("bert")],
    ["tokenizer.ggml.tokens", meta.strings(TOKENS)],
    ["tokenizer.ggml.scores", meta.f32s(TOKENS.map(() => -1))],
    ["tokenizer.ggml.token_type", meta.i32s(TOKENS.map((_, id) => (id < SPECIAL.length ? TOKEN.control : NORMAL)))],
    ["tokenizer.ggml.token_type_count", meta.u32(2)],
    ["tokenizer.ggml.padding_token_id", meta.u32(0)],
    ["tokenizer.ggml.unknown_token_id", meta.u32(1)],
    ["tokenizer.ggml.bos_token_id", meta.u32(2)],
    ["tokenizer.ggml.cls_token_id", meta.u32(2)],
    ["tokenizer.ggml.seperator_token_id", meta.u32(3)],
    ["tokenizer.ggml.mask_token_id", meta.u32(4)],
  ];
}

function keys({ width, layers, context, pooling }: EmbeddingShape): readonly (readonly [string, GgufMeta])[] {
  const own = {
    block_count: meta.u32(layers),
    context_length: meta.u32(context),
    embedding_length: meta.u32(width),
    feed_forward_length: meta.u32(2 * width),
    "attention.head_count": meta.u32(width / HEAD_SIZE),
    "attention.layer_norm_epsilon": meta.f32(1e-12),
    "attention.causal": meta.bool(false),
    pooling_type: meta.u32(POOLING[pooling]),
  };
  return Object.entries(own).map(([key, value]) => [`bert.${key}`, value] as const);
}

function tensors({ width, layers, context, pooling }: EmbeddingShape): readonly TensorSpec[] {
  const type = { type: "F16" } as const;
  const withBias = (name: string, from: number, to: number) => [
    matrix(type, name, from, to),
    vector(`${name}.bias`, to),
  ];
  const norm = (name: string) => [vector(`${name}.weight`, width), vector(`${name}.bias`, width)];
  const layer = (i: number) => [
    ...["attn_q", "attn_k", "attn_v", "attn_output"].flatMap((name) => withBias(`blk.${i}.${name}`, width, width)),
    ...norm(`blk.${i}.attn_output_norm`),
    ...withBias(`blk.${i}.ffn_up`, width, 2 * width),
    ...withBias(`blk.${i}.ffn_down`, 2 * width, width),
    ...norm(`blk.${i}.layer_output_norm`),
  ];
  return [
    matrix(type, "token_embd", width, TOKENS.length),
    matrix({ type: "F32" }, "token_types", width, 2),
    matrix({ type: "F32" }, "position_embd", width, context),
    ...norm("token_embd_norm"),
    ...Array.from({ length: layers }, (_, i) => layer(i)).flat(),
    ...(pooling === "rank" ? [...withBias("cls", width, width), ...withBias("cls.output", width, 1)] : []),
  ];
}

/** Writes the model; the same shape gives the same bytes.
 *  @returns the file's bytes */
export async function writeEmbeddingModel(path: string, shape: Partial<EmbeddingShape> = {}): Promise<number> {
  const whole = { ...SHAPE, ...shape };
  return await writeGguf(path, {
    metadata: [["general.architecture", meta.string("bert")], ...keys(whole), ...tokenizer()],
    tensors: tensors(whole).map(createNoise()),
  });
}
