/** Drives one coordinator through its life: carries out the effects of `core/lifecycle`, and lets requests in. */
import type { QueueConfig } from "../core/config-types.ts";
import { describeError, SynapticError } from "../core/errors.ts";
import { deadlineOf, INITIAL, transition } from "../core/lifecycle.ts";
import type { Effect, Lifecycle, LifecycleEvent } from "../core/lifecycle-types.ts";
import type { Cause } from "../core/llama-failure.ts";
import type { Plan } from "../core/plan-types.ts";
import type { CoordinatorSnapshot } from "../core/snapshot.ts";
import { formatDuration } from "../core/units.ts";
import { Admission, type Ask } from "./admission.ts";
import type { Prepared } from "./child.ts";
import type { Grant } from "./grant.ts";
import { Launch } from "./launch.ts";
import type { LoadHistory } from "./load-history.ts";
import type { Ports } from "./ports.ts";

export interface SupervisorOptions {
  readonly model: string;
  readonly queue: QueueConfig;
  /** Probes, plans and leases. */
  readonly prepare: (signal: AbortSignal) => Promise<Prepared>;
  /** The coordinator failed, perhaps because of a backend that the engine named. Must not throw. */
  readonly onFailure: (cause: Cause) => void;
  /** Nobody uses it any more, or it has given its backends back. Must not throw. */
  readonly onRest: () => void;
  readonly history: LoadHistory;
}

interface RestWaiter {
  readonly resolve: () => void;
  readonly reject: (error: SynapticError) => void;
}

export class Supervisor {
  readonly #ports: Ports;
  readonly #options: SupervisorOptions;
  readonly #admission: Admission;
  readonly #restWaiters = new Set<RestWaiter>();
  readonly #events: LifecycleEvent[] = [];
  #state: Lifecycle = INITIAL;
  #since: number;
  #launch: Launch | null = null;
  #cancelTimer = () => {};
  #stepping = false;
  /** Starts that a failure made necessary. */
  #restarts = 0;
  /** It has failed since it was last ready. */
  #isAiling = false;
  #lastFailure: SynapticError | null = null;

