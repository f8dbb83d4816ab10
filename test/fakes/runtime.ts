/** A runtime with one model `m`, whose coordinator is loaded, fails and dies when a test says so. */
import type { ConfigInput } from "../../src/core/config-sources.ts";
import type { Config } from "../../src/core/config-types.ts";
import type { Pooling } from "../../src/core/embedding.ts";
import { SynapticError } from "../../src/core/errors.ts";
import type { MeasureRow } from "../../src/core/timing.ts";
import { Admission } from "../../src/engine/admission.ts";
import { type CatalogEntry, fileEntry } from "../../src/engine/catalog-entry.ts";
import { InFlight } from "../../src/engine/in-flight.ts";
import type { MeasureWish } from "../../src/engine/measurements.ts";
import { createMetrics, type RequestRecord, type ResumeOutcome } from "../../src/engine/metrics.ts";
import type { Clock, HttpRequest, ReadModel } from "../../src/engine/ports.ts";
import type { RuntimeView } from "../../src/http/runtime-view.ts";
import { clock as realClock } from "../../src/io/clock.ts";
import { requestUpstream } from "../../src/io/http-client.ts";
import { accepted } from "../core/config-support.ts";
import { R24 } from "../fixtures/model-facts.ts";
import { createRecordedLog, type RecordedLog } from "./log.ts";

export interface FakeRuntimeOptions {
  /** Where the coordinator listens. */
  readonly url: string;
  readonly apiKey?: string;
  readonly clock?: Clock;
  /** Ids beside `m`. */
  readonly models?: readonly string[];
  /** The file's own `synaptic` key. */
  readonly own?: Readonly<Record<string, unknown>>;
  readonly env?: ConfigInput["env"];
  /** On top of what the file says. */
  readonly config?: Partial<Config>;
  /** False: nothing is granted until `load()`. */
  readonly loaded?: boolean;
  /** What the coordinator's answers go through. */
  readonly through?: (response: Response, url: string) => Response;
  /** Of the coordinator; more than a test needs unless it says how many. */
  readonly slots?: number;
}

export interface FakeRuntime extends RuntimeView {
  readonly log: RecordedLog;
  /** What the requests were recorded as. */
  readonly records: readonly RequestRecord[];
  /** What became of the answers that lost their coordinator. */
  readonly resumes: readonly ResumeOutcome[];
  /** Requests that hold a grant. */
  busy(): number;
  waiting(): number;
  /** Grants so far. */
  granted(): number;
  /** Resolves as soon as nobody holds a grant. */
  idle(): Promise<void>;
  load(): void;
  /** Nothing is granted until `load()`. */
  hold(): void;
  /** Rejects all who wait. */
  refuse(error: SynapticError): void;
  /** The coordinator's process ends; the next request is let in to a new one at the same address. */
  die(error: SynapticError): void;
  progress: number | null;
  etaMs: number | null;
  /** How often the coordinator was said to hang. */
  suspected: number;
  /** What the coordinator says of its slots. */
  slots: string;
  plannedAs: Awaited<ReturnType<RuntimeView["plan"]>> | null;
  readonly unloaded: string[];
  /** What was asked to be measured. */
  readonly wishes: MeasureWish[];
  measured: readonly MeasureRow[];
  /** Of every model. */
  pooling: Pooling | null;
  /** How long models were said to stay, in milliseconds. */
  readonly kept: (readonly [model: string, ms: number])[];
  /** What the file of every model says beside the facts of the small one. */
  file: Pick<ReadModel, "about" | "modifiedAtMs">;
}

/** The small config of a test: sharding over one backend that nobody asks. */
export function testConfig({ own = {}, env = {}, config = {} }: Omit<FakeRuntimeOptions, "url">): Config {
  const resolved = accepted({ rpc_backends: [{ host: "10.0.0.1" }], synaptic: own }, { env });
  const merged = { ...resolved, ...config };
  // Not enumerable, so a spread leaves it out.
  return Object.defineProperty(merged, "apiKey", { value: config.apiKey ?? resolved.apiKey, enumerable: false });
}

