/** All coordinators: plans a model on the backends that are free, leases them, and makes room when they are not. */
import { coordinatorArgs } from "../core/argv.ts";
import { settingsFor } from "../core/config-models.ts";
import type { Config } from "../core/config-types.ts";
import { SynapticError } from "../core/errors.ts";
import type { Cause } from "../core/llama-failure.ts";
import type { ModelFacts } from "../core/model.ts";
import { planModel } from "../core/plan.ts";
import { planInput } from "../core/plan-input.ts";
import type { PlanInput, PlanResult } from "../core/plan-types.ts";
import { engineProtocol } from "../core/rpc.ts";
import type { BackendSnapshot, CoordinatorSnapshot, EngineFacts } from "../core/snapshot.ts";
import type { Grant } from "./admission.ts";
import type { CatalogEntry } from "./catalog.ts";
import type { Prepared } from "./launch.ts";
import type { Monitor } from "./monitor.ts";
import type { Ports } from "./ports.ts";
import { Supervisor } from "./supervisor.ts";

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
}

export class Fleet {
  readonly #ports: Ports;
  readonly #options: FleetOptions;
  readonly #coordinators = new Map<string, Supervisor>();
  /** One plan-and-lease at a time: two models must not count on the same memory. */
  #turn: Promise<unknown> = Promise.resolve();
  #closing = false;

  constructor(ports: Ports, options: FleetOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  /** Resolves when the model is ready to answer; loads it first when it is not. */
  async acquire(entry: CatalogEntry, signal: AbortSignal): Promise<Grant> {
    if (!this.#options.config.sharding) {
      throw new SynapticError("no_backends", `Cannot load ${entry.id}: model sharding is switched off`, {
        hint: "set model_sharding_enabled to true in the config",
      });
    }
    if (this.#closing) throw new SynapticError("shutting_down", "Cannot serve the request: synaptic is shutting down");
    return await this.#coordinator(entry).acquire(signal);
  }

  /** What would be done with a model now, backends that it or an idle model holds included. */
  async plan(entry: CatalogEntry, signal: AbortSignal): Promise<Planned> {
    await this.#options.monitor.refresh();
    const engine = await this.#ports.llama.engine(signal);
    const { path, facts } = await this.#ports.models.read(entry.path, { signal });
    const result = planModel(this.#input(entry.id, { path, facts, engine, withLeased: true }));
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
    const existing = this.#coordinators.get(entry.id);
    if (existing) return existing;
    const created = new Supervisor(this.#ports, {
      model: entry.id,
      prepare: (signal) => this.#inTurn(() => this.#prepare(entry, signal)),
      onFailure: (cause) => this.#blame(cause),
    });
    this.#coordinators.set(entry.id, created);
    return created;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work, work);
    this.#turn = mine.catch(() => {});
    return mine;
  }

  #blame(cause: Cause): void {
    this.#ports.log.error(cause.error.message);
    if (cause.endpoint) this.#options.monitor.reportLost(cause.endpoint, "refused llama-server's connection");
  }

  /** Probes, plans on what is free, and ends idle models one by one, the longest unused first, until it fits. */
  async #prepare(entry: CatalogEntry, signal: AbortSignal): Promise<Prepared> {
    const { monitor } = this.#options;
    const engine = await this.#ports.llama.engine(signal);
    monitor.setEngineProtocol(engineProtocol(engine));
    const { path, facts } = await this.#ports.models.read(entry.path, { signal });
    for (;;) {
      await monitor.refresh();
      signal.throwIfAborted();
      const result = planModel(this.#input(entry.id, { path, facts, engine, withLeased: false }));
      if (result.ok) {
        const { plan } = result;
        const lease = await monitor.lease(
          plan.backends.map(({ endpoint }) => endpoint),
          entry.id,
        );
        return { plan, facts, lease, enginePath: engine.path, env: settingsFor(this.#options.config, entry.id).env };
      }
      const idle = this.#longestIdle(entry.id);
      if (!idle) throw this.#refusal(entry.id, result.refusal);
      this.#ports.log.info(`unloading ${idle.snapshot().model} to make room for ${entry.id}`);
      await idle.unload();
    }
  }

  #longestIdle(except: string): Supervisor | null {
    const idle = [...this.#coordinators]
      .filter(([model, coordinator]) => model !== except && coordinator.isIdle())
      .map(([, coordinator]) => coordinator);
    return idle.sort((a, b) => a.lastUsed() - b.lastUsed())[0] ?? null;
  }

  #refusal(model: string, { code, message, hint }: Extract<PlanResult, { ok: false }>["refusal"]): SynapticError {
    const holders = [...this.#coordinators].filter(([name, other]) => name !== model && other.holdsBackends());
    if (holders.length === 0) return new SynapticError(code, message, { hint });
    const names = holders.map(([name]) => name).join(", ");
    return new SynapticError("no_backends", `Cannot load ${model} now: ${names} is in use on its backends`, {
      hint: "try again when it is idle",
      retryAfterMs: 10_000,
    });
  }

  #input(model: string, { withLeased, ...sources }: InputSources): PlanInput {
    const { config, monitor } = this.#options;
    const isUsable = ({ state, lease }: BackendSnapshot) => state === "up" || (withLeased && lease !== null);
    return planInput({ model, config, backends: monitor.snapshot(), isUsable, ...sources });
  }
}

interface InputSources {
  readonly path: string;
  readonly facts: ModelFacts;
  readonly engine: EngineFacts;
  /** Backends that our coordinators hold count as usable: for a plan that is only looked at. */
  readonly withLeased: boolean;
}
