/** The two ways to an answer: a slot of the model's coordinator, or a node of the pool; a place is got on either alike. */
import { refuseTask } from "../core/embedding.ts";
import { SynapticError, wrapError } from "../core/errors.ts";
import { type ModelDefaults, withDefaults } from "../core/model-defaults.ts";
import type { RouteDecision } from "../core/route.ts";
import type { LoadView } from "../core/snapshot.ts";
import type { Ask } from "../engine/admission.ts";
import type { CatalogEntry } from "../engine/catalog-entry.ts";
import type { Dispatched } from "../engine/dispatch.ts";
import type { NodeGrant, Outcome } from "../engine/pool.ts";
import type { Asked, Exchange } from "./exchange.ts";
import type { RuntimeView } from "./runtime-view.ts";

/** A hold on whoever answers one request. */
export interface Place {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly asked: Asked;
  /** The first of its bytes came. */
  heard(): void;
  /** To be called when the answer has ended; again does nothing. */
  release(outcome: Outcome): void;
  /** Why its connection broke, and whether another place may be tried while nothing has gone out. Not of cut calls. */
  judge(error: unknown): Promise<Verdict>;
  /** Where its slots can be read; null where there are none. */
  readonly slots: { readonly url: string; readonly headers: Readonly<Record<string, string>> } | null;
  /** It hangs: nothing of it has worked for too long. */
  suspect(): void;
}

export interface Verdict {
  readonly error: SynapticError;
  readonly outcome: Outcome;
  readonly elsewhere: boolean;
}

export interface Way {
  readonly route: "shard" | "pool";
  /** Its id where the head node knows it. */
  readonly model: string;
  /** Why there, for a header; the longer asked, the more is known. */
  reason(): string;
  /** How far the load of its model is; null while it does not load. */
  load(): LoadView | null;
  /** Waits for a place; null when there is no further one to try. */
  take(signal: AbortSignal, ask: Ask): Promise<Place | null>;
}

export interface Wish {
  /** As the client named it. */
  readonly model: string;
  readonly exchange: Exchange;
  /** Tells conversations apart; null for a prompt by itself. */
  readonly conversation: string | null;
}

/** The way of one request. @throws SynapticError when nothing can run the model, and for what the one who runs it cannot do. */
export function wayOf(view: RuntimeView, { decision, entry, pooling, contextSize }: Dispatched, wish: Wish): Way {
  if (decision.kind === "refused") throw decision.error;
  if (decision.kind === "pool") return poolWay(view, { ...wish, decision, contextSize });
  const refusal = refuseTask(wish.model, pooling, wish.exchange.task ?? "text");
  if (refusal) throw refusal;
  if (entry) return shardWay(view, entry, wish.exchange);
  throw new Error(`${wish.model} was sent to the shards, and no file of it is known`);
}

/** What the model says by itself goes into the places that a request leaves open. */
function filled(asked: Asked, defaults: ModelDefaults): Asked {
  if (!asked.resumable) return asked;
  const { dialect, fields } = asked.resumable;
  const full = withDefaults(dialect, fields, defaults);
  return full === fields ? asked : { ...asked, body: JSON.stringify(full), resumable: { dialect, fields: full } };
}

/** Another start may help once; and once more after each that began to answer. */
const COORDINATORS = 2;

function shardWay({ fleet }: RuntimeView, entry: CatalogEntry, exchange: Exchange): Way {
  const asked = filled(exchange.toCoordinator(), entry.defaults);
  let taken = 0;
  return {
    route: "shard",
    model: entry.id,
    reason: () => fleet.reason(entry.id),
    load: () => fleet.loadOf(entry.id),
    async take(signal, ask) {
      if (taken === COORDINATORS) return null;
      const grant = await fleet.acquire(entry, signal, asked.ready ? { ...ask, wants: "load" } : ask);
      taken++;
      exchange.letIn?.();
      if (typeof exchange.keepAliveMs === "number") fleet.keep(entry.id, exchange.keepAliveMs);
      const headers = { authorization: `Bearer ${grant.apiKey}` };
      return {
        ...{ url: grant.url, headers, asked, slots: { url: `${grant.url}/slots`, headers } },
        heard() {
          taken = 0;
        },
        release: () => grant.release(),
        suspect: () => grant.suspect(),
        async judge(error) {
          if (error instanceof SynapticError) return { error, outcome: "neither", elsewhere: false };
          const died = await grant.failure();
          return { error: died ?? broken(error), outcome: "failed", elsewhere: died !== null };
        },
      };
    },
  };
}

