/** Probe results to a backend's health, and which probe is safe now. Pure. Rules: design.md section 4. */
import type { DeviceFacts } from "./plan-types.ts";
import { type EngineProtocol, isCompatible, type RpcVersion } from "./rpc.ts";
import { type Endpoint, splitEndpoint } from "./units.ts";

/** What one probe saw. */
export type ProbeResult =
  | {
      readonly tag: "up";
      readonly protocol: RpcVersion;
      readonly devices: readonly DeviceFacts[];
      readonly rttMs: number;
      /** Resolved address and port. */
      readonly address: Endpoint;
    }
  | { readonly tag: "unresolved"; readonly detail: string }
  | { readonly tag: "duplicate"; readonly of: Endpoint }
  | { readonly tag: "refused" }
  | { readonly tag: "unreachable"; readonly detail: string }
  | { readonly tag: "connect-timeout"; readonly timeoutMs: number }
  /** Connected, but HELLO stays unanswered: somebody else is being served. */
  | { readonly tag: "silent" }
  /** Closed, or fell silent, in the middle of the handshake. */
  | { readonly tag: "broken"; readonly detail: string }
  /** Speaks something else. */
  | { readonly tag: "alien"; readonly detail: string }
  /** Given up by us: says nothing about the backend. */
  | { readonly tag: "cancelled" };

/** The last answer; kept while the backend is busy, leased or down. */
export interface Seen {
  readonly protocol: RpcVersion;
  readonly devices: readonly DeviceFacts[];
  readonly rttMs: number;
  readonly address: Endpoint;
}

type Condition =
  | { readonly tag: "unknown" }
  | { readonly tag: "up"; readonly failures: number }
  | { readonly tag: "busy"; readonly failures: number; readonly reason: string }
  | { readonly tag: "incompatible"; readonly failures: number; readonly reason: string }
  | { readonly tag: "leased"; readonly holder: string }
  /** With a holder: lost by a coordinator that has not let go yet. */
  | { readonly tag: "down"; readonly reason: string; readonly successes: number; readonly holder: string | null };

export type Health = Condition & { readonly sinceMs: number; readonly seen: Seen | null };

export interface HealthRules {
  readonly nowMs: number;
  /** Failures in a row that take an answering backend down. */
  readonly failures: number;
  /** Answers in a row that bring a backend up that was down. */
  readonly successes: number;
  /** Null while unknown: then every version is taken. */
  readonly engine: EngineProtocol | null;
  readonly endpoint: Endpoint;
}

export function unknownHealth(nowMs: number): Health {
  return { tag: "unknown", sinceMs: nowMs, seen: null };
}

/** `hello` = HELLO, device count, device memory; never while a coordinator of ours holds the backend (facts b4). */
export function probeFor(health: Health): "hello" | "none" {
  return holderOf(health) === null ? "hello" : "none";
}

/** The model whose coordinator holds the backend. */
export function holderOf(health: Health): string | null {
  return health.tag === "leased" || health.tag === "down" ? health.holder : null;
}

/** Why the backend is not usable, in a sentence; empty when up or leased. */
export function reasonOf(health: Health): string {
  return "reason" in health ? health.reason : "";
}

/** The machine that synaptic runs on, as backends and nodes name theirs. */
export const HEAD_MACHINE = "127.0.0.1";

/** What shares memory with a backend, from its resolved address (or its name, until that is known); loopback is one machine. */
export function machineOf(address: Endpoint): string {
  const { host } = splitEndpoint(address);
  return host === "localhost" || host.startsWith("127.") ? HEAD_MACHINE : host;
}

/** `sinceMs` moves only when the state changes. */
function become(health: Health, condition: Condition, nowMs: number): Health {
  const sinceMs = condition.tag === health.tag ? health.sinceMs : nowMs;
  return { ...condition, sinceMs, seen: health.seen };
}

type Failure = Exclude<ProbeResult, { tag: "up" | "silent" | "cancelled" }>;

