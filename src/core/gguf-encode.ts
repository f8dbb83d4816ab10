/** GGUF files of any size as a stream of bytes: metadata, tensor table, then each tensor. Pure. Format: facts/llamacpp.md section i. */
import { SynapticError } from "./errors.ts";

/** One metadata value, already in the file's encoding. */
export interface GgufMeta {
  readonly type: number;
  readonly bytes: Uint8Array;
}

export type WeightType = "F32" | "F16" | "Q8_0";

export interface TensorSource {
  readonly name: string;
  /** Innermost dimension first. */
  readonly shape: readonly number[];
  readonly type: WeightType;
  /** The tensor's encoded bytes in order; asked for once, while the file is written. */
  readonly chunks: () => Iterable<Uint8Array>;
}

export interface GgufFile {
  readonly metadata: readonly (readonly [string, GgufMeta])[];
  readonly tensors: readonly TensorSource[];
}

const ALIGNMENT = 32;
const Q8_BLOCK = 32;
const Q8_BYTES = 34;
const TYPES: Readonly<Record<WeightType, { id: number; block: number; bytes: number }>> = {
  F32: { id: 0, block: 1, bytes: 4 },
  F16: { id: 1, block: 1, bytes: 2 },
  Q8_0: { id: 8, block: Q8_BLOCK, bytes: Q8_BYTES },
};

function little(bytes: number, set: (view: DataView) => void): Uint8Array {
  const view = new DataView(new ArrayBuffer(bytes));
  set(view);
  return new Uint8Array(view.buffer);
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export function encodeU32(value: number): Uint8Array {
  return little(4, (view) => view.setUint32(0, value, true));
}

export function encodeU64(value: number | bigint): Uint8Array {
  return little(8, (view) => view.setBigUint64(0, BigInt(value), true));
}

/** A GGUF string: u64 length, then UTF-8. */
export function encodeString(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  return concatBytes([encodeU64(bytes.length), bytes]);
}

function array(type: number, items: readonly Uint8Array[]): GgufMeta {
  return { type: 9, bytes: concatBytes([encodeU32(type), encodeU64(items.length), ...items]) };
}

const f32Bytes = (value: number) => little(4, (view) => view.setFloat32(0, value, true));

/** Metadata values by GGUF type. */
export const meta = {
  u16: (value: number): GgufMeta => ({ type: 2, bytes: little(2, (view) => view.setUint16(0, value, true)) }),
  u32: (value: number): GgufMeta => ({ type: 4, bytes: encodeU32(value) }),
  i32: (value: number): GgufMeta => ({ type: 5, bytes: little(4, (view) => view.setInt32(0, value, true)) }),
  f32: (value: number): GgufMeta => ({ type: 6, bytes: f32Bytes(value) }),
  bool: (value: boolean): GgufMeta => ({ type: 7, bytes: Uint8Array.of(value ? 1 : 0) }),
  string: (value: string): GgufMeta => ({ type: 8, bytes: encodeString(value) }),
  u64: (value: number | bigint): GgufMeta => ({ type: 10, bytes: encodeU64(value) }),
  bools: (values: readonly boolean[]): GgufMeta =>
    array(
      7,
      values.map((value) => Uint8Array.of(value ? 1 : 0)),
    ),
  /** Type i32; ggml takes no other for token types. */
  i32s: (values: readonly number[]): GgufMeta => array(5, values.map(encodeU32)),
  f32s: (values: readonly number[]): GgufMeta => array(6, values.map(f32Bytes)),
  strings: (values: readonly string[]): GgufMeta => array(8, values.map(encodeString)),
};

function tensorBytes(tensor: TensorSource): number {
  const { block, bytes } = TYPES[tensor.type];
  return (tensor.shape.reduce((product, size) => product * size, 1) / block) * bytes;
}

const padded = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** Bytes of the whole file. */
export function ggufBytes(file: GgufFile): number {
  return file.tensors.reduce((sum, tensor) => sum + padded(tensorBytes(tensor)), encodeHeader(file).length);
}

/** The header up to the first tensor's data, padding included. */
export function encodeHeader({ metadata, tensors }: GgufFile): Uint8Array {
  const parts = [new TextEncoder().encode("GGUF"), encodeU32(3), encodeU64(tensors.length), encodeU64(metadata.length)];
  for (const [key, value] of metadata) parts.push(encodeString(key), encodeU32(value.type), value.bytes);
  let offset = 0;
  for (const tensor of tensors) {
    parts.push(encodeString(tensor.name), encodeU32(tensor.shape.length), ...tensor.shape.map(encodeU64));
    parts.push(encodeU32(TYPES[tensor.type].id), encodeU64(offset));
    offset += padded(tensorBytes(tensor));
  }
  const bytes = concatBytes(parts);
  return concatBytes([bytes, new Uint8Array(padded(bytes.length) - bytes.length)]);
}

/**
 * Encodes values as `type`; for Q8_0 their count must be a multiple of 32.
 * Q8_0 scales are powers of two, so powers of two come back exactly (ggml's own `max / 127` would round them).
 */
export function encodeWeights(type: WeightType, values: Float32Array): Uint8Array {
  if (type === "F32") return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  if (type === "F16") return new Uint8Array(Float16Array.from(values).buffer);
  const bytes = new Uint8Array((values.length / Q8_BLOCK) * Q8_BYTES);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block * Q8_BLOCK < values.length; block++) {
    const items = values.subarray(block * Q8_BLOCK, (block + 1) * Q8_BLOCK);
    const largest = items.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const scale = largest === 0 ? 0 : 2 ** Math.ceil(Math.log2(largest / 127));
    view.setFloat16(block * Q8_BYTES, scale, true);
    items.forEach((value, i) => {
      view.setInt8(block * Q8_BYTES + 2 + i, scale === 0 ? 0 : Math.round(value / scale));
    });
  }
  return bytes;
}

/** All of a file's bytes, in pieces of any size. */
export function* ggufChunks(file: GgufFile): Generator<Uint8Array> {
  yield encodeHeader(file);
  for (const tensor of file.tensors) {
    const expected = tensorBytes(tensor);
    let written = 0;
    for (const chunk of tensor.chunks()) {
      written += chunk.length;
      yield chunk;
    }
    if (written !== expected) {
      const detail = `${tensor.name} gave ${written} bytes, its shape needs ${expected}`;
      throw new SynapticError("internal", `Cannot write GGUF file: ${detail}`);
    }
    yield new Uint8Array(padded(expected) - expected);
  }
}