export function createFakeRuntime(options: FakeRuntimeOptions): FakeRuntime {
  const clock = options.clock ?? realClock;
  const log = createRecordedLog();
  const metrics = createMetrics();
  const records: RequestRecord[] = [];
  const resumes: ResumeOutcome[] = [];
  const idle: (() => void)[] = [];
  const config = testConfig(options);
  const admission = new Admission(clock, {
    model: "m",
    rules: config.queue,
    isLoading: () => !loaded,
    onEmpty: () => {
      for (const resolve of idle.splice(0)) resolve();
    },
  });
  const entries: CatalogEntry[] = ["m", ...(options.models ?? [])].map((id) =>
    fileEntry({ id, path: `/m/${id}` }, { origin: { kind: "folder", where: "/m" }, config }),
  );
  let loaded = options.loaded ?? true;
  let granted = 0;
  let process = { gone: new AbortController(), why: null as SynapticError | null };

  const letIn = (): void => {
    const { gone } = process;
    const why = process;
    const { url, apiKey = "upstream-key", slots = 256 } = options;
    const suspect = () => void runtime.suspected++;
    admission.open({ url, apiKey, gone: gone.signal, why: () => why.why, suspect }, slots);
  };

  const runtime: FakeRuntime = {
    version: "1.2.3",
    config,
    inFlight: new InFlight(config.limits.inFlight),
    ports: {
      clock,
      log,
      http: {
        async request(url: string, request: HttpRequest) {
          if (url.endsWith("/slots")) return new Response(runtime.slots);
          const response = await requestUpstream(url, request);
          return options.through?.(response, url) ?? response;
        },
      },
      models: { read: async (path) => ({ path, facts: R24, ...runtime.file }) },
    },
    file: {},
    pooling: null,
    suspected: 0,
    slots: '[{"id":0,"is_processing":false}]',
    catalog: {
      list: () => Promise.resolve(entries),
      survey: () => Promise.resolve({ entries, elsewhere: [], problems: [] }),
      async find(name) {
        const entry = entries.find(({ id }) => id === name);
        if (entry) return entry;
        throw new SynapticError("model_not_found", `The model '${name}' does not exist`, { param: "model" });
      },
    },
    dispatch: {
      async route(name) {
        const entry = await runtime.catalog.find(name);
        return {
          decision: { kind: "shard", reason: "" },
          alternatives: [],
          entry,
          pooling: runtime.pooling,
          contextSize: null,
        };
      },
      explain: (name, signal) => runtime.dispatch.route(name, signal),
      async pullPlace() {
        throw new SynapticError("no_backends", "There are no nodes");
      },
    },
    pool: { take: () => null },
    nodes: { snapshot: () => [], refresh: async () => {}, unload: async () => {} },
    fleet: {
      async acquire(_, signal, ask) {
        const waiting = admission.wait(signal, ask);
        if (loaded) letIn();
        const grant = await waiting;
        granted++;
        return grant;
      },
      loadOf: () => (loaded ? null : { phase: "loading", progress: runtime.progress, etaMs: runtime.etaMs }),
      keep: (model, ms) => void runtime.kept.push([model, ms]),
      reason: () => (loaded ? "sharded over 10.0.0.1:50052" : "loads on demand"),
      async unload(model) {
        runtime.unloaded.push(model);
      },
    },
    metrics: {
      record(request) {
        records.push(request);
        metrics.record(request);
      },
      turnAway: metrics.turnAway,
      resume(model, outcome) {
        resumes.push(outcome);
        metrics.resume(model, outcome);
      },
      render: (snapshot) => metrics.render(snapshot),
    },
    snapshot: () => ({
      version: "1.2.3",
      startedAt: "2026-11-24T18:00:00.000Z",
      ready: loaded,
      engine: null,
      engineFailure: null,
      head: { freeBytes: 64 * 1024 ** 3, totalBytes: 64 * 1024 ** 3 },
      backends: [],
      nodes: [],
      coordinators: [],
      requests: { inFlight: runtime.inFlight.count(), limit: runtime.inFlight.limit },
    }),
    async plan(model) {
      await runtime.catalog.find(model);
      if (runtime.plannedAs) return runtime.plannedAs;
      throw new SynapticError("does_not_fit", "Cannot place m: needs 2 GiB, 1 GiB free");
    },
    models: async () => ({ models: [], problems: [] }),
    async measure(wish, signal) {
      runtime.wishes.push(wish);
      signal.throwIfAborted();
      return runtime.measured;
    },
    wishes: [],
    measured: [],
    log,
    records,
    resumes,
    busy: () => admission.busy(),
    waiting: () => admission.waiting(),
    granted: () => granted,
    idle: () => (admission.busy() === 0 ? Promise.resolve() : new Promise((resolve) => idle.push(resolve))),
    load() {
      loaded = true;
      letIn();
    },
    hold() {
      loaded = false;
      admission.shut();
    },
    refuse: (error) => admission.rejectAll(error),
    die(error) {
      process.why = error;
      admission.shut();
      process.gone.abort();
      process = { gone: new AbortController(), why: null };
    },
    progress: null,
    etaMs: null,
    plannedAs: null,
    unloaded: [],
    kept: [],
  };
  return runtime;
}

/** A chat request to `m`. */
export function chat(more: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({ model: "m", messages: [{ role: "user", content: "hi" }], ...more });
}

/** As a client sends it. */
export function post(
  body: string | Uint8Array | ReadableStream,
  headers: Readonly<Record<string, string>> = {},
): RequestInit {
  return { method: "POST", body, headers: { "content-type": "application/json", ...headers } };
}
