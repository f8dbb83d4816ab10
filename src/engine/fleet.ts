/** All coordinators: plans models on the backends that are free, and leases them. Who goes first: `swapper.ts`. */
import { coordinatorArgs } from "../core/argv.ts";
import { heldByOthers, notHeld } from "../core/backend-view.ts";
import { settingsFor } from "../core/config-models.ts";
import type { Config } from "../core/config-types.ts";
import { SynapticError } from "../core/errors.ts";
import type { ModelFacts } from "../core/model.ts";
import { heldByOllama, type MemoryView } from "../core/node-memory.ts";
import { planModel } from "../core/plan.ts";
import { heldByPlans, lessHeld, withGivenBack } from "../core/plan-held.ts";
import { planInput } from "../core/plan-input.ts";
import type { HeadFacts, PlanInput, PlanResult } from "../core/plan-types.ts";
import type { BackendSnapshot, CoordinatorSnapshot, EngineFacts, LoadView } from "../core/snapshot.ts";
import { SWAP_RULES } from "../core/swap-types.ts";
import { MEASURE_HOLDER } from "../core/timing.ts";
import type { Ask } from "./admission.ts";
import type { CatalogEntry } from "./catalog-entry.ts";
import type { Prepared } from "./child.ts";
import type { Grant } from "./grant.ts";
import type { KnownEngine } from "./known-engine.ts";
import { nullWhenGone } from "./lease.ts";
import { createLoadHistory, type LoadHistory } from "./load-history.ts";
import type { Monitor } from "./monitor.ts";
import type { OllamaRoom } from "./ollama-room.ts";
import type { Ports } from "./ports.ts";
import { type InputSources, Room, shardingOff } from "./room.ts";
import { readWhole } from "./side-files.ts";
import { Supervisor } from "./supervisor.ts";
import { Swapper } from "./swapper.ts";

export interface Planned {
  readonly result: PlanResult;
  readonly facts: ModelFacts;
  readonly engine: EngineFacts;
  /** The exact command; empty when refused. Its port is chosen at the spawn. */
  readonly command: readonly string[];
}

export interface FleetOptions {
  readonly config: Config;
  readonly monitor: Monitor;
  readonly engine: KnownEngine;
  readonly ollama: OllamaRoom;
  /** Has a timing under way given up; resolves when its backend is free. */
  readonly letGo?: () => Promise<void>;
  /** What is known of the head node beside its memory. */
  readonly head?: () => Pick<HeadFacts, "speed">;
}

export class Fleet {
  readonly #ports: Ports;
  readonly #options: FleetOptions;
  readonly #coordinators = new Map<string, Supervisor>();
  readonly #room = new Room((entry, sources) => this.#input(entry, sources));
  readonly #swapper: Swapper;
  readonly #ignoreBackends: () => void;
  #closing = false;
  readonly #history: LoadHistory;

