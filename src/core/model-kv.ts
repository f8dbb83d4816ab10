/** What each layer keeps of what was read: KV cache, window, state; and where that is only an upper bound. Pure. Rules:
 *  llama.cpp `llama-hparams`, `llama-kv-cache`, `llama-kv-cache-iswa`, `llama-memory-recurrent`. */
import { isEncoder } from "./embedding.ts";
import type { ModelKeys } from "./model-keys.ts";
import { recurrenceOf, stateInexactReason } from "./model-recurrent.ts";
import { hasUnknownWindow, windowOf } from "./model-window.ts";

export interface LayerCache {
  /** Cache elements per token of context: key and value counted apart, since llama.cpp pads values without flash attention. */
  readonly keyElements: number;
  readonly valueElements: number;
  /** Tokens back that the layer sees, and so keeps; null for the whole context. */
  readonly window: number | null;
  /** Bytes kept for each sequence, however long it is. */
  readonly stateBytes: number;
  /** Looks into the caches of the last layers that have their own. */
  readonly borrows: boolean;
}

const NONE: LayerCache = { keyElements: 0, valueElements: 0, window: null, stateBytes: 0, borrows: false };
/** Gemma 3n: layers from here on share the cache of earlier ones (`n_layer_kv_from_start`, no key). */
const GEMMA3N_OWN_LAYERS = 20;

/** Layers at the end that predict further tokens: they count as layers for placement, and have no cache in plain decoding. */
export function nextnLayers(keys: ModelKeys): number {
  return keys.number("nextn_predict_layers") ?? 0;
}

export function headSizes(keys: ModelKeys): { readonly key: number; readonly value: number } {
  const size = (part: "key" | "value") =>
    Math.max(headSize(keys, part), keys.number(`attention.${part}_length_swa`) ?? 0);
  return { key: size("key"), value: size("value") };
}

function headSize(keys: ModelKeys, part: "key" | "value"): number {
  // Per-layer head counts: llama.cpp takes the first layer's for the default size.
  const heads = keys.forLayer("attention.head_count", 0) || keys.number("attention.head_count") || 1;
  return keys.number(`attention.${part}_length`) ?? Math.floor((keys.number("embedding_length") ?? 0) / heads);
}

/** Multi-head latent attention stores keys and values as one; `attention.key_length` is then the length of that. */
export function isLatent(keys: ModelKeys): boolean {
  return (keys.number("attention.key_length_mla") ?? 0) > 0 && (keys.number("attention.value_length_mla") ?? 0) > 0;
}

/** Where that was measured, and nothing is kept beside it. */
function isPlainLatent(keys: ModelKeys): boolean {
  return isLatent(keys) && keys.architecture === "deepseek2" && !keys.has("attention.indexer.key_length");
}

/** What layer `layer` of `layers` keeps. */
export function layerCache(keys: ModelKeys, layer: number, layers: number): LayerCache {
  const own = layers - nextnLayers(keys);
  if (layer >= own || isEncoder(keys.architecture)) return NONE;
  const { stateBytes, attends } = recurrenceOf(keys, layer);
  if (!attends) return { ...NONE, stateBytes };
  const window = windowOf(keys, layer, own);
  if (layer >= cachedLayers(keys, layers)) return { ...NONE, stateBytes, window, borrows: true };
  const heads = keys.forLayer("attention.head_count", layer) ?? 0;
  const kvHeads = keys.forLayer("attention.head_count_kv", layer) ?? heads;
  const elements = (part: "key" | "value") =>
    kvHeads * ((window !== null && keys.number(`attention.${part}_length_swa`)) || headSize(keys, part));
  const indexer = keys.number("attention.indexer.key_length") ?? 0;
  return {
    keyElements: elements("key") + indexer,
    valueElements: isPlainLatent(keys) ? 0 : elements("value"),
    window,
    stateBytes,
    borrows: false,
  };
}

/** How many layers have a cache of their own; the later ones look into theirs. */
function cachedLayers(keys: ModelKeys, layers: number): number {
  if (keys.architecture === "gemma3n") return GEMMA3N_OWN_LAYERS;
  return keys.architecture === "gemma4" ? layers - (keys.number("attention.shared_kv_layers") ?? 0) : layers;
}

/** Null when a load takes exactly what `layerCache()` says; else why that is an upper bound. */
export function kvInexactReason(keys: ModelKeys): string | null {
  if (isEncoder(keys.architecture)) return null;
  const state = stateInexactReason(keys);
  if (state) return state;
  if (keys.has("attention.indexer.key_length")) return "sparse attention keeps an index beside the cache";
  if (isLatent(keys) && !isPlainLatent(keys)) {
    return "multi-head latent attention (MLA) of this architecture was never measured";
  }
  if (hasUnknownWindow(keys)) {
    return `some layers may see a sliding window of ${keys.number("attention.sliding_window") ?? 0} tokens only`;
  }
  if (keys.architecture !== "gemma4" && (keys.number("attention.shared_kv_layers") ?? 0) > 0) {
    return "some layers share another layer's cache";
  }
  return null;
}
