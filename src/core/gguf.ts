/** GGUF header bytes to GgufHeader; every count bounded. Pure. Format: ggml docs/gguf.md; facts/llamacpp.md section i. */
import { GGML_TYPES } from "./ggml-types.ts";
import { GgufReader, type Halt, HaltSignal, refuse } from "./gguf-reader.ts";

export type GgufScalar = number | bigint | boolean | string;

/** Numeric arrays of up to 4096 items are kept (per-layer head counts, say); all others are known by length only. */
export interface GgufArray {
  readonly length: number;
  readonly items: readonly number[] | null;
}

export type GgufValue = GgufScalar | GgufArray;

export interface GgufTensor {
  readonly name: string;
  /** Innermost dimension first, as stored. */
  readonly shape: readonly number[];
  /** ggml type name, such as `F16` or `Q4_K`. */
  readonly type: string;
  readonly bytes: number;
}

export interface GgufHeader {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: readonly GgufTensor[];
  /** Bytes of the whole file, or of all files of a split model. */
  readonly fileBytes: number;
}

export type GgufResult = { readonly tag: "ok"; readonly header: GgufHeader } | Halt;

const MAX_METADATA = 16_384;
/** Old mixtures of experts store each expert apart: 256 experts x 60 layers x 3. */
const MAX_TENSORS = 131_072;
const MAX_ARRAY_ITEMS = 2 ** 24;
const MAX_KEPT_ITEMS = 4096;
/** The format's own limit for keys; ggml cuts tensor names at 64, terminator included. */
const MAX_KEY_LENGTH = 65_535;
const MAX_TENSOR_NAME = 63;
/** GGML_MAX_DIMS. */
const MAX_DIMENSIONS = 4;
const MAX_ALIGNMENT = 65_536;
const DEFAULT_ALIGNMENT = 32;
const STRING = 8;
const ARRAY = 9;

interface ScalarType {
  readonly bytes: number;
  readonly read: (reader: GgufReader) => number | bigint | boolean;
}

const SCALARS: ReadonlyMap<number, ScalarType> = new Map<number, ScalarType>([
  [0, { bytes: 1, read: (reader) => reader.u8() }],
  [1, { bytes: 1, read: (reader) => reader.i8() }],
  [2, { bytes: 2, read: (reader) => reader.u16() }],
  [3, { bytes: 2, read: (reader) => reader.i16() }],
  [4, { bytes: 4, read: (reader) => reader.u32() }],
  [5, { bytes: 4, read: (reader) => reader.i32() }],
  [6, { bytes: 4, read: (reader) => reader.f32() }],
  [7, { bytes: 1, read: (reader) => reader.u8() !== 0 }],
  [10, { bytes: 8, read: (reader) => narrow(reader.u64()) }],
  [11, { bytes: 8, read: (reader) => narrow(reader.i64()) }],
  [12, { bytes: 8, read: (reader) => reader.f64() }],
]);

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/**
 * Reads the header from the front of a file of `fileBytes` bytes. `more` names the offset up to which bytes are needed to
 * get further; whoever reads doubles what it has, so that reading again from the start stays linear.
 */
export function parseGgufHeader(bytes: Uint8Array, fileBytes: number): GgufResult {
  try {
    return { tag: "ok", header: readHeader(new GgufReader(bytes, fileBytes), fileBytes) };
  } catch (thrown) {
    if (thrown instanceof HaltSignal) return thrown.halt;
    throw thrown;
  }
}

function readHeader(reader: GgufReader, fileBytes: number): GgufHeader {
  if (fileBytes === 0) refuse("file is empty");
  readMagic(reader);
  const version = readVersion(reader);
  const tensorCount = readCount(reader, "tensors", MAX_TENSORS);
  const metadataCount = readCount(reader, "metadata entries", MAX_METADATA);
  const metadata = readMetadata(reader, metadataCount);
  const alignment = readAlignment(metadata);
  const { tensors, dataBytes } = readTensors(reader, tensorCount, alignment);
  const neededBytes = tensorCount === 0 ? 0 : pad(reader.offset, alignment) + dataBytes;
  if (neededBytes > fileBytes) refuse(`file is truncated: needs ${neededBytes} bytes, has ${fileBytes}`);
  return { version, metadata, tensors, fileBytes };
}

function readMagic(reader: GgufReader): void {
  const codes = [reader.u8(), reader.u8(), reader.u8(), reader.u8()];
  const text = String.fromCharCode(...codes);
  if (text === "GGUF") return;
  const hex = codes.map((code) => code.toString(16).padStart(2, "0")).join("");
  refuse(`magic is ${/^[\x21-\x7e]+$/.test(text) ? `"${text}"` : `0x${hex}`}, expected "GGUF"`);
}

function readVersion(reader: GgufReader): number {
  const version = reader.u32();
  if (version === 2 || version === 3) return version;
  if (version > 0 && version % 2 ** 24 === 0)
    refuse("file is big-endian, which llama.cpp does not read on this machine");
  refuse(`GGUF version is ${version}, expected 2 or 3`);
}

