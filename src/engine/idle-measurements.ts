/** Times backends that nobody has timed yet, while nobody needs the server. */
import { describeError, wrapError } from "../core/errors.ts";
import type { BackendSnapshot, CoordinatorSnapshot, EngineFacts } from "../core/snapshot.ts";
import { backendKey, buildOf } from "../core/speed-book.ts";
import { type FailedTiming, isQuiet, nextToTime, TRY_AGAIN_MS } from "../core/timing.ts";
import type { Endpoint } from "../core/units.ts";
import type { Measurements } from "./measurements.ts";
import type { Measurer, TimingKit } from "./measurer.ts";
import type { Monitor } from "./monitor.ts";
import type { Clock, Logger } from "./ports.ts";
import type { Speeds } from "./speeds.ts";

export interface IdleOptions {
  /** Without a request and without a load; 0 = never. */
  readonly idleMs: number;
  readonly measurer: Measurer;
  readonly measurements: Measurements;
  readonly monitor: Pick<Monitor, "snapshot">;
  readonly speeds: Speeds;
  /** Null until it is known. */
  readonly engine: () => EngineFacts | null;
  readonly coordinators: () => readonly CoordinatorSnapshot[];
  /** Requests that are answered or wait, those to Ollama nodes included: they may share a machine with a backend. */
  readonly requests: () => number;
  /** When a request last ended, in ms since the epoch. */
  readonly lastUsed: () => number;
}

/** How often it looks whether the time has come, at most. */
const LOOK_MS = 5_000;
/** How soon it sees that somebody came while it measures. */
const WATCH_MS = 250;

export class IdleMeasurements {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #options: IdleOptions;
  readonly #stopping = new AbortController();
  readonly #failures = new Map<Endpoint, FailedTiming>();
  #busyAt: number;
  /** Until then no timing is possible, whatever the backend. */
  #pausedUntil = 0;
  #cancelLook = () => {};
  #looking: Promise<void> = Promise.resolve();

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Logger }, options: IdleOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#options = options;
    this.#busyAt = clock.now();
  }

  /** Looks from now on, until `stop()`. */
  watch(): void {
    if (this.#options.idleMs === 0 || this.#stopping.signal.aborted) return;
    this.#cancelLook = this.#clock.after(Math.min(LOOK_MS, this.#options.idleMs), () => {
      this.#looking = this.#look().finally(() => this.watch());
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#cancelLook();
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { idleMs, measurements, measurer } = this.#options;
    const nowMs = this.#clock.now();
    if (!this.#isQuiet() || measurements.areUnderWay()) this.#busyAt = nowMs;
    const quietMs = nowMs - Math.max(this.#busyAt, this.#options.lastUsed());
    if (quietMs < idleMs || nowMs < this.#pausedUntil || measurer.isMeasuring() || !this.#next()) return;
    // Another synaptic may have timed it.
    await this.#options.speeds.load();
    const backend = this.#next();
    if (backend) await this.#time(backend);
  }

  #isQuiet(): boolean {
    return this.#options.requests() === 0 && isQuiet(this.#options.coordinators());
  }

  #next(): BackendSnapshot | null {
    const engine = this.#options.engine();
    if (!engine) return null;
    const backends = this.#options.monitor.snapshot();
    return nextToTime({ backends, failures: this.#failures, build: buildOf(engine), nowMs: this.#clock.now() });
  }

  async #time(backend: BackendSnapshot): Promise<void> {
    const leave = new AbortController();
    const signal = AbortSignal.any([leave.signal, this.#stopping.signal]);
    const kit = await this.#kit(signal);
    if (!kit || signal.aborted || !this.#isQuiet()) return;
    let cancelWatch = () => {};
    const since = this.#clock.now();
    const watch = (): void => {
      if (!this.#isQuiet() || this.#options.lastUsed() > since) leave.abort();
      else cancelWatch = this.#clock.after(WATCH_MS, watch);
    };
    watch();
    try {
      await this.#options.measurer.time(backend.endpoint, kit, signal);
    } catch (error) {
      this.#noteFailure(backend, { error, build: buildOf(kit.engine), wasLeft: signal.aborted });
    } finally {
      cancelWatch();
    }
  }

  /** Null, with a line in the log, when no backend can be timed at all. */
  async #kit(signal: AbortSignal): Promise<TimingKit | null> {
    try {
      return await this.#options.measurer.kit(signal);
    } catch (error) {
      if (signal.aborted) return null;
      this.#pausedUntil = this.#clock.now() + TRY_AGAIN_MS;
      this.#log.warn(`No backend is timed: ${describeError(wrapError("coordinator_failed", "Cannot measure", error))}`);
      return null;
    }
  }

  #noteFailure({ endpoint, devices }: BackendSnapshot, failure: Failure): void {
    const { message, code } = wrapError("coordinator_failed", "Cannot measure", failure.error);
    // Somebody needed it, or it went away: that says nothing about its speed.
    if (failure.wasLeft || code === "too_busy" || code === "no_backends" || code === "shutting_down") {
      this.#log.info(`${endpoint} is not measured now: ${failure.wasLeft ? "the server is in use" : message}`);
      return;
    }
    this.#failures.set(endpoint, {
      key: backendKey(endpoint, devices),
      build: failure.build,
      atMs: this.#clock.now(),
    });
    this.#log.warn(`${endpoint} cannot be measured: ${message}; its kind of device stands for its speed`);
  }
}

interface Failure {
  readonly error: unknown;
  readonly build: string;
  readonly wasLeft: boolean;
}