function describeFailure(result: Failure): string {
  switch (result.tag) {
    case "unresolved":
      return `cannot resolve its name: ${result.detail}`;
    case "duplicate":
      return `is the same rpc-server as ${result.of}: remove one of the two from the config`;
    case "refused":
      return "connection refused: is rpc-server running there?";
    case "unreachable":
      return `cannot be reached: ${result.detail}`;
    case "connect-timeout":
      return `no connection within ${result.timeoutMs} ms: is the machine on, and does its firewall let us in?`;
    case "broken":
      return `breaks off the handshake: ${result.detail}`;
    case "alien":
      return `answers, but not as an rpc-server (${result.detail})`;
  }
}

function afterAnswer(health: Health, seen: Seen, rules: HealthRules): Health {
  const known: Health = { ...health, seen };
  const verdict = rules.engine ? isCompatible(rules.engine, seen.protocol) : null;
  if (verdict && !verdict.ok) {
    const reason = `${rules.endpoint} ${verdict.reason}`;
    return become(known, { tag: "incompatible", failures: 0, reason }, rules.nowMs);
  }
  if (known.tag === "down" && known.successes + 1 < rules.successes) {
    const successes = known.successes + 1;
    const reason = `answers again, ${successes} of ${rules.successes} times in a row`;
    return become(known, { tag: "down", reason, successes, holder: null }, rules.nowMs);
  }
  return become(known, { tag: "up", failures: 0 }, rules.nowMs);
}

function afterFailure(health: Health, result: Failure, rules: HealthRules): Health {
  const down: Condition = { tag: "down", reason: describeFailure(result), successes: 0, holder: null };
  switch (health.tag) {
    case "up":
    case "busy":
    case "incompatible": {
      // The probes of a held backend fill its queue of two; then connects time out until the holder leaves (facts k).
      if (health.tag === "busy" && result.tag === "connect-timeout") return health;
      const failures = health.failures + 1;
      const final = result.tag === "duplicate" || failures >= rules.failures;
      return become(health, final ? down : { ...health, failures }, rules.nowMs);
    }
    case "unknown":
    case "down":
      return become(health, down, rules.nowMs);
    case "leased":
      return health;
  }
}

/** Health after a probe; a result that comes while a coordinator of ours holds the backend changes nothing. */
export function applyProbe(health: Health, result: ProbeResult, rules: HealthRules): Health {
  if (probeFor(health) === "none") return health;
  switch (result.tag) {
    case "cancelled":
      return health;
    case "up": {
      const { protocol, devices, rttMs, address } = result;
      return afterAnswer(health, { protocol, devices, rttMs, address }, rules);
    }
    case "silent": {
      const reason = health.seen
        ? "held by another client"
        : "takes connections but stays silent: held by another client, or not an rpc-server";
      return become(health, { tag: "busy", failures: 0, reason }, rules.nowMs);
    }
    default:
      return afterFailure(health, result, rules);
  }
}

/** Judges the last answer again once the engine's protocol is known, or another one. */
export function applyEngine(health: Health, rules: HealthRules): Health {
  if (!health.seen || (health.tag !== "up" && health.tag !== "incompatible")) return health;
  return afterAnswer(health, health.seen, rules);
}

/** Whether it failed its last probe but has not failed often enough to be down: not fit for a lease, and worth asking again. */
export function isSuspect(health: Health): boolean {
  return (health.tag === "up" || health.tag === "incompatible") && health.failures > 0;
}

/** A coordinator takes the backend; null when it is not up, or suspect: one dead address aborts a start (facts/llamacpp.md d). */
export function applyLease(health: Health, holder: string, nowMs: number): Health | null {
  return health.tag === "up" && !isSuspect(health) ? become(health, { tag: "leased", holder }, nowMs) : null;
}

/** The coordinator has let go: what it is now, the next probe decides at once; one that was lost stays down until it answers. */
export function applyRelease(health: Health, nowMs: number): Health {
  if (health.tag === "leased") return become(health, { tag: "unknown" }, nowMs);
  if (health.tag !== "down" || health.holder === null) return health;
  return become(health, { ...health, holder: null }, nowMs);
}

/** Seen to be gone, by a sentinel or by a coordinator's exit: down at once, and still not to be probed while held. */
export function applyLoss(health: Health, reason: string, nowMs: number): Health {
  const condition: Condition = { tag: "down", reason, successes: 0, holder: holderOf(health) };
  return become(health, condition, nowMs);
}
