/** Times backends with the timing model, one at a time, and lets go of them at once when somebody needs them. */
import type { Config } from "../core/config-types.ts";
import { SynapticError } from "../core/errors.ts";
import type { ModelFacts } from "../core/model.ts";
import { backendFacts } from "../core/plan-input.ts";
import type { BackendFacts } from "../core/plan-types.ts";
import type { BackendSnapshot, EngineFacts } from "../core/snapshot.ts";
import type { Timing } from "../core/speed.ts";
import { buildOf, formatSpeed } from "../core/speed-book.ts";
import { MEASURE_HOLDER, timingOf } from "../core/timing.ts";
import { planTiming, timedBytes } from "../core/timing-plan.ts";
import type { Endpoint } from "../core/units.ts";
import type { KnownEngine } from "./known-engine.ts";
import type { Lease } from "./lease.ts";
import { timeOnce } from "./measure-one.ts";
import type { Monitor } from "./monitor.ts";
import type { Ports } from "./ports.ts";
import type { Speeds } from "./speeds.ts";

export interface MeasurerOptions {
  readonly config: Config;
  readonly monitor: Pick<Monitor, "refresh" | "lease" | "snapshot">;
  readonly engine: Pick<KnownEngine, "use">;
  readonly speeds: Speeds;
}

/** What every timing needs, whichever backend it is of. */
export interface TimingKit {
  readonly engine: EngineFacts;
  readonly path: string;
  readonly facts: ModelFacts;
}

export type TimingTarget = Endpoint | "head";

/** Upload, warm-up and runs: about 2 s where all is well. */
const DEADLINE_MS = 60_000;
/** A llama-server that hangs on a dead backend is killed earlier than this. */
const LET_GO_MS = 5_000;

interface UnderWay {
  readonly abandon: AbortController;
  readonly over: Promise<void>;
}

export class Measurer {
  readonly #ports: Ports;
  readonly #options: MeasurerOptions;
  #current: UnderWay | null = null;

  constructor(ports: Ports, options: MeasurerOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  /** What every timing needs. Rejects with what is wrong: then none is possible. */
  async kit(signal: AbortSignal): Promise<TimingKit> {
    const engine = await this.#options.engine.use(signal);
    const path = await this.#ports.timingModel(signal);
    const { facts } = await this.#ports.models.read(path, { signal });
    return { engine, path, facts };
  }

  /**
   * Times one now, keeps the timing, and tells the log.
   * @throws SynapticError with why it could not; the signal's reason; `too_busy` when `letGo()` was called meanwhile.
   */
  async time(target: TimingTarget, kit: TimingKit, signal: AbortSignal): Promise<Timing> {
    if (this.#current) throw busy("another one is being timed");
    const abandon = new AbortController();
    const over = Promise.withResolvers<void>();
    this.#current = { abandon, over: over.promise };
    const cancel = this.#ports.clock.after(DEADLINE_MS, () => abandon.abort(late(target)));
    try {
      return await this.#time(target, kit, AbortSignal.any([signal, abandon.signal]));
    } finally {
      cancel();
      this.#current = null;
      over.resolve();
    }
  }

  isMeasuring(): boolean {
    return this.#current !== null;
  }

  /** Gives up the timing under way; resolves when its backend is free again. */
  async letGo(why = "a model is being loaded"): Promise<void> {
    const current = this.#current;
    if (!current) return;
    current.abandon.abort(busy(why));
    const deadline = Promise.withResolvers<void>();
    const cancel = this.#ports.clock.after(LET_GO_MS, deadline.resolve);
    await Promise.race([current.over, deadline.promise]).finally(cancel);
  }

  async #time(target: TimingTarget, kit: TimingKit, signal: AbortSignal): Promise<Timing> {
    const { monitor, speeds } = this.#options;
    const { log } = this.#ports;
    const backend = target === "head" ? null : await this.#look(target);
    signal.throwIfAborted();
    const lease = await monitor.lease(backend ? [backend.endpoint] : [], MEASURE_HOLDER);
    try {
      log.info(`measuring ${target}`);
      const timing = await this.#run(backend, { ...kit, lease }, signal);
      if (backend) await speeds.keepBackend(backend, timing);
      else await speeds.keepHead(timing);
      const tokens = `${timing.tokensPerSecond.toFixed(1)} tokens/s on the timing model`;
      log.info(`${target} measured: ${formatSpeed(timing.bytesPerSecond)}, ${tokens}`);
      return timing;
    } finally {
      lease.release();
    }
  }

  /** Probed just now. */
  async #look(endpoint: Endpoint): Promise<BackendSnapshot> {
    const { monitor } = this.#options;
    await monitor.refresh([endpoint]);
    const found = monitor.snapshot().find((backend) => backend.endpoint === endpoint);
    if (found) return found;
    throw new SynapticError("no_backends", `Cannot measure ${endpoint}: it is not among the configured backends`);
  }

  async #run(
    backend: BackendSnapshot | null,
    { engine, path, facts, lease }: TimingKit & { readonly lease: Lease },
    signal: AbortSignal,
  ): Promise<Timing> {
    const { clock } = this.#ports;
    const { localDevices } = engine;
    const head = this.#ports.machine.memory();
    const planned = planTiming({ facts, path, head, localDevices, backend: backend && this.#factsOf(backend) });
    if (!planned.ok) throw new SynapticError(planned.refusal.code, planned.refusal.message);
    const prepared = { plan: planned.plan, facts, lease, enginePath: engine.path, env: {} };
    const timing = timingOf({
      speeds: await timeOnce(this.#ports, prepared, signal),
      weightBytes: timedBytes(facts),
      rttMs: backend?.rttMs ?? null,
      build: buildOf(engine),
      measuredAt: new Date(clock.now()).toISOString(),
    });
    if (timing) return timing;
    throw new SynapticError("coordinator_failed", "Cannot measure: the timing model made no tokens");
  }

  /** The owner's limit of memory counts here, too. */
  #factsOf(backend: BackendSnapshot): BackendFacts {
    return backendFacts(this.#options.config, backend);
  }
}

function busy(why: string): SynapticError {
  return new SynapticError("too_busy", `Cannot measure now: ${why}`, { hint: "try again when it is done" });
}

function late(target: TimingTarget): SynapticError {
  const limit = `${DEADLINE_MS / 1000} s`;
  return new SynapticError("coordinator_timeout", `Cannot measure ${target}: the timing did not end within ${limit}`, {
    hint: "a slow network or a hung backend",
  });
}