  constructor(ports: Ports, options: SupervisorOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#since = ports.clock.now();
    this.#admission = new Admission(ports.clock, {
      model: options.model,
      rules: options.queue,
      isLoading: () => this.#state.tag === "starting",
      onEmpty: () => {
        this.#send({ tag: "drained", launch: this.#state.launch });
        options.onRest();
      },
    });
  }

  /** Resolves when the model has a slot for it; loads it when it is not ready. Rejects with why, or the signal's reason. */
  acquire(signal: AbortSignal, ask: Ask = {}): Promise<Grant> {
    const granted = this.#admission.wait(signal, ask);
    if (!signal.aborted) this.#send(WANTED);
    return granted;
  }

  /**
   * Waits for running requests, then ends the coordinator; resolves when it has ended and its backends are free.
   * Rejects with `too_busy` when a new request came before the last one had ended.
   */
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

  /** What it holds or is about to hold; null when it holds nothing. */
  heldPlan(): Plan | null {
    return this.#launch?.prepared()?.plan ?? null;
  }

  lastUsed(): number {
    return this.#admission.lastUsed();
  }

  snapshot(): CoordinatorSnapshot {
    const { tag } = this.#state;
    const launch = this.#launch?.snapshot() ?? NO_LAUNCH;
    return {
      model: this.#options.model,
      state: tag,
      since: new Date(this.#since).toISOString(),
      ...launch,
      ...(tag !== "starting" && { progress: null, etaMs: null }),
      ...this.#admission.load(launch.plan?.parallel ?? 0),
      restarts: this.#restarts,
      lastFailure: this.#lastFailure?.message ?? null,
    };
  }

  #end(tag: "unload" | "close"): Promise<void> {
    const rested = new Promise<void>((resolve, reject) => this.#restWaiters.add({ resolve, reject }));
    this.#send({ tag });
    if (this.#admission.busy() === 0) this.#send({ tag: "drained", launch: this.#state.launch });
    return rested;
  }

  /** The only way the state changes: one event at a time, in order. */
  #send(event: LifecycleEvent): void {
    this.#events.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    try {
      for (let next = this.#events.shift(); next; next = this.#events.shift()) this.#step(next);
    } finally {
      this.#stepping = false;
    }
  }

  #step(event: LifecycleEvent): void {
    const before = this.#state;
    const [state, effects] = transition(before, event, this.#ports.clock.now());
    this.#state = state;
    this.#armTimer();
    if (state.tag !== before.tag) this.#enter(before);
    if (event.tag === "refused" && state !== before) this.#ports.log.warn(describeError(event.error));
    for (const effect of effects) this.#apply(effect);
    // Who still waits for a slot then wants the next launch, or hears why there is none.
    if (before.tag === "ready" && state.tag !== "ready" && this.#admission.waiting() > 0) this.#events.push(WANTED);
    if (state.tag === "idle" || state.tag === "failed" || state.tag === "closed") this.#answerRested();
  }

  #enter(before: Lifecycle): void {
    const { clock, log } = this.#ports;
    const { model } = this.#options;
    const state = this.#state;
    log.debug(`coordinator ${state.tag}`, { model });
    if (before.tag === "ready") this.#admission.shut();
    if (state.tag === "failed") log.error(describeError(state.cause));
    if (state.tag === "stopping" && state.retry !== null && state.cause)
      log.warn(`${state.cause.message}; trying again`);
    if (state.tag === "ready") {
      if (before.tag === "starting") log.info(`ready: ${model}`, { took: formatDuration(clock.now() - this.#since) });
      this.#isAiling = false;
      this.#rejectRested(overtaken(model));
    }
    this.#since = clock.now();
  }

  #rejectRested(error: SynapticError): void {
    for (const { reject } of this.#restWaiters) reject(error);
    this.#restWaiters.clear();
  }

  #answerRested(): void {
    for (const { resolve } of this.#restWaiters) resolve();
    this.#restWaiters.clear();
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
        this.#launch = this.#newLaunch();
        void this.#launch.plan();
        break;
      case "spawn":
        if (this.#isAiling) this.#restarts++;
        void this.#launch?.spawn();
        break;
      case "check":
        void this.#launch?.check();
        break;
      case "grant": {
        const target = this.#launch?.target();
        if (target) this.#admission.open(target, this.heldPlan()?.parallel ?? 1);
        break;
      }
      case "reject":
        if (!WISHES.has(effect.error.code)) this.#lastFailure = effect.error;
        this.#admission.rejectAll(effect.error);
        if (effect.error.code === "coordinator_timeout" && this.#state.tag === "stopping")
          this.#rejectRested(effect.error);
        break;
      case "terminate":
        this.#launch?.terminate();
        break;
      case "kill":
        this.#launch?.kill();
        break;
      case "release":
        this.#launch?.release();
        this.#launch = null;
        this.#answerRested();
        this.#options.onRest();
        break;
      case "blame":
        this.#lastFailure = effect.cause.error;
        this.#isAiling = true;
        if (this.#state.tag !== "failed") this.#ports.log.warn(`${effect.cause.error.message}${this.#next()}`);
        this.#launch?.blame(effect.cause.error);
        this.#options.onFailure(effect.cause);
        break;
    }
  }

  /** What the log adds to a failure that is not the end of it. */
  #next(): string {
    return this.#state.tag === "starting" ? "; trying again" : "";
  }

  #newLaunch(): Launch {
    const { model, prepare, history } = this.#options;
    const report = (event: LifecycleEvent) => this.#send(event);
    return new Launch(this.#ports, { id: this.#state.launch, model, prepare, report, history });
  }
}

/** Requests that end because the owner wants it: no failures. */
const WISHES: ReadonlySet<SynapticError["code"]> = new Set(["model_loading", "shutting_down"]);

const WANTED: LifecycleEvent = { tag: "wanted" };
const NO_LAUNCH = { pid: null, progress: null, etaMs: null, tokensPerSecond: null, plan: null, proof: null };

function overtaken(model: string): SynapticError {
  return new SynapticError("too_busy", `Cannot unload ${model}: a new request came before the last one had ended`, {
    hint: "try again when it is idle",
  });
}
