/** Decides for each request where it runs: gathers what is known of nodes, catalogue and coordinators, and asks `core/route`. */
import { settingsFor } from "../core/config-models.ts";
import type { Config } from "../core/config-types.ts";
import type { Pooling } from "../core/embedding.ts";
import { SynapticError } from "../core/errors.ts";
import { bytesByName, type PullPlace, pullPlace } from "../core/pull-place.ts";
import { type PoolOption, type Routed, routeRequest, type ShardOption } from "../core/route.ts";
import type { BackendSnapshot } from "../core/snapshot.ts";
import type { Catalog } from "./catalog.ts";
import type { CatalogEntry } from "./catalog-entry.ts";
import type { Fleet } from "./fleet.ts";
import type { Pool } from "./pool.ts";
import type { ModelPort } from "./ports.ts";

export interface DispatchParts {
  readonly config: Config;
  readonly catalog: Pick<Catalog, "find">;
  readonly fleet: Pick<Fleet, "planAsSeen" | "reason" | "snapshot">;
  readonly models: Pick<ModelPort, "read">;
  readonly pool: Pick<Pool, "lost" | "options" | "places" | "sizeOf" | "without">;
  readonly backends: () => readonly BackendSnapshot[];
}

export interface Dispatched extends Routed {
  /** The model's file as the head node knows it; null when it is on nodes alone. */
  readonly entry: CatalogEntry | null;
  /** Of a model of the head node's that makes vectors instead of text; null for all others. */
  readonly pooling: Pooling | null;
  /** Tokens of context that its owner set; null where that is left to defaults. */
  readonly contextSize: number | null;
}

export class Dispatch {
  readonly #parts: DispatchParts;

  constructor(parts: DispatchParts) {
    this.#parts = parts;
  }

  /** Where a request for this model runs now. @throws SynapticError `model_not_found` or `model_unreadable` when nobody has it. */
  async route(model: string, signal: AbortSignal): Promise<Dispatched> {
    return await this.#decide(model, signal, false);
  }

  /** The same, with every alternative looked at. */
  async explain(model: string, signal: AbortSignal): Promise<Dispatched> {
    return await this.#decide(model, signal, true);
  }

  /** Where a model that is to be pulled would run, and so belongs. Its size is what a node or the head node knows of it,
   *  or what its name says. */
  async pullPlace(model: string): Promise<PullPlace> {
    const { config, pool, backends } = this.#parts;
    const known = await this.#parts.catalog.find(model).catch(() => null);
    const bytes = known?.bytes ?? pool.sizeOf(model) ?? bytesByName(model);
    const { route } = settingsFor(config, known?.settingsId ?? model);
    const nodes = pool.places(model, bytes, backends());
    return pullPlace({ model, nodes, wish: route, pool: config.pool, sharding: config.sharding });
  }

  async #decide(model: string, signal: AbortSignal, thorough: boolean): Promise<Dispatched> {
    const { config, pool, backends } = this.#parts;
    const nodes = pool.options(model, backends());
    const entry = await this.#find(model, nodes);
    const settings = settingsFor(config, entry?.settingsId ?? model);
    const input = {
      ...{ model, nodes, pool: config.pool, sharding: config.sharding },
      wish: settings.route,
      shard: entry && (await this.#shardOf(entry, nodes, signal, thorough)),
    };
    const { decision, alternatives } = routeRequest(input);
    const pooling = entry && (await this.#poolingOf(entry, signal));
    const others = thorough ? pool.without(model).map(({ url, why }) => ({ target: url, chosen: false, why })) : [];
    return { decision, alternatives: [...alternatives, ...others], entry, pooling, contextSize: settings.contextSize };
  }

  /** What is wrong with the head node's file does not matter where a node has the model. */
  async #find(model: string, nodes: readonly PoolOption[]): Promise<CatalogEntry | null> {
    try {
      return await this.#parts.catalog.find(model);
    } catch (error) {
      const isKnown = error instanceof SynapticError && /^model_/.test(error.code);
      if (nodes.length > 0 && isKnown) return null;
      if (error instanceof SynapticError && error.code === "model_not_found" && this.#parts.config.pool) {
        const lost = this.#parts.pool.lost(model);
        if (lost.length > 0) throw unreachable(model, lost);
      }
      throw error;
    }
  }

  /** From its plan, else from its header; of a file that cannot be read nothing is known, and a load says why. */
  async #poolingOf(entry: CatalogEntry, signal: AbortSignal): Promise<Pooling | null> {
    const { fleet, models } = this.#parts;
    const plan = fleet.snapshot().find(({ model }) => model === entry.id)?.plan;
    if (plan) return plan.pooling ?? null;
    const { facts } = await models.read(entry.path, { signal }).catch(() => ({ facts: null }));
    return facts?.embedding?.pooling ?? null;
  }

  /** A plan is made only where it decides something: that takes milliseconds, and most requests need none. */
  async #shardOf(
    entry: CatalogEntry,
    nodes: readonly PoolOption[],
    signal: AbortSignal,
    thorough: boolean,
  ): Promise<ShardOption> {
    const { fleet } = this.#parts;
    const isReady = fleet.snapshot().some(({ model, state }) => model === entry.id && state === "ready");
    if (isReady) return { tag: "ready", where: fleet.reason(entry.id) };
    const decides = nodes.length > 0 && nodes.every(({ fit }) => fit !== "fast");
    if (!thorough && !decides) return { tag: "loadable", where: fleet.reason(entry.id) };
    try {
      const { result } = await fleet.planAsSeen(entry, signal);
      if (result.ok) return { tag: "loadable", where: result.plan.reasons[0] ?? "it fits" };
      const { code, message, hint } = result.refusal;
      return { tag: "refused", error: new SynapticError(code, message, { hint }) };
    } catch (error) {
      if (signal.aborted || !(error instanceof SynapticError)) throw error;
      return { tag: "refused", error };
    }
  }
}

/** It is there, and may be again in a moment: not the same as a model that nobody knows. */
function unreachable(model: string, urls: readonly string[]): SynapticError {
  return new SynapticError("no_backends", `Cannot run ${model} now: no answer from ${urls.join(", ")}, which had it`, {
    hint: "see `synaptic status`",
    retryAfterMs: 5_000,
  });
}
