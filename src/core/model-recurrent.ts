/** Which layers keep a state of fixed size instead of a cache, and how large it is. Pure. */
import type { ModelKeys } from "./model-keys.ts";

/** How an architecture tells its recurrent layers: all of them, those without KV heads, or all but each nth. */
type Layers = "all" | "headless" | "interval";

interface RecurrentRule {
  readonly layers: Layers;
  /** Held against a real load; others follow the same source, and are called inexact. */
  readonly measured?: boolean;
  /** Its recurrent layers attend, too. */
  readonly attendsToo?: boolean;
  /** Layers with a feed-forward keep nothing. */
  readonly onlyBare?: boolean;
}

/** llama.cpp's `load_arch_hparams` and `llm_arch_is_recurrent`. */
const RULES: ReadonlyMap<string, RecurrentRule> = new Map<string, RecurrentRule>([
  ["arwkv7", { layers: "all" }],
  ["falcon-h1", { layers: "all", attendsToo: true }],
  ["granitehybrid", { layers: "headless" }],
  ["jamba", { layers: "headless" }],
  ["lfm2", { layers: "headless", measured: true }],
  ["lfm2moe", { layers: "headless", measured: true }],
  ["mamba", { layers: "all", measured: true }],
  ["mamba2", { layers: "all" }],
  ["nemotron_h", { layers: "headless", onlyBare: true }],
  ["nemotron_h_moe", { layers: "headless", onlyBare: true }],
  ["plamo2", { layers: "headless" }],
  ["qwen35", { layers: "interval", measured: true }],
  ["qwen35moe", { layers: "interval", measured: true }],
  ["qwen3next", { layers: "interval", measured: true }],
  ["rwkv6", { layers: "all" }],
  ["rwkv6qwen2", { layers: "all" }],
  ["rwkv7", { layers: "all" }],
]);

/** Keys that announce recurrent layers, whatever the architecture. */
const KEYS = [
  "ssm.conv_kernel",
  "ssm.inner_size",
  "ssm.state_size",
  "full_attention_interval",
  "attention.recurrent_layers",
  "wkv.head_size",
  "shortconv.l_cache",
  "kda.head_dim",
];
/** Of `full_attention_interval`. */
const DEFAULT_INTERVAL = 4;
/** States are kept in f32. */
const STATE_ELEMENT_BYTES = 4;

export interface Recurrence {
  /** Bytes per sequence. */
  readonly stateBytes: number;
  readonly attends: boolean;
}

/** What layer `layer` keeps beside a cache. */
export function recurrenceOf(keys: ModelKeys, layer: number): Recurrence {
  const rule = RULES.get(keys.architecture);
  if (!rule || !isRecurrent(keys, rule, layer)) return { stateBytes: 0, attends: true };
  const bare = !rule.onlyBare || (keys.forLayer("feed_forward_length", layer) ?? 0) === 0;
  return { stateBytes: bare ? stateElements(keys) * STATE_ELEMENT_BYTES : 0, attends: rule.attendsToo ?? false };
}

function isRecurrent(keys: ModelKeys, { layers }: RecurrentRule, layer: number): boolean {
  switch (layers) {
    case "all":
      return true;
    case "headless":
      return keys.forLayer("attention.head_count_kv", layer) === 0;
    case "interval":
      return (layer + 1) % (keys.number("full_attention_interval") ?? DEFAULT_INTERVAL) !== 0;
  }
}

/** llama.cpp's `n_embd_r()` and `n_embd_s()`: the last inputs of the convolution, and the state proper. */
function stateElements(keys: ModelKeys): number {
  const number = (key: string) => keys.number(key) ?? 0;
  const width = number("embedding_length");
  const wkv = number("wkv.head_size");
  if (wkv > 0) return (keys.number("token_shift_count") ?? 2) * width + width * wkv;
  const shortKernel = number("shortconv.l_cache");
  if (shortKernel > 0) return width * (shortKernel - 1);
  const [inner, state] = [number("ssm.inner_size"), number("ssm.state_size")];
  const kept = Math.max(0, number("ssm.conv_kernel") - 1);
  return kept * (inner + 2 * number("ssm.group_count") * state) + state * inner;
}

/** Why states are not exact; null when they are, or when there are none. */
export function stateInexactReason(keys: ModelKeys): string | null {
  const rule = RULES.get(keys.architecture);
  if (rule?.measured) return null;
  if (rule) return "recurrent layers of this architecture are counted by llama.cpp's source, and were never measured";
  return KEYS.some((key) => keys.has(key)) ? "some layers are recurrent and keep a state of fixed size instead" : null;
}
