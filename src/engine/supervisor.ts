/** Drives one coordinator through its life: carries out the effects of `core/lifecycle`, and lets requests in. */
import type { QueueConfig } from "../core/config-types.ts";
import { describeError, type SynapticError } from "../core/errors.ts";
import type { Effect, Lifecycle, LifecycleEvent } from "../core/lifecycle-types.ts";
import type { Cause } from "../core/llama-failure.ts";
import type { Plan } from "../core/plan-types.ts";
import type { CoordinatorSnapshot } from "../core/snapshot.ts";
import type { SwapModel } from "../core/swap-types.ts";
import { Admission, type Ask } from "./admission.ts";
import type { Prepared } from "./child.ts";
import { overtaken, tellBlame, tellState } from "./coordinator-log.ts";
import { isIdle, type Viewed, viewCoordinator, viewSwap } from "./coordinator-view.ts";
import type { Grant } from "./grant.ts";
import { Launch } from "./launch.ts";
import { Life, type LifeStep } from "./life.ts";
import type { LoadHistory } from "./load-history.ts";
import type { Ports } from "./ports.ts";
import { Rest } from "./rest.ts";

export interface SupervisorOptions {
  readonly model: string;
  readonly queue: QueueConfig;
  /** Probes, plans and leases; null when there is no room yet. */
  readonly prepare: (signal: AbortSignal) => Promise<Prepared | null>;
  readonly pinned: boolean;
  /** How long it may be idle, in ms; `Infinity` for ever. */
  readonly keepMs: number;
  /** The coordinator failed, perhaps because of a backend that the engine named. Must not throw. */
  readonly onFailure: (cause: Cause) => void;
  /** What it holds or waits for has changed, or nobody uses it any more. Must not throw. */
  readonly onChange: () => void;
  readonly history: LoadHistory;
}

export class Supervisor {
  readonly pinned: boolean;
  readonly #ports: Ports;
  readonly #options: SupervisorOptions;
  readonly #admission: Admission;
  readonly #rest = new Rest();
  readonly #life: Life;
  #since: number;
  #queuedSince: number;
  #keepMs: number;
  #launch: Launch | null = null;
  /** Starts that a failure made necessary. */
  #restarts = 0;
  /** It has failed since it was last ready. */
  #isAiling = false;
  #lastFailure: SynapticError | null = null;

