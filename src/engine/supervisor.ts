/** Drives one coordinator through its life: carries out the effects of `core/lifecycle`, and lets requests in. */
import { SynapticError, wrapError } from "../core/errors.ts";
import { deadlineOf, INITIAL, transition } from "../core/lifecycle.ts";
import type { Effect, Lifecycle, LifecycleEvent } from "../core/lifecycle-types.ts";
import type { Cause } from "../core/llama-failure.ts";
import type { Proof } from "../core/proof.ts";
import type { CoordinatorSnapshot } from "../core/snapshot.ts";
import { formatDuration, GIB } from "../core/units.ts";
import { type Admission, createAdmission, type Grant } from "./admission.ts";
import { type Launch, launchCoordinator, type Prepared } from "./launch.ts";
import type { Ports } from "./ports.ts";

export interface SupervisorOptions {
  readonly model: string;
  /** Probes, plans and leases. */
  readonly prepare: (signal: AbortSignal) => Promise<Prepared>;
  /** The coordinator failed, perhaps because of a backend that the engine named. */
  readonly onFailure: (cause: Cause) => void;
}

/** A load may take this long: a slow link needs about 30 s per GiB (1 Gbit/s: 9 s). */
const LOAD_BASE_MS = 120_000;
const LOAD_MS_PER_GIB = 40_000;
const START = "Cannot start the coordinator";

/** What belongs to the launch under way; `over` fires when its child is gone. */
interface Current {
  readonly id: number;
  readonly over: AbortController;
  prepared: Prepared | null;
  launch: Launch | null;
  proof: Proof | null;
}

export class Supervisor {
  readonly #ports: Ports;
  readonly #options: SupervisorOptions;
  readonly #admission: Admission;
  readonly #restWaiters = new Set<() => void>();
  readonly #events: LifecycleEvent[] = [];
  #state: Lifecycle = INITIAL;
  #since: number;
  #current: Current | null = null;
  #cancelTimer = () => {};
  #stepping = false;
  #starts = 0;
  #tokensPerSecond: number | null = null;
  #lastFailure: SynapticError | null = null;

  constructor(ports: Ports, options: SupervisorOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#since = ports.clock.now();
    this.#admission = createAdmission(ports.clock, () => this.#send({ tag: "drained", launch: this.#state.launch }));
  }

  /** Resolves when the model is ready; loads it when it is not. Rejects with why it cannot be, or the signal's reason. */
  acquire(signal: AbortSignal): Promise<Grant> {
    const granted = this.#admission.wait(signal);
    this.#send({ tag: "wanted" });
    return granted;
  }

  /** Waits for running requests, then ends the coordinator; resolves when it has ended. */
  unload(): Promise<void> {
    return this.#end("unload");
  }

  /** Like `unload`, and refuses every later request. */
  close(): Promise<void> {
    return this.#end("close");
  }

  /** Loaded, and nobody uses it or waits for it. */
  isIdle(): boolean {
    return this.#state.tag === "ready" && this.#admission.busy() + this.#admission.waiting() === 0;
  }

  holdsBackends(): boolean {
    return this.#current?.prepared != null;
  }

  lastUsed(): number {
    return this.#admission.lastUsed();
  }

