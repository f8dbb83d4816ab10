/** How a sample model is described, and the words for its tensors. Pure. */
import type { GgufMeta, WeightType } from "./gguf-writer.ts";

export interface SampleShape {
  readonly architecture:
    | "llama"
    | "qwen2"
    | "qwen3moe"
    | "gemma3"
    | "gpt-oss"
    | "deepseek2"
    | "gemma4"
    | "mamba"
    | "lfm2"
    | "qwen35";
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly feedForward: number;
  readonly vocabulary: number;
  readonly type: WeightType;
  readonly tied?: boolean;
  /** Tokens that the windowed layers see back. */
  readonly window?: number;
  /** Gemma 4: its windowed layers have smaller heads, all but each sixth; each layer gets its own input; the last ones
   *  borrow others' caches. */
  readonly perLayer?: { readonly windowHeadSize: number; readonly inputs: number; readonly borrowing: number };
  readonly experts?: { readonly count: number; readonly used: number; readonly feedForward: number };
  /** Ranks and sizes of multi-head latent attention; a head's key is `plain` + `rope` long. */
  readonly latent?: {
    readonly queryRank: number;
    readonly rank: number;
    readonly plain: number;
    readonly rope: number;
    readonly value: number;
  };
  /** Kernel and state of recurrent layers; those of `attentionLayers` attend instead. */
  readonly recurrent?: {
    readonly kernel: number;
    readonly state: number;
    readonly attentionLayers: readonly number[];
    /** Heads of linear attention, each as wide as its state: those of keys, and those of values. */
    readonly keyHeads?: number;
    readonly valueHeads?: number;
  };
}

export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: WeightType;
}

export type Keys = Readonly<Record<string, GgufMeta>>;

export const vector = (name: string, ...shape: number[]): TensorSpec => ({ name, shape, type: "F32" });

export function matrix({ type }: SampleShape, name: string, ...shape: number[]): TensorSpec {
  return { name: `${name}.weight`, shape, type };
}
