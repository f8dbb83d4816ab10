/** What the engine needs of the world; io/ fits it structurally, main.ts lets the compiler check. Types only. */
import type { ProbeResult } from "../core/health.ts";
import type { Exit } from "../core/llama-failure.ts";
import type { Defect } from "../core/loadable.ts";
import type { ModelFacts } from "../core/model.ts";
import type { ModelAbout } from "../core/model-about.ts";
import type { NodePoll } from "../core/node.ts";
import type { SideFile } from "../core/plan-types.ts";
import type { EngineFacts } from "../core/snapshot.ts";
import type { StoreListing } from "../core/stored-model.ts";
import type { Endpoint } from "../core/units.ts";

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Runs once after `ms`; what it returns cancels. */
  after(ms: number, run: () => void): () => void;
}

export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

export interface ProbeOptions {
  /** For the whole probe. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Told the resolved address before anything is sent; returns the endpoint that owns it, which may be another one. */
  readonly claim?: (address: Endpoint) => Endpoint;
}

export interface SentinelOptions {
  /** Called once, when the connection ends other than by `close()`. */
  readonly onLost: (reason: string) => void;
  /** For the connect. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface Sentinel {
  close(): void;
}

export interface RpcPort {
  probe(endpoint: Endpoint, options: ProbeOptions): Promise<ProbeResult>;
  /** Rejects with `upstream_timeout` when no connection comes about in time, with `upstream_error` when there is none to be had. */
  openSentinel(endpoint: Endpoint, options: SentinelOptions): Promise<Sentinel>;
}

export interface LlamaSpawn {
  readonly path: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** One line of stdout or stderr, without its end. */
  readonly onLine: (line: string) => void;
  /** Called once, after the last line. */
  readonly onExit: (exit: Exit) => void;
}

export interface LlamaChild {
  readonly pid: number;
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

export interface LlamaPort {
  /** The llama-server builds to choose from, best first, one at least; found and measured once, and again after none
   *  could be. Rejects with what is wrong. */
  engines(signal: AbortSignal): Promise<readonly EngineFacts[]>;
  /** A loopback port that was free a moment ago. */
  freePort(): Promise<number>;
  /** @throws SynapticError when the program cannot be started. */
  spawn(launch: LlamaSpawn): LlamaChild;
  /** What a child inherits. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export interface ModelFile {
  readonly id: string;
  readonly path: string;
}

export interface ReadModel {
  /** What `llama-server --model` takes. */
  readonly path: string;
  readonly facts: ModelFacts;
  /** Arguments for llama-server that its header needs. */
  readonly args?: readonly string[];
  readonly about?: ModelAbout;
  /** When its file was last written, in milliseconds since 1970. */
  readonly modifiedAtMs?: number;
}

export interface ModelPort {
  /** What a GGUF file is, or all parts of a split one; `path` is then the first part. @throws SynapticError `model_unreadable`. */
  read(path: string, options: { readonly signal: AbortSignal }): Promise<ReadModel>;
  /** What is wrong with each of these files, as far as headers tell and are known in time; null for nothing. */
  examine(paths: readonly string[], options: { readonly signal: AbortSignal }): Promise<readonly (Defect | null)[]>;
  /** A projector, and its size. @throws SynapticError `model_unreadable`. */
  projector(path: string, options: { readonly signal: AbortSignal }): Promise<SideFile>;
  /** The models below a folder; `incomplete` says why some may be missing. @throws SynapticError `model_unreadable`. */
  list(
    folder: string,
    options: { readonly signal: AbortSignal },
  ): Promise<{ readonly models: readonly ModelFile[]; readonly incomplete: string | null }>;
  /** The models of an Ollama store, or of those in the usual places when none is named; damaged ones too. */
  stored(modelsDir: string | null, options: { readonly signal: AbortSignal }): Promise<StoreListing>;
}

export interface AskOptions {
  /** For all of it. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface OllamaPort {
  /** What a node is, has and holds; never rejects. */
  poll(url: string, options: AskOptions): Promise<NodePoll>;
  /** Asks a node to unload a model, and does not wait until it has. @throws SynapticError when it cannot be asked. */
  unload(url: string, options: AskOptions & { readonly model: string }): Promise<void>;
}

export interface HttpRequest {
  readonly method: "GET" | "POST" | "DELETE";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  readonly signal: AbortSignal;
}

export interface HttpPort {
  /** A plain request to an upstream: no redirect, no decompression, no time-out but the signal's. */
  request(url: string, request: HttpRequest): Promise<Response>;
}

/** What is remembered between runs, shared with other synaptics of the same user. Nothing depends on it: neither call rejects. */
export interface StatePort {
  /** What was written last under this name, by whichever of them; null when nothing was, or it cannot be used. */
  read(name: string): Promise<unknown>;
  /** As JSON, whole or not at all. */
  write(name: string, value: unknown): Promise<void>;
}

/** The path of the model that backends are timed with; it is made when it is not there. Rejects with what is wrong. */
export type TimingModelPort = (signal: AbortSignal) => Promise<string>;

export interface RandomPort {
  /** An unguessable token, 256 bits in hex. */
  token(): string;
}

/** The machine that synaptic and its coordinators run on. */
export interface MachinePort {
  /** Bytes, as its kernel and the limits of its container have them now. Never throws. */
  memory(): { readonly freeBytes: number; readonly totalBytes: number };
}

export interface Ports {
  readonly clock: Clock;
  readonly log: Logger;
  readonly rpc: RpcPort;
  readonly llama: LlamaPort;
  readonly models: ModelPort;
  readonly ollama: OllamaPort;
  readonly http: HttpPort;
  readonly random: RandomPort;
  readonly machine: MachinePort;
  readonly state: StatePort;
  readonly timingModel: TimingModelPort;
}
