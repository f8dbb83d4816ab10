/** What made-up models are made of: tensors by name and shape, noise for weights, a vocabulary that spells bytes. Pure. */
import { encodeWeights, type GgufMeta, meta, type TensorSource, type WeightType } from "./gguf-encode.ts";

export interface TensorSpec {
  readonly name: string;
  /** Innermost dimension first. */
  readonly shape: readonly number[];
  readonly type: WeightType;
}

/** Sizes of a layer with plain attention and a gated feed-forward. */
export interface LayerShape {
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly feedForward: number;
  /** Of its matrices. */
  readonly type: WeightType;
}

export const vector = (name: string, ...shape: number[]): TensorSpec => ({ name, shape, type: "F32" });

export function matrix({ type }: Pick<LayerShape, "type">, name: string, ...shape: number[]): TensorSpec {
  return { name: `${name}.weight`, shape, type };
}

export function attention(s: LayerShape): TensorSpec[] {
  const { width, heads, kvHeads, headSize } = s;
  return [
    vector("attn_norm.weight", width),
    matrix(s, "attn_q", width, heads * headSize),
    matrix(s, "attn_k", width, kvHeads * headSize),
    matrix(s, "attn_v", width, kvHeads * headSize),
    matrix(s, "attn_output", heads * headSize, width),
  ];
}

export function feedForward(s: LayerShape): TensorSpec[] {
  return [
    vector("ffn_norm.weight", s.width),
    matrix(s, "ffn_gate", s.width, s.feedForward),
    matrix(s, "ffn_up", s.width, s.feedForward),
    matrix(s, "ffn_down", s.feedForward, s.width),
  ];
}

const NOISE = 0.02;
const NOISE_LENGTH = 2 ** 16;
const CHUNK_LENGTH = 2 ** 14;

/** The same values each time: a linear congruential generator with the constants of Numerical Recipes. */
function noiseValues(): Float32Array {
  let state = 1;
  return Float32Array.from({ length: NOISE_LENGTH }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state / 2 ** 31 - 1) * NOISE;
  });
}

/** Turns specs into tensors of noise; their bytes are slices of one bank, encoded once for each type, so that a model of
 *  any size is written as fast as the disk takes it. */
export function createNoise(): (spec: TensorSpec) => TensorSource {
  const banks = new Map<WeightType, Uint8Array>();
  const bankOf = (type: WeightType): Uint8Array => {
    const bank = banks.get(type) ?? encodeWeights(type, noiseValues());
    banks.set(type, bank);
    return bank;
  };
  return ({ name, shape, type }) => ({
    name,
    shape,
    type,
    *chunks() {
      const bank = bankOf(type);
      const length = shape.reduce((product, size) => product * size, 1);
      const bytesOf = (values: number) => (values * bank.length) / NOISE_LENGTH;
      for (let at = 0; at < length; at += CHUNK_LENGTH) {
        const start = at % NOISE_LENGTH;
        yield bank.subarray(bytesOf(start), bytesOf(start + Math.min(CHUNK_LENGTH, length - at)));
      }
    },
  });
}

/** llama.cpp's `enum llama_token_type`. */
export const TOKEN = { unknown: 2, control: 3, userDefined: 4, byte: 6 } as const;

export interface Token {
  readonly text: string;
  readonly type: number;
}

/** The ids of `specialTokens()` that a tokeniser is told. */
export const SPECIAL = { unknown: 0, begin: 1, end: 2 } as const;

export function specialTokens(): readonly Token[] {
  const control = ["<s>", "</s>"].map((text) => ({ text, type: TOKEN.control }));
  return [{ text: "<unk>", type: TOKEN.unknown }, ...control];
}

/** One for each byte: with them any text can be spelled. */
export function byteTokens(): readonly Token[] {
  return Array.from({ length: 256 }, (_, byte) => ({
    text: `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
    type: TOKEN.byte,
  }));
}

/** Metadata of a SentencePiece tokeniser that begins with `specialTokens()`. */
export function tokenizerKeys(tokens: readonly Token[]): readonly (readonly [string, GgufMeta])[] {
  return [
    ["tokenizer.ggml.model", meta.string("llama")],
    ["tokenizer.ggml.tokens", meta.strings(tokens.map(({ text }) => text))],
    ["tokenizer.ggml.scores", meta.f32s(tokens.map(() => 0))],
    ["tokenizer.ggml.token_type", meta.i32s(tokens.map(({ type }) => type))],
    ["tokenizer.ggml.unknown_token_id", meta.u32(SPECIAL.unknown)],
    ["tokenizer.ggml.bos_token_id", meta.u32(SPECIAL.begin)],
    ["tokenizer.ggml.eos_token_id", meta.u32(SPECIAL.end)],
  ];
}
