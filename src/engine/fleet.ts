/** All coordinators: plans a model on the backends that are free, leases them, and makes room when they are not. */
import { coordinatorArgs } from "../core/argv.ts";
import { settingsFor } from "../core/config-models.ts";
import type { Config } from "../core/config-types.ts";
import { SynapticError } from "../core/errors.ts";
import type { ModelFacts } from "../core/model.ts";
import { planModel } from "../core/plan.ts";
import { heldByPlans, withGivenBack } from "../core/plan-held.ts";
import { planInput } from "../core/plan-input.ts";
import type { LocalDevice, LocalShare, PlanInput, PlanResult } from "../core/plan-types.ts";
import type { BackendSnapshot, CoordinatorSnapshot, EngineFacts } from "../core/snapshot.ts";
import type { Ask } from "./admission.ts";
import type { CatalogEntry } from "./catalog-entry.ts";
import type { Prepared } from "./child.ts";
import type { Grant } from "./grant.ts";
import type { KnownEngine } from "./known-engine.ts";
import { createLoadHistory } from "./load-history.ts";
import type { Monitor } from "./monitor.ts";
import type { Ports } from "./ports.ts";
import { type ReadWhole, readWhole } from "./side-files.ts";
import { Supervisor } from "./supervisor.ts";

/** Shorter than the deadline of planning (`LIMITS.planMs`), so that the refusal says why. */
const ROOM_WAIT_MS = 20_000;

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
}

export class Fleet {
  readonly #ports: Ports;
  readonly #options: FleetOptions;
  readonly #coordinators = new Map<string, Supervisor>();
  /** As each model was last asked for. */
  readonly #entries = new Map<string, CatalogEntry>();
  /** One plan-and-lease at a time: two models must not count on the same memory. */
  #turn: Promise<unknown> = Promise.resolve();
  /** Resolves when a coordinator has nobody left to serve, or has given its backends back. */
  #rest = Promise.withResolvers<void>();
  #closing = false;
  readonly #history = createLoadHistory();

