/** The engine as one thing: backends, models and coordinators, from start to close; and the snapshot of it all. */
import type { Config } from "../core/config-types.ts";
import { describeError, wrapError } from "../core/errors.ts";
import type { ModelListing } from "../core/model-listing.ts";
import type { HeadFacts } from "../core/plan-types.ts";
import type { Snapshot } from "../core/snapshot.ts";
import type { MeasureRow } from "../core/timing.ts";
import { type Catalog, createCatalog } from "./catalog.ts";
import type { CatalogEntry } from "./catalog-entry.ts";
import { Dispatch } from "./dispatch.ts";
import { Fleet } from "./fleet.ts";
import { IdleMeasurements } from "./idle-measurements.ts";
import { InFlight } from "./in-flight.ts";
import { createKnownEngine, type KnownEngine } from "./known-engine.ts";
import { Measurements, type MeasureWish } from "./measurements.ts";
import { Measurer } from "./measurer.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { createMonitor, type Monitor } from "./monitor.ts";
import { Nodes } from "./nodes.ts";
import { createOllamaRoom } from "./ollama-room.ts";
import { Pool } from "./pool.ts";
import type { Ports } from "./ports.ts";
import { createSpeeds, type Speeds } from "./speeds.ts";
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
  readonly #speeds: Speeds;
  readonly #measurer: Measurer;
  readonly #measurements: Measurements;
  readonly #idle: IdleMeasurements;
  #ready = false;

  constructor({ config, ports, version }: RuntimeOptions) {
    this.config = config;
    this.ports = ports;
    this.version = version;
    this.#startedAt = new Date(ports.clock.now()).toISOString();
    this.#monitor = createMonitor(
      { ...ports.rpc, clock: ports.clock, log: ports.log },
      {
        ...config.probe,
        backends: config.backends.map(({ endpoint }) => endpoint),
        speedOf: (backend) => this.#speeds.ofBackend(backend),
      },
    );
    this.nodes = new Nodes(ports, { ...config.probe, nodes: config.ollama.nodes });
    this.catalog = createCatalog(ports, config, () => this.nodes.snapshot());
    this.metrics = createMetrics();
    this.inFlight = new InFlight(config.limits.inFlight);
    this.#engine = createKnownEngine(ports, this.#monitor);
    const room = createOllamaRoom({ ...ports, nodes: this.nodes }, config.ollama);
    this.#speeds = createSpeeds({
      state: ports.state,
      engine: this.#engine.facts,
      onChange: () => this.#monitor.showSpeeds(),
    });
    const shared = { config, monitor: this.#monitor, engine: this.#engine };
    this.#measurer = new Measurer(ports, { ...shared, speeds: this.#speeds });
    this.fleet = new Fleet(ports, {
      ...shared,
      ollama: room,
      letGo: () => this.#measurer.letGo(),
      head: () => this.#headSpeed(),
    });
    const seen = { measurer: this.#measurer, monitor: this.#monitor, coordinators: () => this.fleet.snapshot() };
    this.#measurements = new Measurements(seen);
    this.#idle = new IdleMeasurements(ports, {
      ...seen,
      idleMs: config.sharding ? config.measure.idleMs : 0,
      measurements: this.#measurements,
      speeds: this.#speeds,
      engine: this.#engine.facts,
      requests: () => this.inFlight.count(),
      lastUsed: () => this.fleet.lastUsed(),
    });
    this.pool = new Pool({ clock: ports.clock, nodes: this.nodes }, config.ollama.nodes);
    const { catalog, fleet, pool } = this;
    this.dispatch = new Dispatch({
      config,
      catalog,
      fleet,
      pool,
      models: ports.models,
      backends: () => this.#monitor.snapshot(),
    });
  }

  /** Probes and measures; resolves when the first round is over. The listener need not wait for it. */
  async observe(): Promise<void> {
    this.#monitor.start();
    this.nodes.start();
    // Without an engine it still serves: each request says what is wrong, and the next one looks again.
    const measured = this.#engine.use(this.#closing.signal).catch(() => {});
    await Promise.all([this.#monitor.firstRound, this.nodes.firstRound, measured, this.#speeds.load()]);
  }

  /** Observes, then loads the preloads one after the other; `ready` when each is loaded or has failed with its reason. */
  async start(): Promise<void> {
    await this.observe();
    for (const name of this.config.preload) await this.#preload(name);
    this.#ready = true;
    this.#idle.watch();
  }

  /** Times backends now; see `Measurements`. */
  async measure(wish: MeasureWish, signal: AbortSignal): Promise<readonly MeasureRow[]> {
    return await this.#measurements.measure(wish, AbortSignal.any([signal, this.#closing.signal]));
  }

  /** What a command shows that only looks: plan a model by name. */
  async plan(model: string, signal: AbortSignal) {
    return await this.fleet.plan(await this.catalog.find(model), signal);
  }

  /** All models, what they are and where they would run; from what the probes saw last. */
  async models(signal: AbortSignal): Promise<ModelListing> {
    const { config, catalog, fleet, dispatch, ports } = this;
    return await surveyModels({ config, catalog, fleet, dispatch, models: ports.models }, signal);
  }

  snapshot(): Snapshot {
    return {
      version: this.version,
      startedAt: this.#startedAt,
      ready: this.#ready,
      engine: this.#engine.facts(),
      engineFailure: this.#engine.failure(),
      head: { ...this.ports.machine.memory(), ...this.#headSpeed() },
      backends: this.#monitor.snapshot(),
      nodes: this.nodes.snapshot(),
      coordinators: this.fleet.snapshot(),
      requests: { inFlight: this.inFlight.count(), limit: this.inFlight.limit },
    };
  }

  /** Ends all coordinators, then the probes. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([this.#idle.stop(), this.#measurer.letGo("synaptic is stopping")]);
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

  #headSpeed(): Pick<HeadFacts, "speed"> {
    const speed = this.#speeds.ofHead();
    return speed ? { speed } : {};
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