  constructor(ports: Ports, options: SupervisorOptions) {
    this.#ports = ports;
    this.#options = options;
    this.pinned = options.pinned;
    this.#since = this.#queuedSince = ports.clock.now();
    this.#keepMs = options.keepMs;
    this.#life = new Life(ports.clock, { onStep: (step) => this.#step(step), onChange: options.onChange });
    this.#admission = new Admission(ports.clock, {
      model: options.model,
      rules: options.queue,
      isLoading: () => this.#state.tag === "starting",
      onEmpty: () => {
        this.#send({ tag: "drained", launch: this.#state.launch });
        options.onChange();
      },
    });
  }

  /** Resolves when the model has a slot for it; loads it when it is not ready. Rejects with why, or the signal's reason. */
  acquire(signal: AbortSignal, ask: Ask = {}): Promise<Grant> {
    const granted = this.#admission.wait(signal, ask);
    granted.catch(() => {
      if (this.#admission.waiting() === 0) this.#send({ tag: "unwanted" });
    });
    if (!signal.aborted) this.#send(WANTED);
    return granted;
  }

  /** It may plan and lease: nobody else does, until it has left that phase. */
  takeTurn(): void {
    this.#send({ tag: "turn" });
  }

  /** Lets nobody in any more, and goes with its last answer; who comes meanwhile waits for its next launch. */
  makeRoom(to: string): void {
    this.#send({ tag: "yield", to });
  }

  /** Goes on: the room that it was to make is not needed. */
  stay(): void {
    this.#send({ tag: "stay" });
  }

  /** How long it may be idle from now on, in ms, whatever the config says, until it is loaded anew; `Infinity` for ever. A pinned one stays. */
  keep(ms: number): void {
    this.#keepMs = ms;
    this.#options.onChange();
  }

  /** Waits for running requests, then ends the coordinator; resolves when it has ended and its backends are free.
   *  Rejects with `too_busy` when a new request came before the last one had ended. */
  unload(): Promise<void> {
    return this.#end("unload");
  }

  /** Like `unload`, and refuses every later request. */
  close(): Promise<void> {
    return this.#end("close");
  }

  /** Loaded, and nobody uses it or waits for it. */
  isIdle(): boolean {
    return isIdle({ state: this.#state, admission: this.#admission });
  }

  /** What it holds or is about to hold; null when it holds nothing. */
  heldPlan(): Plan | null {
    return this.#launch?.prepared()?.plan ?? null;
  }

  /** When a request of it last ended. */
  lastUsed(): number {
    return this.#admission.lastUsed();
  }

  isPlanning(): boolean {
    return this.#state.tag === "starting" && this.#state.phase === "planning";
  }

  /** For the scheduler; null when it neither holds room nor waits for any. `known`: its header has been read. */
  swapView(known: boolean): SwapModel | null {
    return viewSwap(this.#viewed(), known);
  }

  snapshot(): CoordinatorSnapshot {
    const lastFailure = this.#lastFailure?.message ?? null;
    return { ...viewCoordinator(this.#viewed(), this.#launch), restarts: this.#restarts, lastFailure };
  }

  get #state(): Lifecycle {
    return this.#life.state;
  }

  #viewed(): Viewed {
    return {
      model: this.#options.model,
      state: this.#state,
      since: this.#since,
      queuedSince: this.#queuedSince,
      now: this.#ports.clock.now(),
      admission: this.#admission,
      pinned: this.pinned,
      keepMs: this.#keepMs,
    };
  }

  #end(tag: "unload" | "close"): Promise<void> {
    const rested = this.#rest.wait();
    this.#send({ tag });
    return rested;
  }

  #send(event: LifecycleEvent): void {
    this.#life.send(event);
  }

  #step({ before, event, effects }: LifeStep): void {
    const state = this.#state;
    if (state.tag !== before.tag) this.#enter(before);
    if (event.tag === "refused" && state !== before) this.#ports.log.warn(describeError(event.error));
    for (const effect of effects) this.#apply(effect);
    // Who still waits for a slot then wants the next launch, or hears why there is none.
    if (before.tag === "ready" && state.tag !== "ready" && this.#admission.waiting() > 0) this.#send(WANTED);
    if (state.tag === "draining" && this.#admission.busy() === 0) this.#send({ tag: "drained", launch: state.launch });
    // Whoever wanted it may have left while it could not be called off.
    if (state.tag === "starting" && state.phase === "queued" && this.#admission.waiting() === 0) {
      this.#send({ tag: "unwanted" });
    }
    if (state.tag === "idle" || state.tag === "failed" || state.tag === "closed") this.#rest.resolve();
  }

  #enter(before: Lifecycle): void {
    const { clock, log } = this.#ports;
    const { model } = this.#options;
    const state = this.#state;
    tellState(log, { model, before, state, lastedMs: clock.now() - this.#since });
    if (before.tag === "ready") this.#admission.shut();
    this.#since = clock.now();
    if (state.tag === "starting") this.#keepMs = this.#options.keepMs;
    if (before.tag === "ready" || before.tag === "idle" || before.tag === "failed") this.#queuedSince = this.#since;
    if (state.tag !== "ready") return;
    this.#isAiling = false;
    this.#rest.reject(overtaken(model));
  }

  #apply(effect: Effect): void {
    switch (effect.tag) {
      case "plan":
        this.#launch = new Launch(this.#ports, {
          ...this.#options,
          id: this.#state.launch,
          report: (event) => this.#send(event),
        });
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
          this.#rest.reject(effect.error);
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
        this.#rest.resolve();
        break;
      case "blame":
        this.#lastFailure = effect.cause.error;
        this.#isAiling = true;
        tellBlame(this.#ports.log, this.#state, effect.cause.error);
        this.#launch?.blame(effect.cause.error);
        this.#options.onFailure(effect.cause);
        break;
    }
  }
}

/** Requests that end because the owner wants it: no failures. */
const WISHES: ReadonlySet<SynapticError["code"]> = new Set(["model_loading", "shutting_down"]);

const WANTED: LifecycleEvent = { tag: "wanted" };