function readCount(reader: GgufReader, what: string, limit: number): number {
  const count = reader.count();
  if (count > limit) refuse(`header announces ${count} ${what}, at most ${limit} allowed`);
  return count;
}

function readMetadata(reader: GgufReader, count: number): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = reader.string("a metadata key");
    if (key.length > MAX_KEY_LENGTH) refuse(`a metadata key has ${key.length} characters`);
    if (metadata.has(key)) refuse(`metadata key ${key} appears twice`);
    metadata.set(key, readValue(reader, key));
  }
  return metadata;
}

function readValue(reader: GgufReader, key: string): GgufValue {
  const type = reader.u32();
  if (type === STRING) return reader.string(key);
  if (type === ARRAY) return readArray(reader, key);
  const scalar = SCALARS.get(type);
  return scalar ? scalar.read(reader) : refuse(`metadata key ${key} has the unknown value type ${type}`);
}

function readArray(reader: GgufReader, key: string): GgufArray {
  const type = reader.u32();
  const length = reader.count();
  if (type === ARRAY) refuse(`metadata key ${key} is an array of arrays, which llama.cpp does not read`);
  if (length > MAX_ARRAY_ITEMS)
    refuse(`metadata key ${key} announces ${length} items, at most ${MAX_ARRAY_ITEMS} allowed`);
  if (type === STRING) {
    for (let i = 0; i < length; i++) reader.skipString(`an item of ${key}`);
    return { length, items: null };
  }
  const scalar = SCALARS.get(type) ?? refuse(`metadata key ${key} is an array of the unknown type ${type}`);
  if (length > MAX_KEPT_ITEMS) {
    reader.skip(length * scalar.bytes);
    return { length, items: null };
  }
  const items = Array.from({ length }, () => scalar.read(reader));
  return { length, items: items.some((item) => typeof item === "bigint") ? null : items.map(Number) };
}

function readAlignment(metadata: ReadonlyMap<string, GgufValue>): number {
  const alignment = metadata.get("general.alignment") ?? DEFAULT_ALIGNMENT;
  const usable = typeof alignment === "number" && alignment >= 1 && alignment <= MAX_ALIGNMENT;
  if (usable && Number.isInteger(Math.log2(alignment))) return alignment;
  refuse(`general.alignment is ${String(alignment)}, expected a power of two up to ${MAX_ALIGNMENT}`);
}

function readTensors(reader: GgufReader, count: number, alignment: number) {
  const tensors: GgufTensor[] = [];
  const names = new Set<string>();
  let next = 0;
  let dataBytes = 0;
  for (let i = 0; i < count; i++) {
    const tensor = readTensor(reader);
    const offset = reader.count();
    if (names.has(tensor.name)) refuse(`tensor ${tensor.name} appears twice`);
    // Without gaps or overlaps, as ggml demands when it loads the file.
    if (offset !== next) refuse(`tensor ${tensor.name} lies at offset ${offset}, expected ${next}`);
    names.add(tensor.name);
    tensors.push(tensor);
    dataBytes = next + tensor.bytes;
    next = pad(dataBytes, alignment);
    if (!Number.isSafeInteger(next)) refuse("tensors are larger than 2^53 bytes together");
  }
  return { tensors, dataBytes };
}

function readTensor(reader: GgufReader): GgufTensor {
  const name = reader.string("a tensor name");
  if (name.length === 0 || name.length > MAX_TENSOR_NAME) {
    refuse(`a tensor name has ${name.length} characters, expected 1 to ${MAX_TENSOR_NAME}`);
  }
  const dimensions = reader.u32();
  if (dimensions < 1 || dimensions > MAX_DIMENSIONS) {
    refuse(`tensor ${name} has ${dimensions} dimensions, expected 1 to ${MAX_DIMENSIONS}`);
  }
  const shape = Array.from({ length: dimensions }, () => reader.count());
  const typeId = reader.u32();
  const type = GGML_TYPES.get(typeId) ?? refuse(`tensor ${name} has the unknown type ${typeId}`);
  const elements = shape.reduce((product, size) => product * size, 1);
  const bytes = (elements / type.blockSize) * type.blockBytes;
  if (elements === 0) refuse(`tensor ${name} has a dimension of 0`);
  if (!(Number.isSafeInteger(elements) && elements * type.blockBytes <= Number.MAX_SAFE_INTEGER)) {
    refuse(`tensor ${name} is too large: ${shape.join(" x ")}`);
  }
  const row = shape[0] ?? 0;
  if (row % type.blockSize !== 0)
    refuse(`tensor ${name} has rows of ${row}, not a multiple of ${type.name}'s ${type.blockSize}`);
  return { name, shape, type: type.name, bytes };
}

function pad(bytes: number, alignment: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}
