/** One llama-server of ours: spawned for a plan, its output read, its health polled until it answers. */
import { coordinatorArgs, coordinatorEnv } from "../core/argv.ts";
import { type Cause, explainExit } from "../core/llama-failure.ts";
import { whyUndrafted } from "../core/llama-log.ts";
import type { ModelFacts } from "../core/model.ts";
import type { Plan } from "../core/plan-types.ts";
import type { Lease } from "./lease.ts";
import { LoadLog } from "./load-log.ts";
import type { Ports } from "./ports.ts";

/** What the fleet hands over: a plan whose backends are leased. */
export interface Prepared {
  readonly plan: Plan;
  readonly facts: ModelFacts;
  readonly lease: Lease;
  readonly enginePath: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface ChildEvents {
  /** The first line of output. */
  readonly onGreeting: () => void;
  /** Once, when it has its memory on all devices: until then its connections to them are short ones, between which others
   *  may come first (facts/llamacpp.md b4). */
  readonly onPlaced: () => void;
  /** Once, when `/health` answers 200. */
  readonly onHealthy: () => void;
  readonly onExit: (cause: Cause) => void;
}

export interface Child {
  readonly url: string;
  readonly apiKey: string;
  readonly pid: number;
  readonly command: readonly string[];
  readonly log: LoadLog;
  /** Fires when it has exited, before `onExit`. */
  readonly gone: AbortSignal;
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

export interface SpawnOptions {
  readonly prepared: Prepared;
  readonly port: number;
  readonly events: ChildEvents;
  /** Whether it serves requests already: what an exit means depends on it. */
  readonly isReady: () => boolean;
}

/** Spawns llama-server for a plan and reports what becomes of it. @throws SynapticError when it cannot be spawned. */
export function spawnCoordinator(ports: Ports, { prepared, port, events, isReady }: SpawnOptions): Child {
  const { plan, enginePath, env } = prepared;
  const apiKey = ports.random.token();
  const args = coordinatorArgs(plan, port);
  const url = `http://127.0.0.1:${port}`;
  const gone = new AbortController();
  const log = new LoadLog(ports.clock);
  const endpoints = plan.backends.map(({ endpoint }) => endpoint);
  let greeted = false;
  let placed = false;
  const child = ports.llama.spawn({
    path: enginePath,
    args,
    env: coordinatorEnv(ports.llama.environment, apiKey, env),
    onLine(line) {
      const before = log.progress();
      log.take(line);
      ports.log.debug(line, { coordinator: plan.model });
      tellProgress(ports, plan.model, before, log.progress());
      const undrafted = plan.draft === null ? null : whyUndrafted(line);
      if (undrafted !== null) ports.log.warn(`${plan.model} runs without its draft model: ${undrafted}`);
      if (!greeted) events.onGreeting();
      greeted = true;
      if (!placed && log.isPlaced()) {
        placed = true;
        events.onPlaced();
      }
    },
    onExit({ code, signal }) {
      gone.abort();
      const exit = { code, signal, lastLines: log.lines() };
      events.onExit(explainExit(exit, { model: plan.model, when: isReady() ? "ready" : "starting", endpoints }));
    },
  });
  pollHealth(ports, `${url}/health`, gone.signal, events.onHealthy);
  return {
    url,
    apiKey,
    pid: child.pid,
    command: [enginePath, ...args],
    log,
    gone: gone.signal,
    kill: (signal) => child.kill(signal),
  };
}

/** A line in our own log for each tenth. */
function tellProgress({ log }: Ports, model: string, before: number | null, now: number | null): void {
  if (now === null || Math.floor(now * 10) <= Math.floor((before ?? 0) * 10)) return;
  log.info(`loading ${model}: ${Math.round(now * 100)} %`);
}

const HEALTH_INTERVAL_MS = 100;
const HEALTH_TIMEOUT_MS = 2_000;

/** Calls back once, when `/health` answers 200; gives up when the child has ended. The deadline of the whole start is the
 *  supervisor's. */
function pollHealth({ clock, http }: Ports, url: string, gone: AbortSignal, onHealthy: () => void): void {
  const ask = async (): Promise<void> => {
    if (gone.aborted) return;
    const slow = new AbortController();
    const cancel = clock.after(HEALTH_TIMEOUT_MS, () => slow.abort());
    try {
      const signal = AbortSignal.any([gone, slow.signal]);
      const response = await http.request(url, { method: "GET", headers: {}, signal });
      await response.body?.cancel();
      if (response.status === 200 && !gone.aborted) return onHealthy();
    } catch {
      // Not listening yet, or too slow.
    } finally {
      cancel();
    }
    again();
  };
  const again = () => void clock.after(HEALTH_INTERVAL_MS, () => void ask());
  again();
}
