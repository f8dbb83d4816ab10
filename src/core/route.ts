/** Where a request runs: on a node of the pool, or on a coordinator over the shards; by what really fits, with the reason. Pure. */
import { SynapticError } from "./errors.ts";
import type { FitVerdict, NodeFit } from "./node-fit.ts";

/** A node that has the model and answers. */
export interface PoolOption extends FitVerdict {
  readonly url: string;
}

/** What the coordinator of a model could do. */
export type ShardOption =
  | { readonly tag: "ready"; readonly where: string }
  /** It would be loaded: planned, not yet there. */
  | { readonly tag: "loadable"; readonly where: string }
  | { readonly tag: "refused"; readonly error: SynapticError };

export interface RouteInput {
  readonly model: string;
  /** The owner's own word for this model. */
  readonly wish: "pool" | "shard" | null;
  /** Switched on by the config. */
  readonly pool: boolean;
  readonly sharding: boolean;
  readonly nodes: readonly PoolOption[];
  /** Null when no file of it is known here: it cannot be sharded. */
  readonly shard: ShardOption | null;
}

export interface Alternative {
  /** A node's URL, or `shards`. */
  readonly target: string;
  readonly chosen: boolean;
  /** What speaks for or against it. */
  readonly why: string;
}

export type RouteDecision =
  | {
      readonly kind: "pool";
      readonly urls: readonly string[];
      /** Nodes that could run it too, the better ones first: for when all of `urls` have failed. */
      readonly reserve: readonly string[];
      readonly reason: string;
    }
  | { readonly kind: "shard"; readonly reason: string }
  | { readonly kind: "refused"; readonly error: SynapticError; readonly reason: string };

export interface Routed {
  readonly decision: RouteDecision;
  /** All that could have been, for `synaptic explain`. */
  readonly alternatives: readonly Alternative[];
}

/** Fast memory of one node first; then the shards; RAM of a node only where nothing faster can take it. */
export function routeRequest(input: RouteInput): Routed {
  const decision = decide(input);
  return { decision, alternatives: alternativesOf(input, decision) };
}

function decide(input: RouteInput): RouteDecision {
  const { wish, model } = input;
  const nodes = input.pool && wish !== "shard" ? input.nodes : [];
  const shard = input.sharding && wish !== "pool" ? input.shard : null;
  const canShard = shard !== null && shard.tag !== "refused";
  const fits = (fit: NodeFit) => nodes.filter((node) => node.fit === fit);
  const toPool = (chosen: readonly PoolOption[], because: string): RouteDecision => ({
    kind: "pool",
    urls: chosen.map(({ url }) => url),
    reserve: ranked(nodes.filter((node) => node.fit !== "no" && !chosen.includes(node))).map(({ url }) => url),
    reason: because,
  });
  if (wish === "shard" && shard && shard.tag !== "refused") return toShards(shard, "the config sends it to the shards");
  if (wish === "pool" && nodes.length > 0) return toPool(ranked(nodes), "the config sends it to the pool");
  const fast = fits("fast");
  if (fast.length > 0) return toPool(fast, `fits one node: ${hostOf(fast[0])} ${fast[0]?.why}`);
  // Nobody knows how much memory these have, and their owner has pulled the model there.
  const unknown = fits("unknown");
  if (unknown.length > 0 && shard?.tag !== "ready") return toPool(unknown, `${hostOf(unknown[0])} ${unknown[0]?.why}`);
  if (canShard) return toShards(shard, nodes.length > 0 ? "no node holds it in fast memory" : "on no node of the pool");
  const rest = [...unknown, ...fits("slow")];
  if (rest.length > 0) return toPool(rest, `nothing faster can take it: ${hostOf(rest[0])} ${rest[0]?.why}`);
  return refuse(input, model);
}

function toShards(shard: Exclude<ShardOption, { tag: "refused" }>, why: string): RouteDecision {
  return { kind: "shard", reason: `${why}; ${shard.tag === "ready" ? shard.where : `loads: ${shard.where}`}` };
}

function ranked(nodes: readonly PoolOption[]): readonly PoolOption[] {
  const order: readonly NodeFit[] = ["fast", "unknown", "slow", "no"];
  return nodes.toSorted((a, b) => order.indexOf(a.fit) - order.indexOf(b.fit));
}

function hostOf(node: PoolOption | undefined): string {
  return node ? node.url.replace(/^https?:\/\//, "") : "";
}

/** The most telling reason: why the shards refuse, or that a switch is off, or that nobody has it. */
function refuse({ nodes, shard, pool, sharding, wish }: RouteInput, model: string): RouteDecision {
  const small = nodes.map((node) => `${hostOf(node)} ${node.why}`).join("; ");
  const refused = (error: SynapticError): RouteDecision => ({ kind: "refused", error, reason: error.message });
  if (shard?.tag === "refused" && sharding && wish !== "pool") {
    if (!small) return refused(shard.error);
    const { code, message, hint = "see `synaptic explain`" } = shard.error;
    return refused(new SynapticError(code, `${message}; ${small}`, { hint }));
  }
  const unmet = unmetWish({ nodes, shard, wish, pool, sharding }, model);
  if (unmet) return refused(unmet);
  if (nodes.length > 0 && pool) {
    return refused(
      new SynapticError("does_not_fit", `Cannot run ${model} on any one node: ${small}`, {
        hint: "have its file on the head node too (`ollama pull` there), so that it can be sharded",
      }),
    );
  }
  const off = nodes.length > 0 ? "task_distribution_enabled" : "model_sharding_enabled";
  return refused(
    new SynapticError("no_backends", `Cannot run ${model}: ${off} is false in the config, and nothing else has it`, {
      hint: `set ${off} to true in the config`,
    }),
  );
}

/** The owner named one way, and what that needs is missing; null when a switch stands in it, or none was named. */
function unmetWish({ nodes, shard, wish, pool, sharding }: Omit<RouteInput, "model">, model: string) {
  if (wish === "pool" && pool && nodes.length === 0) {
    return new SynapticError("no_backends", `Cannot run ${model}: its route is pool, and no node that answers has it`, {
      hint: "pull it to a node, or take `route` out of its settings",
    });
  }
  if (wish === "shard" && sharding && shard === null) {
    return new SynapticError("does_not_fit", `Cannot run ${model}: its route is shard, and no file of it is here`, {
      hint: "have its file on the head node too (`ollama pull` there), or take `route` out of its settings",
    });
  }
  return null;
}

function alternativesOf(input: RouteInput, decision: RouteDecision): readonly Alternative[] {
  const nodes = input.nodes.map(({ url, why }) => ({
    target: url,
    chosen: decision.kind === "pool" && decision.urls.includes(url),
    why: input.pool ? why : `${why}; the pool is switched off (task_distribution_enabled)`,
  }));
  return [...nodes, { target: "shards", chosen: decision.kind === "shard", why: whyShards(input) }];
}

function whyShards({ shard, sharding }: RouteInput): string {
  if (shard === null) return "no file of it is on the head node";
  const own =
    shard.tag === "refused" ? shard.error.message : shard.tag === "ready" ? `loaded: ${shard.where}` : shard.where;
  return sharding ? own : `${own}; sharding is switched off (model_sharding_enabled)`;
}
