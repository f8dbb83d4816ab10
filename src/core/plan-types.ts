/** What a plan is made of and what it looks like (design.md section 8). Types only. */
import type { Pooling } from "./embedding.ts";
import type { ModelFacts } from "./model.ts";
import type { Speed } from "./speed.ts";
import type { Endpoint } from "./units.ts";

export type DeviceKind = "cpu" | "accelerator";

export interface DeviceFacts {
  readonly index: number;
  readonly kind: DeviceKind;
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** A device of the head node, as `llama-server --list-devices` names it (`CUDA0`). The CPU is never listed there. */
export interface LocalDevice {
  readonly name: string;
  readonly description: string;
  readonly freeBytes: number;
  readonly totalBytes: number;
}
export type KvType = "f16" | "q8_0" | "q4_0";
export type Placement = "fewest" | "spread" | "pinned" | "resilient";

/** A backend that may take part. */
export interface BackendFacts {
  readonly endpoint: Endpoint;
  readonly devices: readonly DeviceFacts[];
  /** What shares memory: each CPU device reports all of its machine's as its own. */
  readonly machine?: string;
  /** Upper bound set by the owner. */
  readonly maxMemoryBytes?: number;
  /** Layers (output head included) that the owner pins here, for `placement: "pinned"`. */
  readonly layers?: number;
  /** Larger is used earlier. */
  readonly priority?: number;
  /** Absent until it has been measured: its kind of device stands for it then. */
  readonly speed?: Speed;
  /** Round trip of the last probe: what a hop to it costs. */
  readonly rttMs?: number;
  /** The owner's word that its accelerators are no other backend's, although their machine and memory are the same. */
  readonly ownDevice?: boolean;
}

/** The memory of the head node, in bytes, as its kernel and its container's limit have it. */
export interface HeadFacts {
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Of llama-server without backends there; absent until it has been measured. */
  readonly speed?: Speed;
}

/** RAM of a machine that something else holds: an Ollama model, or another coordinator's layers. */
export interface Held {
  readonly machine: string;
  readonly ramBytes: number;
  /** Such as `Ollama's llama3.1:8b`. */
  readonly what: string;
}

/** A file beside the model's own that llama-server is given. */
export interface SideFile {
  readonly path: string;
  readonly bytes: number;
}

export interface PlanOptions {
  readonly model: string;
  readonly path: string;
  readonly placement: Placement;
  /** Tokens; null means min(trained, 32768). */
  readonly contextSize: number | null;
  readonly parallel: number;
  readonly kvType: KvType;
  readonly batchSize: number;
  readonly microBatchSize: number;
  /** For images or sound (mmproj); stays on the head node. */
  readonly projector?: SideFile | null;
  /** A small model that drafts for this one; stays on the head node. `bytes` are those of its weights, cache and compute. */
  readonly draft?: SideFile | null;
  /** LoRA adapters; their weights lie with the layers that they belong to. */
  readonly adapters?: readonly SideFile[];
  readonly extraArgs: readonly string[];
}

export interface PlanInput {
  readonly facts: ModelFacts;
  readonly backends: readonly BackendFacts[];
  readonly localDevices: readonly LocalDevice[];
  /** Configured backends that cannot take part now, and why. */
  readonly leftOut: readonly { readonly endpoint: Endpoint; readonly reason: string }[];
  readonly options: PlanOptions;
  /** Absent when unknown: then nothing is checked there. */
  readonly head?: HeadFacts;
  /** What of each machine's RAM is not free, though its CPU devices report it so. */
  readonly held?: readonly Held[];
}

export interface DeviceShare {
  readonly index: number;
  readonly kind: DeviceKind;
  /** Layers on this device, the output head being one. */
  readonly layers: number;
  readonly modelBytes: number;
  readonly kvBytes: number;
  readonly computeBytes: number;
}

export interface BackendShare {
  readonly endpoint: Endpoint;
  readonly layers: number;
  readonly modelBytes: number;
  readonly kvBytes: number;
  readonly computeBytes: number;
  readonly devices: readonly DeviceShare[];
}

export interface LocalShare {
  readonly name: string;
  readonly layers: number;
  readonly modelBytes: number;
  readonly kvBytes: number;
  readonly computeBytes: number;
}

export interface HeadShare {
  readonly modelBytes: number;
  readonly computeBytes: number;
  /** Of the projector's file; absent when there is none, and in a proof, since no log line shows it. */
  readonly projectorBytes?: number;
  /** Of the draft model with its cache; absent as above. */
  readonly draftBytes?: number;
  /** Of the layers that its CPU computes, which are in `modelBytes` and `computeBytes` too; absent when it computes none. */
  readonly layers?: number;
  readonly kvBytes?: number;
  readonly devices: readonly LocalShare[];
}

/** Tokens, of the one cache that all slots share. */
export interface ContextPerSlot {
  /** What one slot may use while the others are empty: all of it. */
  readonly alone: number;
  /** What each has when all are full. */
  readonly even: number;
}

export interface Estimate {
  /** Of one stream, from the measured speeds; null unless every device of the plan was measured. */
  readonly tokensPerSecond: number | null;
}

export interface Plan {
  readonly model: string;
  readonly path: string;
  readonly placement: Placement;
  /** Tokens in the whole cache; the slots share it. */
  readonly contextSize: number;
  readonly contextPerSlot: ContextPerSlot;
  readonly parallel: number;
  readonly kvType: KvType;
  readonly flashAttention: boolean;
  readonly batchSize: number;
  readonly microBatchSize: number;
  /** Paths of files beside the model's own. */
  readonly projector: string | null;
  readonly draft: string | null;
  readonly adapters: readonly string[];
  readonly extraArgs: readonly string[];
  /** Repeating layers plus the output head. */
  readonly totalLayers: number;
  readonly offloadedLayers: number;
  /** In `--rpc` order; every one holds at least one layer. */
  readonly backends: readonly BackendShare[];
  readonly head: HeadShare;
  /** Of a model that makes vectors; absent for those that write. */
  readonly pooling?: Pooling;
  /** Null when KV bytes are exact; else why they are an upper bound. */
  readonly kvInexact: string | null;
  /** Backends of this plan whose loss the model survives: the others would still hold it. */
  readonly survives: readonly Endpoint[];
  readonly estimate: Estimate;
  readonly reasons: readonly string[];
}

/** Why a model cannot be placed, with the numbers. */
export interface Refusal {
  readonly code: "does_not_fit" | "no_backends";
  readonly message: string;
  readonly hint: string;
}

export type PlanResult = { readonly ok: true; readonly plan: Plan } | { readonly ok: false; readonly refusal: Refusal };
