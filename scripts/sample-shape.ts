/** How a sample model is described. Pure. */
import type { GgufMeta } from "../src/core/gguf-encode.ts";
import type { LayerShape } from "../src/core/made-up-model.ts";

export interface SampleShape extends LayerShape {
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
  readonly vocabulary: number;
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

export type Keys = Readonly<Record<string, GgufMeta>>;
