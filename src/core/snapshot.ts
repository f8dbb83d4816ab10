/** The one read model: what `/synaptic/status`, the commands and the metrics render. Types only. */
import type { Phase } from "./lifecycle-types.ts";
import type { LoadedModel, NodeModel } from "./ollama-api.ts";
import type { DeviceFacts, HeadFacts, LocalDevice, Plan } from "./plan-types.ts";
import type { Proof } from "./proof.ts";
import type { Speed } from "./speed.ts";
import type { Endpoint } from "./units.ts";

export type BackendState = "unknown" | "up" | "busy" | "leased" | "down" | "incompatible";

export interface BackendSnapshot {
  readonly endpoint: Endpoint;
  /** What shares memory: the backends on one host. */
  readonly machine: string;
  readonly state: BackendState;
  /** ISO 8601, when `state` last changed. */
  readonly since: string;
  /** Why it is not usable, in a sentence; empty when up or leased. */
  readonly reason: string;
  /** RPC protocol `major.minor.patch`; null until it answered once. */
  readonly protocol: string | null;
  readonly rttMs: number | null;
  readonly devices: readonly DeviceFacts[];
  /** The model whose coordinator holds it. */
  readonly lease: string | null;
  /** Absent until it has been measured. */
  readonly speed?: Speed;
}

export interface QueueSnapshot {
  /** Requests that wait for a slot or for the load. */
  readonly length: number;
  readonly oldestMs: number | null;
  /** How long one that came now would wait for its slot; absent when one is free, or when that is unknown. */
  readonly estimateMs?: number;
}

export interface CoordinatorSnapshot {
  readonly model: string;
  readonly state: "idle" | "starting" | "ready" | "draining" | "stopping" | "failed" | "closed";
  readonly since: string;
  /** What `starting` waits for: `queued` is for room that others hold; null in every other state. */
  readonly phase: Phase | null;
  /** The model that it makes room for while it drains. */
  readonly drainingFor: string | null;
  /** Never ended to make room for another, nor when it is not used. */
  readonly pinned: boolean;
  /** ISO 8601, when it is ended if nobody uses it until then; null while it is in use, not ready, or kept for good. */
  readonly keepUntil: string | null;
  readonly pid: number | null;
  /** 0..1 while starting, null otherwise or when unknown. */
  readonly progress: number | null;
  /** Milliseconds until a load is over, as far as can be said; null otherwise. */
  readonly etaMs: number | null;
  /** `busy`: those that a request holds. */
  readonly slots: { readonly total: number; readonly busy: number };
  readonly queue: QueueSnapshot;
  readonly tokensPerSecond: number | null;
  readonly restarts: number;
  readonly lastFailure: string | null;
  readonly plan: (Plan & { readonly command: readonly string[] }) | null;
  readonly proof: Proof | null;
}

/** Of a load, as those are told who wait for it. */
export type LoadView = Pick<CoordinatorSnapshot, "phase" | "progress" | "etaMs">;

export interface EngineFacts {
  readonly path: string;
  /** As `--version` prints it, such as `0.7.0`. */
  readonly version: string;
  readonly build: number | null;
  /** The RPC protocol it speaks as a client; null when it could not be measured. */
  readonly protocol: { readonly major: number; readonly minor: number } | null;
  readonly localDevices: readonly LocalDevice[];
}

/** A model in an Ollama's memory. */
export interface LoadedSnapshot extends LoadedModel {
  /** ISO 8601: since when its expiry has stayed the same, which a request that ends would move. */
  readonly quietSince: string;
}

export interface NodeSnapshot {
  /** Without a slash at its end. */
  readonly url: string;
  /** What shares memory: the same text as for the backends on that host. */
  readonly machine: string;
  readonly state: "unknown" | "up" | "down";
  /** ISO 8601, when `state` last changed. */
  readonly since: string;
  /** Why it is not usable, in a sentence; empty when up. */
  readonly reason: string;
  /** Ollama's; null until it answered once. */
  readonly version: string | null;
  readonly rttMs: number | null;
  /** On its disk; as last seen when it is down. */
  readonly models: readonly NodeModel[];
  /** In its memory; empty when it is down. */
  readonly loaded: readonly LoadedSnapshot[];
  /** Requests of ours that it works on. */
  readonly inFlight: number;
}

export interface Snapshot {
  readonly version: string;
  readonly startedAt: string;
  readonly ready: boolean;
  readonly engine: EngineFacts | null;
  /** Why no llama-server can be used, and what to do; null when one can, or before it was looked for. */
  readonly engineFailure: string | null;
  /** The machine that synaptic runs on. */
  readonly head: HeadFacts;
  readonly backends: readonly BackendSnapshot[];
  /** Ollamas; the one that is looked for on this machine only once it has answered. */
  readonly nodes: readonly NodeSnapshot[];
  readonly coordinators: readonly CoordinatorSnapshot[];
  /** Requests for answers, of all models: those that are answered or wait, and how many may. */
  readonly requests: { readonly inFlight: number; readonly limit: number };
}
