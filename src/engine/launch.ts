/** One launch of a coordinator, from its plan to the end of its child: does what it is told, and reports events. */
import { SynapticError, wrapError } from "../core/errors.ts";
import type { LifecycleEvent } from "../core/lifecycle-types.ts";
import type { Cause } from "../core/llama-failure.ts";
import type { LoadSample } from "../core/load-estimate.ts";
import type { Plan } from "../core/plan-types.ts";
import type { CoordinatorSnapshot } from "../core/snapshot.ts";
import { type Endpoint, formatDuration, GIB } from "../core/units.ts";
import { type Checked, checkCoordinator } from "./check.ts";
import { type Child, type Prepared, spawnCoordinator } from "./child.ts";
import type { Target } from "./grant.ts";
import { bytesToLoad, type LoadHistory } from "./load-history.ts";
import type { Ports } from "./ports.ts";

export interface LaunchOptions {
  /** Carried by each event, so that late ones of an earlier launch are told apart. */
  readonly id: number;
  readonly model: string;
  /** Probes, plans and leases; null when there is no room yet. */
  readonly prepare: (signal: AbortSignal) => Promise<Prepared | null>;
  readonly report: (event: LifecycleEvent) => void;
  readonly history: LoadHistory;
}

/** A load may take this long: a slow link needs about 30 s per GiB (1 Gbit/s: 9 s). */
const LOAD_BASE_MS = 120_000;
const LOAD_MS_PER_GIB = 40_000;
/** Before it asks for memory, llama-server reads its file (50 MB/s: a slow disk), but sends none of it. */
const PLACE_BASE_MS = 20_000;
const PLACE_MS_PER_GIB = 20_000;

const SENTINEL_MS = 50;

function placeMsOf({ facts }: Prepared): number {
  return Math.round(PLACE_BASE_MS + (facts.fileBytes / GIB) * PLACE_MS_PER_GIB);
}

export class Launch {
  readonly #ports: Ports;
  readonly #options: LaunchOptions;
  /** Fires when it has come to its end. */
  readonly #over = new AbortController();
  #prepared: Prepared | null = null;
  #child: Child | null = null;
  #checked: Checked | null = null;
  #spawnedAt = 0;
  #stopped = false;
  /** The first one stays: what follows is a consequence. */
  #cause: SynapticError | null = null;

