/** How much a layer computes with at once, per token. Pure. No formula is published: the factors are those of llama.cpp's
 *  graphs, and held for every class of model that was measured (docs/performance.md). */

import type { ModelKeys } from "./model-keys.ts";
import { headSizes, isLatent } from "./model-kv.ts";

/** Held against llama.cpp's planner by `npm run oracle`, or built from the same graph as one of these. */
const MEASURED: ReadonlySet<string> = new Set([
  "bert",
  "deepseek2",
  "gemma2",
  "gemma3",
  "gemma4",
  "gpt-oss",
  "lfm2",
  "lfm2moe",
  "llama",
  "mamba",
  "mistral3",
  "qwen2",
  "qwen2moe",
  "qwen3",
  "qwen35",
  "qwen35moe",
  "qwen3moe",
]);
/** Rows of the embedding that others get beside: Gemma 3n keeps four of them through all layers, say. */
const UNMEASURED_ROWS = 8;

/** Elements per token that the widest step of a layer keeps alive, beside the embeddings that pass through it. */
export function activationElements(keys: ModelKeys): number {
  const widest = Math.max(
    3 * (keys.number("feed_forward_length") ?? 0),
    expertElements(keys),
    attentionElements(keys),
    recurrentElements(keys),
  );
  const unknown = MEASURED.has(keys.architecture) ? 0 : UNMEASURED_ROWS * (keys.number("embedding_length") ?? 0);
  return widest + unknown;
}

/** Each of a token's experts gets its own three rows, and answers with a row of its own. */
function expertElements(keys: ModelKeys): number {
  const used = keys.number("expert_used_count") ?? 0;
  const width = keys.number("embedding_length") ?? 0;
  const feedForward = keys.number("expert_feed_forward_length") ?? keys.number("feed_forward_length") ?? 0;
  return used * (width + 3 * feedForward);
}

/** Query, key and value, and the copies that norms and rotation make; latent attention maps each head into the
 *  compressed space and back. */
function attentionElements(keys: ModelKeys): number {
  const heads = keys.number("attention.head_count") ?? 0;
  const kvHeads = keys.number("attention.head_count_kv") ?? heads;
  const { key, value } = headSizes(keys);
  if (!isLatent(keys)) return 3 * (heads * Math.max(key, value) + kvHeads * Math.max(key, value));
  const rank = keys.number("attention.kv_lora_rank") ?? value;
  return heads * ((keys.number("attention.key_length_mla") ?? 0) + rank + key + Math.max(0, key - rank));
}

function recurrentElements(keys: ModelKeys): number {
  const number = (key: string) => keys.number(key) ?? 0;
  const convolved = number("ssm.inner_size") + 2 * number("ssm.group_count") * number("ssm.state_size");
  const short = number("shortconv.l_cache") > 0 ? 3 * number("embedding_length") : 0;
  return Math.max(5 * number("ssm.inner_size"), 3 * convolved, short);
}

/** Elements per token of what is fed to every layer beside the embeddings, all at once (Gemma 3n and 4). */
export function perLayerInputs(keys: ModelKeys): number {
  return (keys.number("block_count") ?? 0) * (keys.number("embedding_length_per_layer_input") ?? 0);
}
