/** GGUF header bytes to GgufHeader; every count bounded. Pure. Format: ggml docs/gguf.md; facts/llamacpp.md section i. */

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
