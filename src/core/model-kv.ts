/** KV cache elements per layer, and when they are only an upper bound. Pure. Rules: llama.cpp `llama-hparams`, `llama-kv-cache`. */
import type { ModelKeys } from "./model-keys.ts";

export interface KvElements {
  readonly keyElements: number;
  readonly valueElements: number;
}

const NONE: KvElements = { keyElements: 0, valueElements: 0 };

/** These attend within a window although no key says so (llama.cpp sets it by architecture). */
const WINDOWED_BY_NAME: ReadonlySet<string> = new Set(["gemma2", "llama4"]);
const RECURRENT_KEYS = [
  "ssm.conv_kernel",
  "ssm.inner_size",
  "ssm.state_size",
  "full_attention_interval",
  "attention.recurrent_layers",
  "wkv.head_size",
  "shortconv.l_cache",
  "kda.head_dim",
];

/** Layers at the end that predict further tokens: they count as layers for placement, and have no cache in plain decoding. */
export function nextnLayers(keys: ModelKeys): number {
  return keys.number("nextn_predict_layers") ?? 0;
}

export function headSizes(keys: ModelKeys): { readonly key: number; readonly value: number } {
  // Per-layer head counts: llama.cpp takes the first layer's for the default size.
  const heads = keys.forLayer("attention.head_count", 0) || keys.number("attention.head_count") || 1;
  const fallback = Math.floor((keys.number("embedding_length") ?? 0) / heads);
  const size = (part: "key" | "value") =>
    Math.max(keys.number(`attention.${part}_length`) ?? fallback, keys.number(`attention.${part}_length_swa`) ?? 0);
  return { key: size("key"), value: size("value") };
}

/** Elements that one token of context takes in layer `layer` (facts/llamacpp.md section i). */
export function kvElements(keys: ModelKeys, layer: number, layers: number): KvElements {
  if (layer >= layers - nextnLayers(keys)) return NONE;
  const heads = keys.forLayer("attention.head_count", layer) ?? 0;
  const kvHeads = keys.forLayer("attention.head_count_kv", layer) ?? heads;
  const { key, value } = headSizes(keys);
  const indexer = keys.number("attention.indexer.key_length") ?? 0;
  return { keyElements: kvHeads * key + indexer, valueElements: kvHeads * value };
}

/** Null when the cache takes exactly `kvElements` for each token of context; else why it takes less. */
export function kvInexactReason(keys: ModelKeys): string | null {
  if (RECURRENT_KEYS.some((key) => keys.has(key)))
    return "some layers are recurrent and keep a state of fixed size instead";
  if (keys.has("attention.key_length_mla")) return "multi-head latent attention (MLA) stores keys and values together";
  if (keys.has("attention.indexer.key_length")) return "sparse attention keeps an index beside the cache";
  const window = keys.number("attention.sliding_window") ?? 0;
  if (window > 0) return `some layers may see a sliding window of ${window} tokens only`;
  if (WINDOWED_BY_NAME.has(keys.architecture)) return "some layers see a window of the context only";
  if ((keys.number("attention.shared_kv_layers") ?? 0) > 0) return "some layers share another layer's cache";
  return null;
}
