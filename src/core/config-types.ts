/** What a resolved configuration is made of. Types only. */
import type { KvType, Placement } from "./plan-types.ts";
import type { SamplingKey } from "./sampling.ts";
import type { Endpoint } from "./units.ts";

export interface ConfigBackend {
  readonly endpoint: Endpoint;
  readonly host: string;
  readonly port: number;
  /** Upper bound on what a plan may use there. */
  readonly maxMemoryBytes?: number;
  /** Layers (output head included) for `placement: "pinned"`. */
  readonly layers?: number;
  /** Larger is used earlier. */
  readonly priority?: number;
  /** Its accelerators are no other backend's. */
  readonly ownDevice?: boolean;
}

/** An Ollama. */
export interface ConfigNode {
  /** Without a slash at its end. */
  readonly url: string;
  /** Nobody named it: it is there once it has answered. */
  readonly implied?: boolean;
  /** How much it is given in relation to the others. */
  readonly weight?: number;
  /** Larger is used earlier. */
  readonly priority?: number;
  /** Fast memory, where the node itself does not tell. */
  readonly memoryBytes?: number;
}

export interface OllamaConfig {
  /** Absolute path of Ollama's store; null searches the usual places. */
  readonly modelsDir: string | null;
  readonly nodes: readonly ConfigNode[];
  /** Whether idle models of theirs may be unloaded to make room. */
  readonly unloadIdle: boolean;
}

/** Defaults of what the requests themselves may say, by Ollama's names. */
export type SamplingConfig = Readonly<Partial<Record<SamplingKey, number>>>;

export interface ModelSettings {
  /** More llama-server arguments; none that the planner owns. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly contextSize?: number;
  readonly parallel?: number;
  readonly kvType?: KvType;
  readonly aliases?: readonly string[];
  readonly preload?: boolean;
  /** Where it runs, whatever fits where. */
  readonly route?: "pool" | "shard";
  /** Absolute path of a projector (mmproj). */
  readonly mmproj?: string;
  /** Absolute path of a draft model. */
  readonly draft?: string;
  readonly sampling?: SamplingConfig;
  /** Of an idle one; `Infinity` for ever. */
  readonly keepAliveMs?: number;
  readonly pin?: boolean;
}

export interface ModelsConfig {
  /** Absolute folders. */
  readonly dirs: readonly string[];
  /** Model id to absolute path. */
  readonly files: Readonly<Record<string, string>>;
  readonly settings: Readonly<Record<string, ModelSettings>>;
}

export interface ProbeConfig {
  readonly intervalMs: number;
  readonly failures: number;
  readonly successes: number;
  readonly timeoutMs: number;
}

export interface MeasureConfig {
  /** How long the server must have been idle before a backend is timed; 0 = never. */
  readonly idleMs: number;
}

export type KeyScope = "use" | "admin";

export interface ConfigKey {
  readonly name: string;
  /** Lower-case hex. */
  readonly hash: `sha256:${string}`;
  readonly scopes: readonly KeyScope[];
}

export interface QueueConfig {
  /** The most that wait for one model. */
  readonly perModel: number;
  /** The most of one key among them. */
  readonly perKey: number;
  /** For a slot; the load of the model is not counted. */
  readonly longestWaitMs: number;
}

/** Deeply frozen. */
export interface Config {
  /** Absolute; null when there is none and the defaults stand. */
  readonly file: string | null;
  readonly listen: {
    readonly host: string;
    readonly port: number;
    /** Names beside those of this machine that clients may call it by. */
    readonly hosts?: readonly string[];
  };
  readonly sharding: boolean;
  readonly pool: boolean;
  /** Those to use: excluded ones are left out. */
  readonly backends: readonly ConfigBackend[];
  /** The models to load at the start, in this order. */
  readonly preload: readonly string[];
  /** How long an idle model stays loaded; `Infinity` for ever. */
  readonly keepAliveMs: number;
  readonly swap: { readonly longestWaitMs: number; readonly leastResidencyMs: number };
  /** Longest silence of an upstream between data events. */
  readonly silenceMs: number;
  /** Absolute paths of llama-server builds, best first; empty when the finder searches. */
  readonly llamaServer: readonly string[];
  /** Tokens; null means min(trained, 32768). */
  readonly contextSize: number | null;
  readonly parallel: number;
  readonly kvType: KvType;
  readonly placement: Placement;
  readonly models: ModelsConfig;
  readonly ollama: OllamaConfig;
  readonly probe: ProbeConfig;
  readonly measure: MeasureConfig;
  readonly keys: readonly ConfigKey[];
  /** In plain, to ask a running server with. Not enumerable: JSON, logs and copies by spread leave it out. */
  readonly apiKey: string | null;
  readonly insecure: boolean;
  /** How long a client that wants a whole answer is held while a model loads or its slots are taken. */
  readonly holdMs: number;
  readonly queue: QueueConfig;
  /** `inFlight`: requests that are answered or wait at one time, over all models. */
  readonly limits: { readonly inFlight: number };
  /** How long a stream waits for its model to be loaded again after its coordinator died; `Infinity` for ever. */
  readonly resumeWithinMs: number;
  /** To say at the start, each once. */
  readonly warnings: readonly string[];
  /** Setting (`listen.port`) to where its value came from. */
  readonly sources: Readonly<Record<string, string>>;
}

/** Options as typed on the command line; absent when not given. */
export interface ConfigFlags {
  readonly host?: string;
  readonly port?: string;
  readonly contextSize?: string;
  readonly placement?: string;
  readonly insecure?: boolean;
}

export type ConfigEnvironment = Readonly<Record<string, string | undefined>>;