  constructor(ports: Ports, options: LaunchOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  /** Reports `planned`, `crowded` or `refused`. */
  async plan(): Promise<void> {
    const { id, prepare, report } = this.#options;
    try {
      const prepared = await prepare(this.#over.signal);
      if (!prepared) return report({ tag: "crowded", launch: id });
      if (this.#over.signal.aborted) return prepared.lease.release();
      this.#prepared = prepared;
      report({ tag: "planned", launch: id });
    } catch (error) {
      report({ tag: "refused", launch: id, error: this.#wrap(error) });
    }
  }

  /** Reports `greeted`, `placed` and `loaded`, and at last `exited`: also when there never was a child. */
  async spawn(): Promise<void> {
    const { id, report } = this.#options;
    const exited = (cause: Cause) => report({ tag: "exited", launch: id, cause });
    try {
      const prepared = this.#prepared;
      if (!prepared) throw new SynapticError("internal", "there is no plan");
      const port = await this.#ports.llama.freePort();
      if (this.#stopped) throw new SynapticError("internal", "stopped before it was spawned");
      const loadMs = this.#announce(prepared);
      this.#spawnedAt = this.#ports.clock.now();
      this.#child = spawnCoordinator(this.#ports, {
        prepared,
        port,
        events: {
          onGreeting: () => report({ tag: "greeted", launch: id, placeMs: placeMsOf(prepared) }),
          onPlaced: () => report({ tag: "placed", launch: id, loadMs }),
          onHealthy: () => report({ tag: "loaded", launch: id }),
          onExit: (cause) => this.#onceSeen(cause, exited),
        },
        isReady: () => this.#checked !== null,
      });
    } catch (error) {
      exited({ error: this.#wrap(error), endpoint: null, again: false });
    }
  }

  /** A coordinator that dies of a backend does not say which; its sentinel does, within a millisecond, but on a busy
   *  machine perhaps only after the exit was seen. */
  #onceSeen(cause: Cause, tell: (cause: Cause) => void): void {
    const isUnnamed = cause.again && cause.endpoint === null && this.#checked !== null && !this.#stopped;
    if (isUnnamed) this.#ports.clock.after(SENTINEL_MS, () => tell(cause));
    else tell(cause);
  }

  /** Reports `checked`, and from then on `lost` when a backend is; nothing when it ended meanwhile: its exit says why. */
  async check(): Promise<void> {
    const { id, report } = this.#options;
    const child = this.#child;
    const prepared = this.#prepared;
    if (!child || !prepared) return;
    try {
      this.#checked = await checkCoordinator(this.#ports, { child, prepared, signal: this.#over.signal });
      child.log.endLoad();
      void this.#options.history.record(this.#load(prepared.plan));
      await prepared.lease.guard((endpoint, detail) => {
        report({ tag: "lost", launch: id, error: this.#lost(endpoint, detail) });
      });
      report({ tag: "checked", launch: id, error: null });
    } catch (error) {
      if (!this.#over.signal.aborted) report({ tag: "checked", launch: id, error: this.#wrap(error) });
    }
  }

  terminate(): void {
    this.#stopped = true;
    this.#child?.kill("SIGTERM");
  }

  kill(): void {
    if (!this.#child) return;
    this.#ports.log.warn("llama-server does not end on SIGTERM: killing it", { model: this.#options.model });
    this.#child.kill("SIGKILL");
  }

  /** Remembers why it fails, for the requests that it answers now. */
  blame(cause: SynapticError): void {
    this.#cause ??= cause;
  }

  /** Gives the leases back; to be called when its child is seen to be gone, or never was. */
  release(): void {
    this.#over.abort();
    this.#prepared?.lease.release();
  }

  /** Where requests go; null before there is a child. */
  target(): Target | null {
    if (!this.#child) return null;
    const { url, apiKey } = this.#child;
    const { id, report } = this.#options;
    const suspect = () => report({ tag: "lost", launch: id, error: this.#hangs() });
    return { url, apiKey, gone: this.#over.signal, why: () => this.#cause, suspect };
  }

  /** What it is made of, for the plans of others; null before it is planned. */
  prepared(): Prepared | null {
    return this.#prepared;
  }

  snapshot(): Pick<CoordinatorSnapshot, "pid" | "progress" | "etaMs" | "tokensPerSecond" | "plan" | "proof"> {
    return {
      pid: this.#child?.pid ?? null,
      ...this.#remaining(),
      tokensPerSecond: this.#checked?.tokensPerSecond ?? null,
      plan: this.#prepared && { ...this.#prepared.plan, command: this.#child?.command ?? [] },
      proof: this.#checked?.proof ?? null,
    };
  }

  #remaining(): Pick<CoordinatorSnapshot, "progress" | "etaMs"> {
    const child = this.#child;
    const plan = this.#prepared?.plan;
    if (!child || !plan || this.#checked) return { progress: null, etaMs: null };
    const progress = child.log.progress();
    const { ms, ...load } = this.#load(plan);
    return { progress, etaMs: this.#options.history.remainingMs({ ...load, progress, elapsedMs: ms }) };
  }

  #load(plan: Plan): LoadSample {
    return { model: plan.model, bytes: bytesToLoad(plan), ms: this.#ports.clock.now() - this.#spawnedAt };
  }

  /** Says what is loaded where; the deadline of the load, in ms. */
  #announce({ plan, facts }: Prepared): number {
    const loadMs = Math.round(LOAD_BASE_MS + (facts.fileBytes / GIB) * LOAD_MS_PER_GIB);
    const layers = plan.backends.map((backend) => `${backend.layers} on ${backend.endpoint}`).join(", ");
    this.#ports.log.info(`loading ${plan.model}`, { layers: layers || "all local", deadline: formatDuration(loadMs) });
    return loadMs;
  }

  #wrap(error: unknown): SynapticError {
    return wrapError("coordinator_failed", `Cannot start the coordinator of ${this.#options.model}`, error);
  }

  #hangs(): SynapticError {
    return new SynapticError("coordinator_failed", `The coordinator of ${this.#options.model} hangs: it is ended`, {
      hint: "a backend may hang: the next request loads the model on those that answer",
    });
  }

  #lost(endpoint: Endpoint, detail: string): SynapticError {
    return new SynapticError("coordinator_failed", `Lost backend ${endpoint} of ${this.#options.model}: ${detail}`, {
      hint: "the next request loads the model on the backends that answer",
    });
  }
}