  snapshot(): CoordinatorSnapshot {
    const { tag } = this.#state;
    const { launch, prepared, proof } = this.#current ?? { launch: null, prepared: null, proof: null };
    return {
      model: this.#options.model,
      state: tag,
      since: new Date(this.#since).toISOString(),
      pid: launch?.pid ?? null,
      progress: tag === "starting" ? (launch?.progress() ?? null) : null,
      ...this.#admission.load(prepared?.plan.parallel ?? 0),
      tokensPerSecond: this.#tokensPerSecond,
      restarts: Math.max(0, this.#starts - 1),
      lastFailure: this.#lastFailure?.message ?? null,
      plan: prepared && { ...prepared.plan, command: launch?.command ?? [] },
      proof,
    };
  }

  #end(tag: "unload" | "close"): Promise<void> {
    const rested = new Promise<void>((resolve) => this.#restWaiters.add(resolve));
    this.#send({ tag });
    if (this.#admission.busy() === 0) this.#send({ tag: "drained", launch: this.#state.launch });
    return rested;
  }

  /** The only way the state changes: one event at a time, in order. */
  #send(event: LifecycleEvent): void {
    this.#events.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    for (let next = this.#events.shift(); next; next = this.#events.shift()) this.#step(next);
    this.#stepping = false;
  }

  #step(event: LifecycleEvent): void {
    const { clock, log } = this.#ports;
    const before = this.#state;
    const [state, effects] = transition(before, event, clock.now());
    this.#state = state;
    if (state.tag !== before.tag) {
      this.#since = clock.now();
      log.debug(`coordinator ${state.tag}`, { model: this.#options.model });
    }
    for (const effect of effects) this.#apply(effect);
    this.#armTimer();
    if (["idle", "failed", "closed"].includes(state.tag)) {
      for (const resolve of this.#restWaiters) resolve();
      this.#restWaiters.clear();
    }
  }

  #armTimer(): void {
    this.#cancelTimer();
    const { clock } = this.#ports;
    const deadline = deadlineOf(this.#state);
    if (deadline === null) return;
    this.#cancelTimer = clock.after(Math.max(0, deadline - clock.now()), () => this.#send({ tag: "tick" }));
  }

  #apply(effect: Effect): void {
    switch (effect.tag) {
      case "plan":
        void this.#plan(this.#state.launch);
        break;
      case "spawn":
        void this.#spawn(this.#state.launch);
        break;
      case "check":
        void this.#check(this.#state.launch);
        break;
      case "grant":
        this.#grantAll();
        break;
      case "reject":
        this.#lastFailure = effect.error;
        this.#admission.rejectAll(effect.error);
        break;
      case "terminate":
        this.#current?.launch?.kill("SIGTERM");
        break;
      case "kill":
        this.#ports.log.warn("llama-server does not end on SIGTERM: killing it", { model: this.#options.model });
        this.#current?.launch?.kill("SIGKILL");
        break;
      case "release":
        this.#current?.over.abort();
        this.#current?.prepared?.lease.release();
        this.#current = null;
        break;
      case "blame":
        this.#lastFailure = effect.cause.error;
        this.#options.onFailure(effect.cause);
        break;
    }
  }

  #grantAll(): void {
    const { launch, over } = this.#current ?? {};
    if (!launch || !over) return;
    const { url, apiKey } = launch;
    this.#admission.grantAll({ url, apiKey, gone: over.signal, why: () => this.#lastFailure });
  }

  async #plan(id: number): Promise<void> {
    const current: Current = { id, over: new AbortController(), prepared: null, launch: null, proof: null };
    this.#current = current;
    try {
      const prepared = await this.#options.prepare(current.over.signal);
      if (current.over.signal.aborted) {
        prepared.lease.release();
        return;
      }
      current.prepared = prepared;
      this.#send({ tag: "planned", launch: id });
    } catch (error) {
      this.#send({ tag: "refused", launch: id, error: wrapError("coordinator_failed", START, error) });
    }
  }

  async #spawn(id: number): Promise<void> {
    const current = this.#current;
    if (!current?.prepared) return;
    const { plan, facts } = current.prepared;
    const loadMs = Math.round(LOAD_BASE_MS + (facts.fileBytes / GIB) * LOAD_MS_PER_GIB);
    this.#starts++;
    this.#tokensPerSecond = null;
    const layers = plan.backends.map((backend) => `${backend.layers} on ${backend.endpoint}`).join(", ");
    this.#ports.log.info(`loading ${plan.model}`, { layers: layers || "all local", deadline: formatDuration(loadMs) });
    try {
      const launch = await launchCoordinator(this.#ports, current.prepared, {
        onGreeting: () => this.#send({ tag: "greeted", launch: id, loadMs }),
        onHealthy: () => this.#send({ tag: "loaded", launch: id }),
        onExit: (cause) => this.#send({ tag: "exited", launch: id, cause }),
      });
      current.launch = launch;
      // A stop that came while the port was looked for found no child to end.
      if (this.#state.tag === "stopping") launch.kill("SIGTERM");
    } catch (error) {
      this.#send({
        tag: "exited",
        launch: id,
        cause: { error: wrapError("coordinator_failed", START, error), endpoint: null },
      });
    }
  }

  async #check(id: number): Promise<void> {
    const current = this.#current;
    if (!current?.launch || !current.prepared) return;
    try {
      const { proof, tokensPerSecond } = await current.launch.check(current.over.signal);
      current.proof = proof;
      this.#tokensPerSecond = tokensPerSecond;
      await current.prepared.lease.guard((_, reason) =>
        this.#send({ tag: "lost", launch: id, error: lostBackend(this.#options.model, reason) }),
      );
      this.#ports.log.info(`ready: ${this.#options.model}`, {
        took: formatDuration(this.#ports.clock.now() - this.#since),
      });
      this.#send({ tag: "checked", launch: id, error: null });
    } catch (error) {
      if (!current.over.signal.aborted)
        this.#send({ tag: "checked", launch: id, error: wrapError("coordinator_failed", START, error) });
    }
  }
}

function lostBackend(model: string, reason: string): SynapticError {
  return new SynapticError("coordinator_failed", `Lost a backend of ${model}: ${reason}`, {
    hint: "the next request loads the model on the backends that answer",
  });
}
