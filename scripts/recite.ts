/** Writes a llama-architecture model whose answer is known: right only if every layer computed, once and in order. */
import { SynapticError } from "../src/core/errors.ts";
import { encodeWeights, meta, type TensorSource, type WeightType } from "../src/core/gguf-encode.ts";
import { writeGguf } from "../src/io/gguf-write.ts";
import { CHAT_TEMPLATE, RECITATION, type Vocabulary, vocabularyOf, wordsOf } from "./recitation.ts";
import { BYTES_TEXT, bytesVocabularyOf } from "./recite-bytes.ts";

/*
 * The state is one-hot over `width`. Each layer's feed-forward moves it by that layer's own permutation: `gate` = `up` =
 * identity, and `down` takes away the old place and adds the new one. RMS norm makes the input of each layer the same
 * whatever the state's scale, so errors don't add up over 80 layers. Attention has small random weights: it is computed,
 * its result does not decide. The output head undoes the composition of all permutations and points at the next word.
 * All deciding weights are powers of two, and so exact in F16 and in Q8_0.
 */

export interface RecitingModel {
  readonly path: string;
  readonly layers: number;
  /** Embedding length: a multiple of the head size, at least the vocabulary. Default: the smallest such. */
  readonly width?: number;
  readonly type: WeightType;
  /** Default 2, or 1 when the head count is odd. */
  readonly kvHeads?: number;
  readonly contextLength?: number;
  /** Default ChatML; null leaves it out. */
  readonly chatTemplate?: string | null;
  /** This layer's `ffn_down` is zero: the text comes out wrong. */
  readonly damagedLayer?: number;
  /** Distinct words separated by single spaces, or cut as given; of `bytes`, distinct bytes. */
  readonly text?: string | readonly string[];
  /** What its tokens are; default `words`. */
  readonly tokens?: "words" | "bytes";
}

/** Flash attention has kernels for this size everywhere, and it keeps the default width small. */
const HEAD_SIZE = 64;
const STATE = 8;
/** What the norms make of the one place that is set. silu(16) * 16 is 256 to within 1e-7. */
const NORMED = 16;
const GATED = NORMED ** 2;
/** Logits: 32 for the right word, near 0 for others, so that sampling at temperature 1 never errs. */
const POINT = 2;
/** End of text may be forbidden (`ignore_eos`): then the text starts over. */
const POINT_AGAIN = 1;
const NOISE = 0.002;
const NOISE_LENGTH = 2 ** 16;
const FILE_TYPES: Readonly<Record<WeightType, number>> = { F32: 0, F16: 1, Q8_0: 7 };

/** A small seeded generator (mulberry32): the same options give the same file, byte for byte. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One cycle through all places (Sattolo), so that no place stays where it is and a layer left out is always seen. */
function cycle(size: number, random: () => number): Uint32Array {
  const places = Uint32Array.from({ length: size }, (_, i) => i);
  for (let i = size - 1; i > 0; i--) {
    const j = Math.floor(random() * i);
    [places[i], places[j]] = [places[j] ?? 0, places[i] ?? 0];
  }
  return places;
}

type Entries = readonly (readonly [column: number, value: number])[];

interface Shape {
  readonly width: number;
  readonly type: WeightType;
}

/** A tensor of mostly zeros, given by its rows. */
function sparse(name: string, { width, type }: Shape, rows: readonly Entries[]): TensorSource {
  return {
    name,
    type,
    shape: [width, rows.length],
    *chunks() {
      const values = new Float32Array(width);
      for (const entries of rows) {
        values.fill(0);
        for (const [column, value] of entries) values[column] = value;
        yield encodeWeights(type, values);
      }
    },
  };
}

/** Random rows are slices of one encoded bank: a model of gigabytes is written at the disk's speed. */
function createNoise({ width, type }: Shape): (name: string, rows: number) => TensorSource {
  const random = createRandom(1);
  const length = NOISE_LENGTH + width;
  const gauss = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const bank = encodeWeights(
    type,
    Float32Array.from({ length }, () => gauss() * NOISE),
  );
  const bytesPer32 = (bank.length / length) * 32;
  const rowBytes = (width / 32) * bytesPer32;
  return (name, rows) => ({
    name,
    type,
    shape: [width, rows],
    *chunks() {
      for (let row = 0; row < rows; row++) {
        const start = Math.floor(random() * (NOISE_LENGTH / 32)) * bytesPer32;
        yield bank.subarray(start, start + rowBytes);
      }
    },
  });
}

function norm(name: string, width: number): TensorSource {
  const values = new Float32Array(width).fill(NORMED / Math.sqrt(width));
  return { name, type: "F32", shape: [width], chunks: () => [encodeWeights("F32", values)] };
}

/** Row j takes the old place away from j and adds it where the permutation moves it to. */
function moves(places: Uint32Array, damaged: boolean): Entries[] {
  const rows: [number, number][][] = Array.from(places, (_, i) => (damaged ? [] : [[i, -STATE / GATED]]));
  if (!damaged) places.forEach((to, from) => void rows[to]?.push([from, STATE / GATED]));
  return rows;
}