  constructor(ports: Ports, options: FleetOptions) {
    this.#ports = ports;
    this.#options = options;
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
    const engine = await this.#options.engine.use(signal);
    const { facts, ...file } = await readWhole(this.#ports.models, entry, { config: this.#options.config, signal });
    const givers = [entry.id, ...this.#idle(entry.id).map(([model]) => model)];
    const result = planModel(this.#input(entry, { ...file, facts, engine, givers }));
    const command = result.ok ? [engine.path, ...coordinatorArgs(result.plan, "PORT")] : [];
    return { result, facts, engine, command };
  }

  /** Why a request for this model goes where it goes, in ASCII for a header. */
  reason(model: string): string {
    const plan = this.#coordinators.get(model)?.snapshot().plan;
    if (!plan) return "loads on demand";
    const endpoints = plan.backends.map(({ endpoint }) => endpoint);
    return endpoints.length > 0 ? `sharded over ${endpoints.join(", ")}` : "held by the head node alone";
  }

  /** 0..1 while the model loads, null otherwise or when unknown. */
  progress(model: string): number | null {
    return this.#coordinators.get(model)?.snapshot().progress ?? null;
  }

  async unload(model: string): Promise<void> {
    await this.#coordinators.get(model)?.unload();
  }

  snapshot(): readonly CoordinatorSnapshot[] {
    return [...this.#coordinators.values()].map((coordinator) => coordinator.snapshot());
  }

  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all([...this.#coordinators.values()].map((coordinator) => coordinator.close()));
  }

  #coordinator(entry: CatalogEntry): Supervisor {
    // A tag may have got other files since: the next load takes them.
    this.#entries.set(entry.id, entry);
    const existing = this.#coordinators.get(entry.id);
    if (existing) return existing;
    const created = new Supervisor(this.#ports, {
      model: entry.id,
      queue: this.#options.config.queue,
      prepare: (signal) => this.#prepareOnceFree(this.#entries.get(entry.id) ?? entry, signal),
      onRest: () => this.#rest.resolve(),
      history: this.#history,
      onFailure: ({ endpoint, error }) => {
        if (endpoint) this.#options.monitor.reportLost(endpoint, error.message);
      },
    });
    this.#coordinators.set(entry.id, created);
    return created;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work, work);
    this.#turn = mine.catch(() => {});
    return mine;
  }

  /** Waits, for a while, until a model that is in the way comes to rest. The turn is left to others meanwhile. */
  async #prepareOnceFree(entry: CatalogEntry, signal: AbortSignal): Promise<Prepared> {
    const { clock } = this.#ports;
    const until = clock.now() + ROOM_WAIT_MS;
    for (;;) {
      const rest = this.#rest;
      const prepared = await this.#inTurn(() => this.#prepare(entry, signal));
      if (!(prepared instanceof SynapticError)) return prepared;
      const leftMs = until - clock.now();
      if (leftMs <= 0) throw prepared;
      const cancel = clock.after(leftMs, () => rest.resolve());
      await rest.promise.finally(cancel);
      if (rest === this.#rest) this.#rest = Promise.withResolvers();
      signal.throwIfAborted();
    }
  }

  /** Probes, plans on what is free, and ends idle models one by one, the longest unused first, until it fits. Returns an
   *  error when it would fit if models in use were not there. */
  async #prepare(entry: CatalogEntry, signal: AbortSignal): Promise<Prepared | SynapticError> {
    const { monitor, config } = this.#options;
    signal.throwIfAborted();
    if (!config.sharding) {
      throw new SynapticError("no_backends", `Cannot load ${entry.id}: model sharding is switched off`, {
        hint: "set model_sharding_enabled to true in the config",
      });
    }
    const engine = await this.#options.engine.use(signal);
    const { facts, ...file } = await readWhole(this.#ports.models, entry, { config, signal });
    const planWith = (givers: readonly string[]) => planModel(this.#input(entry, { ...file, facts, engine, givers }));
    for (;;) {
      await monitor.refresh();
      signal.throwIfAborted();
      const result = planWith([]);
      if (result.ok) {
        const { plan } = result;
        const lease = await monitor.lease(
          plan.backends.map(({ endpoint }) => endpoint),
          entry.id,
        );
        if (entry.notes.length > 0) this.#ports.log.info(`${entry.id}: ${entry.notes.join("; ")}`);
        return { plan, facts, lease, enginePath: engine.path, env: settingsFor(config, entry.settingsId).env };
      }
      const idle = this.#idle(entry.id);
      const [first] = idle;
      // None is ended for a model that would not fit even then.
      if (!first || !planWith(idle.map(([model]) => model)).ok) return this.#inUse(entry.id, planWith);
      const [model, coordinator] = first;
      this.#ports.log.info(`unloading ${model} to make room for ${entry.id}`);
      await coordinator.unload();
    }
  }

  /** Those that may be ended for `other`, the longest unused first. */
  #idle(other: string): readonly (readonly [string, Supervisor])[] {
    const idle = [...this.#coordinators].filter(([model, coordinator]) => model !== other && coordinator.isIdle());
    return idle.sort(([, a], [, b]) => a.lastUsed() - b.lastUsed());
  }

  /** Which models are in the way. @throws SynapticError when it would not fit even without them. */
  #inUse(model: string, planWith: (givers: readonly string[]) => PlanResult): SynapticError {
    const others = [...this.#coordinators].filter(([name, other]) => name !== model && other.heldPlan());
    const alone = planWith(others.map(([name]) => name));
    if (!alone.ok) {
      const { code, message, hint } = alone.refusal;
      throw new SynapticError(code, message, { hint });
    }
    const busy = others.filter(([, other]) => !other.isIdle()).map(([name]) => name);
    return new SynapticError("no_backends", `Cannot load ${model} now: ${busy.join(", ")} in use on its backends`, {
      hint: "try again later",
      retryAfterMs: 10_000,
    });
  }

  #input(model: CatalogEntry, { givers, engine, args = [], ...sources }: InputSources): PlanInput {
    const { config, monitor } = this.#options;
    const isUsable = ({ state, lease }: BackendSnapshot) =>
      state === "up" || (state === "leased" && lease !== null && givers.includes(lease));
    const keepers = [...this.#coordinators].filter(([name]) => name !== model.id && !givers.includes(name));
    const plansOf = (some: readonly (readonly [string, Supervisor])[]) =>
      some.flatMap(([, coordinator]) => coordinator.heldPlan() ?? []);
    const kept = plansOf(keepers);
    const given = plansOf([...this.#coordinators].filter(([name]) => givers.includes(name)));
    const backends = monitor.snapshot();
    const onHead = kept.flatMap((plan) => plan.head.devices);
    const localDevices = engine.localDevices.map((device) => lessHeld(device, onHead));
    return planInput({
      model,
      config,
      backends,
      isUsable,
      head: withGivenBack(this.#ports.machine.memory(), given, backends),
      held: heldByPlans(kept, backends),
      engine: { ...engine, localDevices },
      headerArgs: args,
      ...sources,
    });
  }
}

/** What the engine said is free was measured before anything was loaded. */
function lessHeld(device: LocalDevice, held: readonly LocalShare[]): LocalDevice {
  const mine = held.filter(({ name }) => name === device.name);
  const bytes = mine.reduce((sum, share) => sum + share.modelBytes + share.kvBytes + share.computeBytes, 0);
  return { ...device, freeBytes: Math.max(0, device.freeBytes - bytes) };
}

interface InputSources extends ReadWhole {
  readonly engine: EngineFacts;
  /** Models whose coordinators would give away what they hold. */
  readonly givers: readonly string[];
}
