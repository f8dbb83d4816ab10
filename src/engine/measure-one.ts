/** One timing: a llama-server that holds the timing model for a few seconds, proven as every other, and runs on it. */
import { SynapticError } from "../core/errors.ts";
import { TIMING_RUNS, tokensPerRun } from "../core/timing.ts";
import { checkCoordinator, complete, predictedPerSecond } from "./check.ts";
import { type Child, type Prepared, spawnCoordinator } from "./child.ts";
import type { Ports } from "./ports.ts";

/** An idle llama-server ends on SIGTERM within 0.1 s; killed in the middle of a token it can take the rpc-server with it,
 *  whose answer then meets a closed connection (SIGPIPE, facts/llamacpp.md b4). So that is left for one that hangs. */
const GRACE_MS = 2_000;

/**
 * Tokens per second of each run. When the signal fires, its child is ended at once.
 * @throws SynapticError with what went wrong, or the signal's reason; the child has ended in every case.
 */
export async function timeOnce(ports: Ports, prepared: Prepared, signal: AbortSignal): Promise<readonly number[]> {
  signal.throwIfAborted();
  const port = await ports.llama.freePort();
  signal.throwIfAborted();
  const ended = Promise.withResolvers<never>();
  const healthy = Promise.withResolvers<void>();
  // Nobody may be asking when it ends.
  ended.promise.catch(() => {});
  let isReady = false;
  const child = spawnCoordinator(ports, {
    prepared,
    port,
    events: {
      onGreeting: () => {},
      onPlaced: () => {},
      onHealthy: healthy.resolve,
      onExit: ({ error }) => ended.reject(error),
    },
    isReady: () => isReady,
  });
  const left = Promise.withResolvers<never>();
  const leave = () => left.reject(signal.reason);
  signal.addEventListener("abort", leave, { once: true });
  const work = async (): Promise<readonly number[]> => {
    await healthy.promise;
    const { tokensPerSecond } = await checkCoordinator(ports, { child, prepared, signal });
    isReady = true;
    return await runAll(ports, { child, tokens: tokensPerRun(tokensPerSecond), signal });
  };
  try {
    return await Promise.race([work(), ended.promise, left.promise]);
  } finally {
    signal.removeEventListener("abort", leave);
    await end(ports, child, ended.promise);
  }
}

const RUN = { prompt: "Hello", cache_prompt: false, temperature: 0, ignore_eos: true, stream: true } as const;

interface RunOptions {
  readonly child: Child;
  readonly tokens: number;
  readonly signal: AbortSignal;
}

async function runAll(ports: Ports, options: RunOptions): Promise<readonly number[]> {
  const speeds: number[] = [];
  while (speeds.length < TIMING_RUNS) speeds.push(await run(ports, options));
  return speeds;
}

/** Beyond the end of its text, which is noise, so that each run has the same length. Streamed: llama-server looks once a
 *  second whether the client of a whole answer has gone, at each token whether that of a stream has. */
async function run(ports: Ports, { child, tokens, signal }: RunOptions): Promise<number> {
  const body = { ...RUN, n_predict: tokens };
  const { status, text } = await complete(ports, { child, body, signal });
  const speed = predictedPerSecond(text);
  if (status === 200 && speed !== null && speed > 0) return speed;
  throw new SynapticError("coordinator_failed", `Cannot run the timing model: ${text.slice(0, 300)}`);
}

/** Settles when it has ended. */
async function end({ clock, log }: Ports, child: Child, ended: Promise<never>): Promise<void> {
  if (child.gone.aborted) return;
  child.kill("SIGTERM");
  const cancel = clock.after(GRACE_MS, () => {
    log.warn("the llama-server of a timing does not end on SIGTERM: killing it");
    child.kill("SIGKILL");
  });
  await ended.catch(() => {});
  cancel();
}
