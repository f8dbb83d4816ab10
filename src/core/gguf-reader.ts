/** Reads little-endian values from the front of a file, and stops where the bytes at hand, the file or the limits end. Pure. */
import { formatBytes, MIB } from "./units.ts";

/** Vocabularies of 256k tokens with merges make about 10 MiB; nothing known comes near these. */
export const MAX_HEADER_BYTES = 128 * MIB;
export const MAX_STRING_BYTES = 16 * MIB;

/** Why reading ended early: more bytes are needed, or no bytes will help. */
export type Halt =
  | { readonly tag: "more"; readonly atLeast: number }
  | { readonly tag: "bad"; readonly reason: string };

/** Carries a Halt out of nested reads; caught by `parseGgufHeader` only. */
export class HaltSignal extends Error {
  readonly halt: Halt;
  constructor(halt: Halt) {
    super(halt.tag === "bad" ? halt.reason : `needs ${halt.atLeast} bytes`);
    this.halt = halt;
  }
}

export function refuse(reason: string): never {
  throw new HaltSignal({ tag: "bad", reason });
}

const UPPER = 2 ** 32;

export class GgufReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #fileBytes: number;
  readonly #decoder = new TextDecoder();
  #at = 0;

  constructor(bytes: Uint8Array, fileBytes: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#fileBytes = fileBytes;
  }

  get offset(): number {
    return this.#at;
  }

  u8 = (): number => this.#view.getUint8(this.#take(1));
  i8 = (): number => this.#view.getInt8(this.#take(1));
  u16 = (): number => this.#view.getUint16(this.#take(2), true);
  i16 = (): number => this.#view.getInt16(this.#take(2), true);
  u32 = (): number => this.#view.getUint32(this.#take(4), true);
  i32 = (): number => this.#view.getInt32(this.#take(4), true);
  f32 = (): number => this.#view.getFloat32(this.#take(4), true);
  f64 = (): number => this.#view.getFloat64(this.#take(8), true);
  u64 = (): bigint => this.#view.getBigUint64(this.#take(8), true);
  i64 = (): bigint => this.#view.getBigInt64(this.#take(8), true);

  /** A u64 as a number: exact up to 2^53, and too large to pass any limit beyond. */
  count(): number {
    const low = this.u32();
    return this.u32() * UPPER + low;
  }

  skip(bytes: number): void {
    this.#take(bytes);
  }

  /** Steps over a string without decoding it. */
  skipString(what: string): void {
    this.skip(this.#stringBytes(what));
  }

  string(what: string): string {
    const length = this.#stringBytes(what);
    const start = this.#take(length);
    return this.#decoder.decode(this.#bytes.subarray(start, start + length));
  }

  #stringBytes(what: string): number {
    const length = this.count();
    if (length > MAX_STRING_BYTES)
      refuse(`${what} is a string of ${length} bytes, at most ${formatBytes(MAX_STRING_BYTES)} allowed`);
    return length;
  }

  #take(length: number): number {
    const start = this.#at;
    const end = start + length;
    if (end > MAX_HEADER_BYTES) refuse(`header is larger than ${formatBytes(MAX_HEADER_BYTES)}`);
    if (end > this.#fileBytes)
      refuse(`file is truncated: header needs at least ${end} bytes, file has ${this.#fileBytes}`);
    if (end > this.#bytes.length) throw new HaltSignal({ tag: "more", atLeast: end });
    this.#at = end;
    return start;
  }
}
