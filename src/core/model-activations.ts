/** How much a layer computes with at once, per token. Pure. No formula is published: the factors are those of llama.cpp's
 *  graphs, and held for every class of model that was measured (docs/performance.md). */

import type { ModelKeys } from "./model-keys.ts";
import { headSizes, isLatent } from "./model-kv.ts";

/** Elements per token that the widest step of a layer keeps alive, beside the embeddings that pass through it. */
export function activationElements(keys: ModelKeys): number {
  return Math.max(
    3 * (keys.number("feed_forward_length") ?? 0),
    expertElements(keys),
    attentionElements(keys),
    recurrentElements(keys),
    perLayerElements(keys),
  );
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

/** Gemma 3n and 4 feed each layer its own small embedding, all at once. */
function perLayerElements(keys: ModelKeys): number {
  return 2 * (keys.number("block_count") ?? 0) * (keys.number("embedding_length_per_layer_input") ?? 0);
}