  constructor(ports: Ports, options: FleetOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#history = createLoadHistory(ports.state);
    void this.#history.load();
    const { config, monitor } = options;
    this.#swapper = new Swapper(ports, {
      coordinators: this.#coordinators,
      rules: { ...SWAP_RULES, ...config.swap },
      fits: (models, without) => this.#room.fits(models, without),
      isKnown: (model) => this.#room.isKnown(model),
      isSettled: () => monitor.snapshot().every(({ state }) => state !== "unknown"),
    });
    this.#ignoreBackends = monitor.subscribe(() => this.#swapper.look());
  }

  /** Resolves when the model has a slot for the request; loads it first when it is not loaded. */
  async acquire(entry: CatalogEntry, signal: AbortSignal, ask: Ask = {}): Promise<Grant> {
    if (this.#closing) throw new SynapticError("shutting_down", "Cannot serve the request: synaptic is shutting down");
    return await this.#coordinator(entry).acquire(signal, ask);
  }

  /** What would be done with a model now; what it or an idle model holds is taken for free. */
  async plan(entry: CatalogEntry, signal: AbortSignal): Promise<Planned> {
    await this.#options.monitor.refresh();
    return await this.planAsSeen(entry, signal);
  }

  /** The same, from what is known of the backends without asking them again. */
  async planAsSeen(entry: CatalogEntry, signal: AbortSignal): Promise<Planned> {
    const idle = this.#others(entry.id, (other) => other.isIdle() && !other.pinned);
    return await this.#planWith(entry, idle, signal);
  }

  /** Whether it could be loaded now without another one's going. */
  async hasRoom(entry: CatalogEntry, signal: AbortSignal): Promise<boolean> {
    await this.#options.monitor.refresh();
    return (await this.#planWith(entry, [], signal)).result.ok;
  }

  /** Why a request for this model goes where it goes, in ASCII for a header. */
  reason(model: string): string {
    const plan = this.#coordinators.get(model)?.snapshot().plan;
    if (!plan) return "loads on demand";
    const endpoints = plan.backends.map(({ endpoint }) => endpoint);
    return endpoints.length > 0 ? `sharded over ${endpoints.join(", ")}` : "held by the head node alone";
  }

  /** How far its load is; null while it does not load. */
  loadOf(model: string): LoadView | null {
    const coordinator = this.#coordinators.get(model)?.snapshot();
    return coordinator?.state === "starting" ? coordinator : null;
  }

  /** How long a model may be idle from now on, in ms, whatever the config says: 0 ends it with its last answer,
   *  `Infinity` keeps it. Without effect on one that was never asked for, and on a pinned one. */
  keep(model: string, ms: number): void {
    this.#coordinators.get(model)?.keep(ms);
  }

  async unload(model: string): Promise<void> {
    await this.#coordinators.get(model)?.unload();
  }

  /** When a request of any model last ended; 0 before the first. */
  lastUsed(): number {
    return Math.max(0, ...[...this.#coordinators.values()].map((coordinator) => coordinator.lastUsed()));
  }

  snapshot(): readonly CoordinatorSnapshot[] {
    return [...this.#coordinators.values()].map((coordinator) => coordinator.snapshot());
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#ignoreBackends();
    this.#swapper.close();
    await Promise.all([...this.#coordinators.values()].map((coordinator) => coordinator.close()));
  }

  async #planWith(entry: CatalogEntry, others: readonly string[], signal: AbortSignal): Promise<Planned> {
    const engine = await this.#options.engine.use(signal);
    const { facts, ...file } = await readWhole(this.#ports.models, entry, { config: this.#options.config, signal });
    const givers = [entry.id, ...others];
    const result = planModel(this.#input(entry, { ...file, facts, engine, givers }));
    const command = result.ok ? [engine.path, ...coordinatorArgs(result.plan, "PORT")] : [];
    return { result, facts, engine, command };
  }

  #coordinator(entry: CatalogEntry): Supervisor {
    this.#room.ask(entry);
    const existing = this.#coordinators.get(entry.id);
    // Whoever asks next waits for its next launch.
    if (existing?.isIdle() && this.#room.isOutdated(entry)) existing.unload().catch(() => {});
    if (existing) return existing;
    const { keepAliveMs, pin } = settingsFor(this.#options.config, entry.settingsId);
    const created = new Supervisor(this.#ports, {
      model: entry.id,
      queue: this.#options.config.queue,
      pinned: pin,
      keepMs: keepAliveMs,
      prepare: (signal) => this.#prepare(this.#room.latest(entry), signal),
      onChange: () => this.#swapper.look(),
      history: this.#history,
      onFailure: ({ endpoint, error }) => {
        if (endpoint) this.#options.monitor.reportLost(endpoint, error.message);
      },
    });
    this.#coordinators.set(entry.id, created);
    return created;
  }

  /** Probes, plans on what is free, and leases; null when it has to wait for room. One model at a time has the turn for
   *  this: two must not count on the same memory. */
  async #prepare(entry: CatalogEntry, signal: AbortSignal): Promise<Prepared | null> {
    const { monitor, config, ollama } = this.#options;
    signal.throwIfAborted();
    await this.#options.letGo?.();
    if (!config.sharding) throw shardingOff(entry.id);
    const engine = await this.#options.engine.use(signal);
    const { facts, ...file } = await readWhole(this.#ports.models, entry, { config, signal });
    const sources: InputSources = { ...file, facts, engine, givers: [] };
    await Promise.all([monitor.refresh(notHeld(monitor.snapshot())), ollama.refresh()]);
    signal.throwIfAborted();
    this.#room.learn(entry, sources);
    const verdict = await this.#verdict(entry, sources, signal);
    if (verdict.tag === "hopeless") {
      const givers = this.#others(entry.id, (other) => !other.pinned);
      throw this.#room.refusal(entry, { ...sources, givers }, verdict.pinned);
    }
    if (verdict.tag === "later") return null;
    const result = planModel(this.#input(entry, sources));
    if (!result.ok) return null;
    const { plan } = result;
    const endpoints = plan.backends.map(({ endpoint }) => endpoint);
    const lease = await monitor.lease(endpoints, entry.id).catch(nullWhenGone);
    if (!lease) return null;
    if (entry.notes.length > 0) this.#ports.log.info(`${entry.id}: ${entry.notes.join("; ")}`);
    return { plan, facts, lease, enginePath: engine.path, env: settingsFor(config, entry.settingsId).env };
  }

  /** Backends that others held are waited for, and idle models of Ollama unloaded, before any model of ours has to go. */
  async #verdict(entry: CatalogEntry, sources: InputSources, signal: AbortSignal) {
    const { monitor, ollama } = this.#options;
    let verdict = this.#swapper.verdict(entry.id);
    if (verdict.tag === "now") return verdict;
    const held = heldByOthers(monitor.snapshot());
    await monitor.refresh(held);
    if (held.length > 0) verdict = this.#swapper.verdict(entry.id);
    const givers = verdict.tag === "hopeless" ? this.#others(entry.id, (other) => !other.pinned) : [];
    const fits = (view: MemoryView) => planModel(this.#input(entry, { ...sources, givers, view })).ok;
    const seen = { backends: monitor.snapshot(), head: this.#ports.machine.memory() };
    if (!(await ollama.make({ ...seen, model: entry.id, fits, signal }))) return verdict;
    await monitor.refresh();
    signal.throwIfAborted();
    return this.#swapper.verdict(entry.id);
  }

  #others(model: string, wanted: (other: Supervisor) => boolean): readonly string[] {
    return [...this.#coordinators].flatMap(([name, other]) => (name !== model && wanted(other) ? [name] : []));
  }

  #input(model: CatalogEntry, { givers, beside = [], view, engine, args = [], ...sources }: InputSources): PlanInput {
    const { config, monitor, ollama, head } = this.#options;
    const taken = new Set(beside.flatMap(({ backends }) => backends.map(({ endpoint }) => endpoint)));
    const isUsable = ({ endpoint, state, lease }: BackendSnapshot) =>
      !taken.has(endpoint) &&
      (state === "up" || (state === "leased" && lease !== null && [...givers, MEASURE_HOLDER].includes(lease)));
    const keepers = [...this.#coordinators].filter(([name]) => name !== model.id && !givers.includes(name));
    const plansOf = (some: readonly (readonly [string, Supervisor])[]) =>
      some.flatMap(([, coordinator]) => coordinator.heldPlan() ?? []);
    const kept = [...plansOf(keepers), ...beside];
    const loading = plansOf(keepers.filter(([, other]) => other.swapView(true)?.tag === "loading"));
    const given = plansOf([...this.#coordinators].filter(([name]) => givers.includes(name)));
    const backends = view?.backends ?? monitor.snapshot();
    const onHead = kept.flatMap((plan) => plan.head.devices);
    const localDevices = engine.localDevices.map((device) => lessHeld(device, onHead));
    return planInput({
      model,
      config,
      backends,
      isUsable,
      head: withGivenBack({ ...(view?.head ?? this.#ports.machine.memory()), ...head?.() }, given, backends),
      held: [...heldByPlans(kept, backends), ...(view ? heldByOllama(view.nodes) : ollama.held())],
      loading: [...loading, ...beside],
      engine: { ...engine, localDevices },
      headerArgs: args,
      ...sources,
    });
  }
}
