/** Which layers see a window of the context only, and how wide it is. Pure. */
import type { ModelKeys } from "./model-keys.ts";

interface WindowRule {
  /** Of so many layers one sees all of the context; 0 is none. Null: the file must say it for each layer. */
  readonly every: number | null;
  /** The first of them does; else the last. */
  readonly fullFirst?: boolean;
  /** Tokens when the file has no `attention.sliding_window`; without, such a file has no windows. */
  readonly fallback?: number;
  /** Tokens whatever the file says, except 0. */
  readonly fixed?: number;
  /** Applies to models of so many layers only. */
  readonly layers?: number;
  /** `attention.sliding_window_pattern` is not looked at. */
  readonly ignoresPattern?: boolean;
}

/** Asked of llama-server 0.7.0 itself, for each architecture that it knows: `is_swa` per layer at `-lv 5`, with and
 *  without the keys. The same as in llama.cpp's `src/models/*.cpp` (`load_arch_hparams`), where that could be read. */
const RULES: ReadonlyMap<string, WindowRule> = new Map<string, WindowRule>([
  ["afmoe", { every: 4 }],
  ["cohere2", { every: 4 }],
  ["cohere2moe", { every: 4, fullFirst: true }],
  ["exaone-moe", { every: 4 }],
  ["exaone4", { every: 4, fallback: 4_096, layers: 64 }],
  ["gemma2", { every: 2, fallback: 4_096 }],
  ["gemma3", { every: 6 }],
  ["gemma3n", { every: 5 }],
  ["gemma4", { every: null }],
  ["gpt-oss", { every: 2 }],
  ["granite_swa", { every: null }],
  ["laguna", { every: 4, fullFirst: true }],
  ["lfm2", { every: 0, ignoresPattern: true }],
  ["llama4", { every: 4, fallback: 8_192, fixed: 8_192 }],
  ["maion-coder", { every: null }],
  ["maple", { every: null }],
  ["mellum", { every: 4 }],
  ["mimo2", { every: null }],
  ["muse-glimmer", { every: 4 }],
  ["olmo2", { every: 4 }],
  ["plamo3", { every: 8 }],
  ["smallthinker", { every: 4, fullFirst: true, fixed: 4_096 }],
  ["spark2_5", { every: null }],
  ["step35", { every: null }],
]);

/** These have the key in some files, and attend to everything all the same (asked of the same llama-server). */
const IGNORE_KEY: ReadonlySet<string> = new Set([
  "apertus",
  "ernie4_5",
  "glm4",
  "glm4moe",
  "granite",
  "granitemoe",
  "hunyuan-dense",
  "hunyuan-moe",
  "lfm2moe",
  "llama",
  "minimax-m2",
  "mistral3",
  "phi3",
  "phimoe",
  "qwen2",
  "qwen2moe",
  "qwen3",
  "qwen35",
  "qwen35moe",
  "qwen3moe",
  "qwen3vl",
  "qwen3vlmoe",
  "seed_oss",
  "smollm3",
  "starcoder2",
]);

/** Tokens back that layer `layer` sees; null when it sees all of the context, as far as is known. */
export function windowOf(keys: ModelKeys, layer: number, layers: number): number | null {
  const rule = RULES.get(keys.architecture);
  if (!rule || (rule.layers ?? layers) !== layers) return null;
  const window = windowLength(keys, rule);
  return window > 0 && isWindowed(keys, rule, layer) ? window : null;
}

function windowLength(keys: ModelKeys, rule: WindowRule): number {
  const asked = keys.number("attention.sliding_window") ?? rule.fallback ?? 0;
  return asked > 0 ? (rule.fixed ?? asked) : 0;
}

function isWindowed(keys: ModelKeys, { every, fullFirst, ignoresPattern }: WindowRule, layer: number): boolean {
  const pattern = ignoresPattern ? null : keys.pattern("attention.sliding_window_pattern");
  if (typeof pattern === "object" && pattern) return (pattern[layer] ?? 0) !== 0;
  const period = pattern ?? every ?? 1;
  if (period === 0) return true;
  return fullFirst ? layer % period !== 0 : layer % period < period - 1;
}

/** Whether a window is announced that no rule explains. */
export function hasUnknownWindow(keys: ModelKeys): boolean {
  const { architecture } = keys;
  if (IGNORE_KEY.has(architecture) || (keys.number("attention.sliding_window") ?? 0) === 0) return false;
  const rule = RULES.get(architecture);
  return !rule || (rule.every === null && typeof keys.pattern("attention.sliding_window_pattern") !== "object");
}