interface PoolWish extends Wish {
  readonly decision: Extract<RouteDecision, { readonly kind: "pool" }>;
  /** Set by the owner; null leaves it to what the node has loaded, and to a default. */
  readonly contextSize: number | null;
}

/** `num_ctx` where nobody says anything: more than Ollama's own 4096, which cuts most agents short, and small enough for
 *  the memory beside the weights that `core/node-fit` counts with. */
const DEFAULT_CONTEXT = 8_192;

function poolWay({ pool, nodes }: RuntimeView, wish: PoolWish): Way {
  const { model, exchange, decision, conversation } = wish;
  const stages = [decision.urls, decision.reserve].map((urls) => new Set(urls));
  const next = (): NodeGrant | null => {
    for (const left of stages) {
      const grant = pool.take({ model, urls: [...left], conversation });
      if (!grant) continue;
      left.delete(grant.url);
      return grant;
    }
    return null;
  };
  let asked = false;
  let why = decision.reason;
  return {
    route: "pool",
    model,
    reason: () => why,
    load: () => null,
    async take() {
      const grant = next();
      if (!grant) {
        if (asked) return null;
        throw allFailing(model);
      }
      asked = true;
      const loaded = nodes.snapshot().find(({ url }) => url === grant.url)?.loaded;
      const there = loaded?.find(({ name }) => name === grant.model)?.contextSize;
      const contextSize = wish.contextSize ?? there ?? exchange.contextSize ?? DEFAULT_CONTEXT;
      why = `${decision.reason}; ${grant.url}: ${grant.why}`;
      return nodePlace(grant, askedOf(exchange, grant, contextSize));
    },
  };
}

/** What no node can do is found out here: then the place is given back. */
function askedOf(exchange: Exchange, grant: NodeGrant, contextSize: number): Asked {
  try {
    return exchange.toNode({ model: grant.model, contextSize });
  } catch (error) {
    grant.release("neither");
    throw error;
  }
}

function nodePlace(grant: NodeGrant, asked: Asked): Place {
  return {
    ...{ url: grant.url, headers: {}, asked, slots: null },
    heard: () => grant.heard(),
    release: (outcome) => grant.release(outcome),
    suspect() {},
    async judge(error) {
      if (!(error instanceof SynapticError))
        return { error: broken(error, grant.url), outcome: "failed", elsewhere: true };
      // A node that is full, or has lost the model, is not a dead one; what its client did wrong it would do elsewhere.
      if (error.code === "too_busy" || error.code === "model_not_found") {
        return { error, outcome: "neither", elsewhere: true };
      }
      const isItsFault = FAULTS.has(error.code);
      return { error, outcome: isItsFault ? "failed" : "neither", elsewhere: isItsFault };
    },
  };
}

const FAULTS: ReadonlySet<SynapticError["code"]> = new Set(["upstream_error", "upstream_timeout", "does_not_fit"]);

function broken(error: unknown, url?: string): SynapticError {
  const action = url ? `The connection to ${url} broke` : "The model's connection broke";
  // Bun's own words are advice to whoever wrote the request; its code says what happened.
  const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
  return code === ""
    ? wrapError("upstream_error", action, error)
    : new SynapticError("upstream_error", `${action} (${code})`, { cause: error });
}

function allFailing(model: string): SynapticError {
  return new SynapticError("no_backends", `Cannot run ${model} now: the nodes that have it failed just now`, {
    hint: "see `synaptic status`",
    retryAfterMs: 5_000,
  });
}
