/** Where a model is pulled to: where the rule would run it, as far as its size is known. Pure. */
import { SynapticError } from "./errors.ts";
import { HEAD_MACHINE } from "./health.ts";
import type { NodeFit } from "./node-fit.ts";

export interface PullNode {
  readonly url: string;
  /** What shares memory. */
  readonly machine: string;
  /** It has the model, perhaps an older one. */
  readonly hasIt: boolean;
  /** Whether the model would fit there; `unknown` also while its size is. */
  readonly fit: NodeFit;
  readonly why: string;
  readonly priority: number;
}

export interface PullInput {
  readonly model: string;
  /** Those that answer. */
  readonly nodes: readonly PullNode[];
  /** The owner's own word for this model. */
  readonly wish: "pool" | "shard" | null;
  readonly pool: boolean;
  readonly sharding: boolean;
}

export type PullPlace =
  | { readonly ok: true; readonly url: string; readonly reason: string }
  | { readonly ok: false; readonly error: SynapticError };

/** A node that has it already; one with room in fast memory; the head node's own Ollama, whose store the shards are loaded
 *  from; a node of which nothing is known; then one that would hold it in RAM. */
export function pullPlace({ model, nodes, wish, pool, sharding }: PullInput): PullPlace {
  const ranked = nodes.toSorted((a, b) => b.priority - a.priority);
  const usable = pool && wish !== "shard" ? ranked : [];
  const fits = (fit: NodeFit) => usable.find((node) => node.fit === fit);
  const head = sharding && wish !== "pool" ? ranked.find(({ machine }) => machine === HEAD_MACHINE) : undefined;
  const to = (node: PullNode, reason: string): PullPlace => ({ ok: true, url: node.url, reason });
  const owner = usable.find(({ hasIt }) => hasIt);
  if (owner) return to(owner, "has it already");
  const fast = fits("fast");
  if (fast) return to(fast, fast.why);
  if (head) return to(head, "the head node's store, from which it can run on a node there or be sharded");
  const rest = fits("unknown") ?? fits("slow");
  if (rest) return to(rest, rest.why);
  return { ok: false, error: nowhere(model, nodes) };
}

function nowhere(model: string, nodes: readonly PullNode[]): SynapticError {
  const small = nodes.map(({ url, why }) => `${url} ${why}`).join("; ");
  const why = small || "no Ollama node answers";
  return new SynapticError("no_backends", `Cannot pull ${model}: ${why}, and no Ollama runs on the head node`, {
    hint: "start one there (`ollama serve`): from its store a model of any size can be sharded",
  });
}

const SIZE = /(?:^|[-_:.])(?:(\d+)x)?(\d+(?:\.\d+)?)(b|m)(?=$|[-_:.])/i;
const BITS = /(?:^|[-_:.])(?:i?q(\d)|(f16|fp16|bf16)|(f32|fp32))/i;
/** Ollama's usual quantisation, Q4_K_M. */
const USUAL_BITS = 4.85;

/** About how many bytes a model has by its name alone, as in `llama3.1:70b-instruct-q8_0`; null when that has no number. */
export function bytesByName(name: string): number | null {
  const [, experts, count, unit] = SIZE.exec(name) ?? [];
  if (count === undefined) return null;
  const parameters = Number(count) * Number(experts ?? 1) * (unit?.toLowerCase() === "m" ? 1e6 : 1e9);
  const [, quantized, half, whole] = BITS.exec(name) ?? [];
  const bits = whole ? 32 : half ? 16 : quantized ? Number(quantized) + 0.5 : USUAL_BITS;
  return Math.round((parameters * bits) / 8);
}
