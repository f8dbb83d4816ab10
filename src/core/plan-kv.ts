/** What layers keep in memory, in bytes: the cache for the whole context, and the states of recurrent layers. Pure. */
import type { LayerFacts, ModelFacts } from "./model.ts";
import type { KvType, PlanOptions } from "./plan-types.ts";

/** Bytes per KV element: f16 is 2; the quantised types are blocks of 32 (facts/llamacpp.md section i). */
const KV_ELEMENT_BYTES: Readonly<Record<KvType, number>> = { f16: 2, q8_0: 34 / 32, q4_0: 18 / 32 };

/** Context used when nobody asks for one: longer ones cost KV memory that most chats never fill. */
export const DEFAULT_CONTEXT = 32_768;
/** llama.cpp pads the cache to a multiple of 256 tokens. */
const CONTEXT_STEP = 256;
/** Head sizes for which every accelerator's flash attention kernel exists; others run it on the CPU or not at all. */
const FLASH_HEAD_SIZES = new Set([32, 40, 64, 72, 80, 96, 112, 128, 192, 256, 512, 576]);

/** Tokens that llama.cpp really makes room for. */
export function padContext(tokens: number): number {
  return Math.ceil(tokens / CONTEXT_STEP) * CONTEXT_STEP;
}

export interface Sizing {
  readonly contextSize: number;
  /** Sequences at once. */
  readonly parallel: number;
  readonly kvType: KvType;
  readonly microBatchSize: number;
  readonly flashAttention: boolean;
  /** Of all LoRA adapters together; none when left out. */
  readonly adapterBytes?: number;
}

/** Whether attention runs in one kernel: a quantised V cache that, so it is on then whatever the head size. */
export function wantsFlashAttention(facts: ModelFacts, kvType: KvType): boolean {
  return kvType !== "f16" || FLASH_HEAD_SIZES.has(facts.headSize);
}

/** How much a model has to keep with these options and so many tokens of context. */
export function sizingOf(facts: ModelFacts, options: PlanOptions, contextSize: number): Sizing {
  return {
    contextSize: padContext(contextSize),
    parallel: options.parallel,
    kvType: options.kvType,
    microBatchSize: options.microBatchSize,
    flashAttention: wantsFlashAttention(facts, options.kvType),
    adapterBytes: (options.adapters ?? []).reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** Tokens that a layer has room for: with `--kv-unified` all slots share one cache, where each keeps its window and a
 *  micro-batch comes on top (llama.cpp's `llama_kv_cache_iswa`). */
export function cacheCells({ contextSize, parallel, microBatchSize }: Sizing, window: number | null): number {
  return window === null ? contextSize : padContext(Math.min(contextSize, window * parallel + microBatchSize));
}

/** What each layer keeps: its part of the cache for the whole context, which all slots share, and a state for each slot. */
export function layerKvBytes({ layers }: Pick<ModelFacts, "layers">, sizing: Sizing): readonly number[] {
  // Without flash attention llama.cpp pads values to those of the widest layer.
  const widest = layers.reduce((most, layer) => Math.max(most, layer.valueElements), 0);
  const values = ({ valueElements }: LayerFacts) =>
    valueElements > 0 && !sizing.flashAttention ? widest : valueElements;
  return layers.map((layer) => {
    const elements = cacheCells(sizing, layer.window) * (layer.keyElements + values(layer));
    return elements * KV_ELEMENT_BYTES[sizing.kvType] + layer.stateBytes * sizing.parallel;
  });
}
