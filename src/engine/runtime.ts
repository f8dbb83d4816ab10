/** The engine as one thing: backends, models and coordinators, from start to close; and the snapshot of it all. */
import type { Config } from "../core/config-types.ts";
import { describeError, wrapError } from "../core/errors.ts";
import type { ModelListing } from "../core/model-listing.ts";
import type { Snapshot } from "../core/snapshot.ts";
import { type Catalog, createCatalog } from "./catalog.ts";
import type { CatalogEntry } from "./catalog-entry.ts";
import { Dispatch } from "./dispatch.ts";
import { Fleet } from "./fleet.ts";
import { InFlight } from "./in-flight.ts";
import { createKnownEngine, type KnownEngine } from "./known-engine.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { createMonitor, type Monitor } from "./monitor.ts";
import { Nodes } from "./nodes.ts";
import { createOllamaRoom } from "./ollama-room.ts";
import { Pool } from "./pool.ts";
import type { Ports } from "./ports.ts";
import { surveyModels } from "./survey.ts";

export interface RuntimeOptions {
  readonly config: Config;
  readonly ports: Ports;
  readonly version: string;
}

export class Runtime {
  readonly config: Config;
  readonly ports: Ports;
  readonly version: string;
  readonly catalog: Catalog;
  readonly fleet: Fleet;
  readonly metrics: Metrics;
  readonly inFlight: InFlight;
  readonly nodes: Nodes;
  readonly pool: Pool;
  readonly dispatch: Dispatch;
  readonly #monitor: Monitor;
  readonly #startedAt: string;
  readonly #closing = new AbortController();
  readonly #engine: KnownEngine;
  #ready = false;

  constructor({ config, ports, version }: RuntimeOptions) {
    this.config = config;
    this.ports = ports;
    this.version = version;
    this.#startedAt = new Date(ports.clock.now()).toISOString();
    this.#monitor = createMonitor(
      { ...ports.rpc, clock: ports.clock, log: ports.log },
      { ...config.probe, backends: config.backends.map(({ endpoint }) => endpoint) },
    );
    this.nodes = new Nodes(ports, { ...config.probe, nodes: config.ollama.nodes });
    this.catalog = createCatalog(ports, config, () => this.nodes.snapshot());
    this.metrics = createMetrics();
    this.inFlight = new InFlight(config.limits.inFlight);
    this.#engine = createKnownEngine(ports, this.#monitor);
    const room = createOllamaRoom({ ...ports, nodes: this.nodes }, config.ollama);
    this.fleet = new Fleet(ports, { config, monitor: this.#monitor, engine: this.#engine, ollama: room });
    this.pool = new Pool({ clock: ports.clock, nodes: this.nodes }, config.ollama.nodes);
    const { catalog, fleet, pool } = this;
    this.dispatch = new Dispatch({ config, catalog, fleet, pool, backends: () => this.#monitor.snapshot() });
  }

  /** Probes and measures; resolves when the first round is over. The listener need not wait for it. */
  async observe(): Promise<void> {
    this.#monitor.start();
    this.nodes.start();
    // Without an engine it still serves: each request says what is wrong, and the next one looks again.
    const measured = this.#engine.use(this.#closing.signal).catch(() => {});
    await Promise.all([this.#monitor.firstRound, this.nodes.firstRound, measured]);
  }

  /** Observes, then loads the preloads one after the other; `ready` when each is loaded or has failed with its reason. */
  async start(): Promise<void> {
    await this.observe();
    for (const name of this.config.preload) await this.#preload(name);
    this.#ready = true;
  }

  /** What a command shows that only looks: plan a model by name. */
  async plan(model: string, signal: AbortSignal) {
    return await this.fleet.plan(await this.catalog.find(model), signal);
  }

  /** All models, what they are and where they would run; from what the probes saw last. */
  async models(signal: AbortSignal): Promise<ModelListing> {
    const { config, catalog, fleet, ports } = this;
    return await surveyModels({ config, catalog, fleet, models: ports.models }, signal);
  }

  snapshot(): Snapshot {
    return {
      version: this.version,
      startedAt: this.#startedAt,
      ready: this.#ready,
      engine: this.#engine.facts(),
      engineFailure: this.#engine.failure(),
      head: this.ports.machine.memory(),
      backends: this.#monitor.snapshot(),
      nodes: this.nodes.snapshot(),
      coordinators: this.fleet.snapshot(),
      requests: { inFlight: this.inFlight.count(), limit: this.inFlight.limit },
    };
  }

  /** Ends all coordinators, then the probes. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.fleet.close();
    await Promise.all([this.#monitor.stop(), this.nodes.stop()]);
  }

  /** What was just preloaded is not ended for the next one. */
  async #isInTheWay(entry: CatalogEntry): Promise<boolean> {
    const { signal } = this.#closing;
    const others = this.fleet.snapshot().filter(({ model }) => model !== entry.id);
    if (!this.config.sharding || others.every(({ plan }) => plan === null)) return false;
    if (await this.fleet.hasRoom(entry, signal)) return false;
    return (await this.fleet.planAsSeen(entry, signal)).result.ok;
  }

  async #preload(name: string): Promise<void> {
    const { log } = this.ports;
    try {
      const entry = await this.catalog.find(name);
      if (await this.#isInTheWay(entry)) {
        log.warn(`${name} is not preloaded: it does not fit beside the others, whose room a request for it takes`);
        return;
      }
      await this.fleet.acquire(entry, this.#closing.signal, { wants: "load" });
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      const reason = wrapError("internal", "Cannot preload", error);
      if (reason.code === "model_not_found") log.warn(`Nothing is preloaded: ${describeError(reason)}`);
      // Why it does not load stands in the log already.
      else log.warn(`${name} is not preloaded: the next request for it tries again`);
    }
  }
}
