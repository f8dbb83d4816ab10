/** Poll results to an Ollama node's state, with the thresholds of backends; and what may be unloaded there. Pure. */
import { machineOf } from "./health.ts";
import { hostOfNode } from "./node-url.ts";
import type { LoadedModel, NodeModel } from "./ollama-api.ts";
import type { LoadedSnapshot, NodeSnapshot } from "./snapshot.ts";
import { formatEndpoint } from "./units.ts";

/** What one poll saw. */
export type NodePoll =
  | {
      readonly tag: "up";
      readonly version: string;
      readonly models: readonly NodeModel[];
      readonly loaded: readonly LoadedModel[];
      /** Resolved; null when its name could not be resolved, though it answered (a proxy's business). */
      readonly address: string | null;
      readonly rttMs: number;
    }
  | { readonly tag: "unresolved"; readonly detail: string }
  | { readonly tag: "refused" }
  | { readonly tag: "unreachable"; readonly detail: string }
  | { readonly tag: "timeout"; readonly timeoutMs: number }
  /** Answers, but with an error. */
  | { readonly tag: "failing"; readonly detail: string }
  /** Answers, but not as an Ollama. */
  | { readonly tag: "alien"; readonly detail: string }
  /** Given up by us: says nothing about the node. */
  | { readonly tag: "cancelled" };

/** A loaded model with what repeated polls tell of its use. */
export interface WatchedModel extends LoadedModel {
  /** Since when its expiry has stayed the same. */
  readonly quietSinceMs: number;
}

/** The last answer; kept while the node is down. */
interface Seen {
  readonly version: string;
  readonly models: readonly NodeModel[];
  readonly loaded: readonly WatchedModel[];
  readonly address: string | null;
  readonly rttMs: number;
}

type Condition =
  | { readonly tag: "unknown" }
  | { readonly tag: "up"; readonly failures: number }
  /** `failures` counts on, for the back-off. */
  | { readonly tag: "down"; readonly reason: string; readonly successes: number; readonly failures: number };

export type NodeHealth = Condition & { readonly sinceMs: number; readonly seen: Seen | null };

export interface NodeRules {
  readonly nowMs: number;
  /** Failures in a row that take an answering node down. */
  readonly failures: number;
  /** Answers in a row that bring one up that was down. */
  readonly successes: number;
}

export function unknownNode(nowMs: number): NodeHealth {
  return { tag: "unknown", sinceMs: nowMs, seen: null };
}

/** `sinceMs` moves only when the state changes. */
function become(health: NodeHealth, condition: Condition, nowMs: number): NodeHealth {
  return { ...condition, seen: health.seen, sinceMs: condition.tag === health.tag ? health.sinceMs : nowMs };
}

type Failure = Exclude<NodePoll, { tag: "up" | "cancelled" }>;

function describeFailure(result: Failure): string {
  switch (result.tag) {
    case "unresolved":
      return `cannot resolve its name: ${result.detail}`;
    case "refused":
      return "connection refused: does Ollama run there, and listen beyond its own machine (OLLAMA_HOST=0.0.0.0)?";
    case "unreachable":
      return `cannot be reached: ${result.detail}`;
    case "timeout":
      return `no answer within ${result.timeoutMs} ms: is the machine on, and does its firewall let us in?`;
    case "failing":
      return `answers with an error: ${result.detail}`;
    case "alien":
      return `answers, but not as an Ollama (${result.detail})`;
  }
}

/** The node after a poll. */
export function applyPoll(health: NodeHealth, result: NodePoll, rules: NodeRules): NodeHealth {
  if (result.tag === "cancelled") return health;
  if (result.tag !== "up") return afterFailure(health, describeFailure(result), rules);
  const { version, models, address, rttMs } = result;
  const loaded = result.loaded.map((model) => watch(model, health.seen?.loaded ?? [], rules.nowMs));
  const known: NodeHealth = { ...health, seen: { version, models, loaded, address, rttMs } };
  if (known.tag !== "down" || known.successes + 1 >= rules.successes) {
    return become(known, { tag: "up", failures: 0 }, rules.nowMs);
  }
  const successes = known.successes + 1;
  const reason = `answers again, ${successes} of ${rules.successes} times in a row`;
  return become(known, { tag: "down", reason, successes, failures: 0 }, rules.nowMs);
}

function afterFailure(health: NodeHealth, reason: string, { nowMs, failures: most }: NodeRules): NodeHealth {
  const failures = (health.tag === "unknown" ? most - 1 : health.failures) + 1;
  if (health.tag === "up" && failures < most) return become(health, { tag: "up", failures }, nowMs);
  // What it holds in memory is no longer known.
  const seen = health.seen && { ...health.seen, loaded: [] };
  return { ...become(health, { tag: "down", reason, successes: 0, failures }, nowMs), seen };
}

/** Ollama moves a model's expiry when the last of its requests ends, and shows a moving one while it loads
 *  (server/sched.go, `PsHandler`): one that stays was used by nobody meanwhile, or by one request all the time. */
function watch(model: LoadedModel, before: readonly WatchedModel[], nowMs: number): WatchedModel {
  const same = before.find(
    ({ name, digest, expiresAt }) =>
      name === model.name && digest === model.digest && expiresAt === model.expiresAt && expiresAt !== null,
  );
  return { ...model, quietSinceMs: same?.quietSinceMs ?? nowMs };
}

/** Whether it failed its last poll but not often enough to be down: worth asking again at once. */
export function isSuspectNode(health: NodeHealth): boolean {
  return health.tag === "up" && health.failures > 0;
}

const LONGEST_PAUSE_MS = 60_000;

/** How long to wait before the next poll: twice as long for each further failure of a dead node, a minute at most. */
export function pauseAfter(health: NodeHealth, { intervalMs, failures }: { intervalMs: number; failures: number }) {
  if (health.tag !== "down" || health.failures <= failures) return intervalMs;
  const pause = intervalMs * 2 ** Math.min(20, health.failures - failures);
  return Math.max(intervalMs, Math.min(LONGEST_PAUSE_MS, pause));
}

/** The node as the read model shows it. */
export function viewNode(url: string, health: NodeHealth, inFlight = 0): NodeSnapshot {
  const { seen } = health;
  return Object.freeze({
    url,
    machine: machineOfNode(url, seen?.address ?? null),
    state: health.tag,
    since: new Date(health.sinceMs).toISOString(),
    reason: health.tag === "down" ? health.reason : "",
    version: seen?.version ?? null,
    rttMs: seen?.rttMs ?? null,
    models: Object.freeze(seen?.models ?? []),
    loaded: Object.freeze((seen?.loaded ?? []).map(viewLoaded)),
    inFlight,
  });
}

function viewLoaded({ quietSinceMs, ...model }: WatchedModel): LoadedSnapshot {
  return Object.freeze({ ...model, quietSince: new Date(quietSinceMs).toISOString() });
}

/** What shares memory with a node: the same text as for the backends of that host. */
export function machineOfNode(url: string, address: string | null): string {
  const host = address ?? hostOfNode(url);
  return machineOf(formatEndpoint(host === "::1" ? "127.0.0.1" : host.replace(/^::ffff:/, ""), 0));
}