function tensorsOf(model: RecitingModel, vocabulary: Vocabulary, shape: Shape, kvWidth: number): TensorSource[] {
  const { width } = shape;
  const noise = createNoise(shape);
  const identity = (rows: number, value: number): Entries[] => Array.from({ length: rows }, (_, i) => [[i, value]]);
  const tensors = [sparse("token_embd.weight", shape, identity(vocabulary.tokens.length, STATE))];
  const composed = Uint32Array.from({ length: width }, (_, i) => i);
  for (let layer = 0; layer < model.layers; layer++) {
    const places = cycle(width, createRandom(layer + 2));
    composed.forEach((place, i) => {
      composed[i] = places[place] ?? 0;
    });
    const name = (part: string) => `blk.${layer}.${part}.weight`;
    tensors.push(
      norm(name("attn_norm"), width),
      noise(name("attn_q"), width),
      noise(name("attn_k"), kvWidth),
      noise(name("attn_v"), kvWidth),
      noise(name("attn_output"), width),
      norm(name("ffn_norm"), width),
      sparse(name("ffn_gate"), shape, identity(width, 1)),
      sparse(name("ffn_up"), shape, identity(width, 1)),
      sparse(name("ffn_down"), shape, moves(places, layer === model.damagedLayer)),
    );
  }
  const points: [number, number][][] = vocabulary.tokens.map(() => []);
  vocabulary.next.forEach((next, token) => void points[next]?.push([composed[token] ?? 0, POINT]));
  points[vocabulary.firstWord]?.push([composed[vocabulary.lastWord] ?? 0, POINT_AGAIN]);
  tensors.push(norm("output_norm.weight", width), sparse("output.weight", shape, points));
  return tensors;
}

function metadataOf(model: RecitingModel, vocabulary: Vocabulary, width: number, kvHeads: number) {
  const { tokens, keys } = vocabulary;
  const template = model.chatTemplate === undefined ? CHAT_TEMPLATE : model.chatTemplate;
  return [
    ["general.architecture", meta.string("llama")],
    ["general.name", meta.string(`reciter ${model.layers} layers`)],
    ["general.file_type", meta.u32(FILE_TYPES[model.type])],
    ["general.quantization_version", meta.u32(2)],
    ["llama.block_count", meta.u32(model.layers)],
    ["llama.context_length", meta.u32(model.contextLength ?? 4096)],
    ["llama.embedding_length", meta.u32(width)],
    ["llama.feed_forward_length", meta.u32(width)],
    ["llama.attention.head_count", meta.u32(width / HEAD_SIZE)],
    ["llama.attention.head_count_kv", meta.u32(kvHeads)],
    ["llama.attention.layer_norm_rms_epsilon", meta.f32(1e-5)],
    ["llama.rope.dimension_count", meta.u32(HEAD_SIZE)],
    ["llama.vocab_size", meta.u32(tokens.length)],
    ...keys,
    ["tokenizer.ggml.add_bos_token", meta.bool(true)],
    ["tokenizer.ggml.add_space_prefix", meta.bool(false)],
    ...(template === null ? [] : [["tokenizer.chat_template", meta.string(template)] as const]),
  ] as const;
}

function refuse(detail: string): never {
  throw new SynapticError("usage", `Cannot write the reciting model: ${detail}`);
}

function vocabularyFor({ text, tokens = "words" }: RecitingModel): Vocabulary {
  if (tokens === "bytes") {
    const said = text === undefined ? BYTES_TEXT : [text].flat().join("");
    refuseRepeats([...new TextEncoder().encode(said)], tokens);
    return bytesVocabularyOf(said);
  }
  const words = typeof text === "object" ? text : wordsOf(text ?? RECITATION);
  refuseRepeats(words, tokens);
  return vocabularyOf(words);
}

function refuseRepeats(parts: readonly unknown[], name: string): void {
  if (new Set(parts).size !== parts.length) refuse(`the ${name} of the text are not distinct`);
}

/**
 * Writes the model as a stream; the same options give the same bytes.
 * @returns the file's bytes
 * @throws SynapticError `usage` when the options don't fit each other
 */
export async function writeRecitingModel(model: RecitingModel): Promise<number> {
  const vocabulary = vocabularyFor(model);
  if (!(Number.isInteger(model.layers) && model.layers > 0)) refuse(`layers is ${model.layers}`);
  const { damagedLayer = 0 } = model;
  if (!(Number.isInteger(damagedLayer) && damagedLayer >= 0 && damagedLayer < model.layers)) {
    refuse(`damaged layer is ${damagedLayer}, expected 0 to ${model.layers - 1}`);
  }
  const width = model.width ?? Math.ceil(vocabulary.tokens.length / HEAD_SIZE) * HEAD_SIZE;
  if (width % HEAD_SIZE !== 0 || width < vocabulary.tokens.length) {
    refuse(`width is ${width}, expected a multiple of ${HEAD_SIZE} from ${vocabulary.tokens.length} on`);
  }
  const heads = width / HEAD_SIZE;
  const kvHeads = model.kvHeads ?? (heads % 2 === 0 ? 2 : 1);
  if (heads % kvHeads !== 0) refuse(`${kvHeads} KV heads don't divide ${heads} heads`);
  const tensors = tensorsOf(model, vocabulary, { width, type: model.type }, kvHeads * HEAD_SIZE);
  return writeGguf(model.path, { metadata: metadataOf(model, vocabulary, width, kvHeads), tensors });
}
