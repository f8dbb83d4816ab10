/** One launch of a coordinator: its child, what its log showed, and the check of what it loaded. */
import { coordinatorArgs, coordinatorEnv } from "../core/argv.ts";
import { SynapticError } from "../core/errors.ts";
import { type Cause, type Exit, explainExit } from "../core/llama-failure.ts";
import { parseLogLine } from "../core/llama-log.ts";
import type { ModelFacts } from "../core/model.ts";
import type { Plan } from "../core/plan-types.ts";
import { NOTHING_OBSERVED, type Observations, observe, type Proof, proveLoad } from "../core/proof.ts";
import type { Lease } from "./lease.ts";
import type { LlamaChild, Ports } from "./ports.ts";

/** What the fleet hands over: a plan whose backends are leased. */
export interface Prepared {
  readonly plan: Plan;
  readonly facts: ModelFacts;
  readonly lease: Lease;
  readonly enginePath: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface LaunchEvents {
  /** The first line of output. */
  readonly onGreeting: () => void;
  readonly onHealthy: () => void;
  readonly onExit: (cause: Cause) => void;
}

export interface Launch {
  readonly url: string;
  readonly apiKey: string;
  readonly pid: number;
  readonly command: readonly string[];
  /** 0..1, null while unknown. */
  progress(): number | null;
  /** Compares the log with the plan, then runs a real completion; resolves with the proof and the measured speed. */
  check(signal: AbortSignal): Promise<{ readonly proof: Proof; readonly tokensPerSecond: number | null }>;
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

const KEPT_LINES = 200;
const HEALTH_INTERVAL_MS = 100;
const HEALTH_TIMEOUT_MS = 2_000;

/** Spawns llama-server for a plan and reports what becomes of it. @throws SynapticError when it cannot be spawned. */
export async function launchCoordinator(ports: Ports, prepared: Prepared, events: LaunchEvents): Promise<Launch> {
  const { plan, facts } = prepared;
  const port = await ports.llama.freePort();
  const apiKey = ports.random.token();
  const args = coordinatorArgs(plan, port);
  const url = `http://127.0.0.1:${port}`;
  const over = new AbortController();
  const lines: string[] = [];
  let seen: Observations = NOTHING_OBSERVED;
  let progress: number | null = null;
  let healthy = false;
  let greeted = false;

  const onLine = (line: string): void => {
    if (!greeted) {
      greeted = true;
      events.onGreeting();
    }
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
    ports.log.debug(line, { coordinator: plan.model });
    if (healthy) return;
    const event = parseLogLine(line);
    if (event?.tag === "progress") {
      if (Math.floor(event.progress * 10) > Math.floor((progress ?? 0) * 10)) {
        ports.log.info(`loading ${plan.model}: ${Math.round(event.progress * 100)} %`);
      }
      progress = event.progress;
    } else if (event) seen = observe(seen, event);
  };
  const onExit = (exit: Omit<Exit, "lastLines">): void => {
    over.abort();
    events.onExit(explainExit(plan.model, { ...exit, lastLines: lines }, healthy ? "ready" : "starting"));
  };
  const child: LlamaChild = ports.llama.spawn({
    path: prepared.enginePath,
    args,
    env: coordinatorEnv(ports.llama.environment, apiKey, prepared.env),
    onLine,
    onExit,
  });
  pollHealth(ports, `${url}/health`, over.signal, () => {
    healthy = true;
    events.onHealthy();
  });
  return {
    url,
    apiKey,
    pid: child.pid,
    command: [prepared.enginePath, ...args],
    progress: () => progress,
    async check(signal) {
      const proof = proveLoad(plan, facts, seen);
      if (!proof.proven) throw unproven(plan, proof);
      return { proof, tokensPerSecond: await runCanary(ports, { url, apiKey, plan, signal }) };
    },
    kill: (signal) => child.kill(signal),
  };
}

function unproven(plan: Plan, proof: Proof): SynapticError {
  return new SynapticError(
    "coordinator_failed",
    `Cannot prove the sharding of ${plan.model}: ${proof.problems.join("; ")}`,
    {
      hint: "the engine put bytes elsewhere than planned: compare `synaptic plan` with its log, and report it with both",
    },
  );
}

/** Calls back once, when `/health` answers 200; gives up when the child has ended. */
function pollHealth(ports: Ports, url: string, over: AbortSignal, onHealthy: () => void): void {
  const again = () => void ports.clock.after(HEALTH_INTERVAL_MS, () => void ask());
  const ask = async (): Promise<void> => {
    if (over.aborted) return;
    const signal = AbortSignal.any([over, AbortSignal.timeout(HEALTH_TIMEOUT_MS)]);
    try {
      const response = await ports.http.request(url, { method: "GET", headers: {}, signal });
      await response.body?.cancel();
      if (response.status === 200 && !over.aborted) return onHealthy();
    } catch {
      // Not listening yet: the deadline of the start is the supervisor's.
    }
    again();
  };
  again();
}

interface Canary {
  readonly url: string;
  readonly apiKey: string;
  readonly plan: Plan;
  readonly signal: AbortSignal;
}

const CANARY_TOKENS = 4;

/** A real completion before anybody is let in. On accelerators its prompt is one full micro-batch, since cards run out
 *  of memory at the first full batch, not at load. */
async function runCanary(ports: Ports, { url, apiKey, plan, signal }: Canary): Promise<number | null> {
  const accelerated =
    plan.head.devices.some((device) => device.layers > 0) ||
    plan.backends.some(({ devices }) => devices.some((device) => device.kind === "accelerator"));
  const length = Math.min(plan.microBatchSize, plan.contextSize - 2 * CANARY_TOKENS);
  const prompt = accelerated ? new Array<number>(length).fill(1) : "Hello";
  const response = await ports.http.request(`${url}/completion`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${apiKey}` },
    body: JSON.stringify({ prompt, n_predict: CANARY_TOKENS, cache_prompt: false, temperature: 0 }),
    signal,
  });
  const text = await response.text();
  if (response.status !== 200) {
    throw new SynapticError(
      "coordinator_failed",
      `Cannot complete a first prompt with ${plan.model}: ${text.slice(0, 300)}`,
      {
        hint: "the model loaded, but does not compute: see the log of its backends",
      },
    );
  }
  return predictedPerSecond(text);
}

function predictedPerSecond(text: string): number | null {
  const match = /"predicted_per_second":\s*([\d.]+)/.exec(text);
  return match?.[1] ? Number(match[1]) : null;
}
