/** Whether a coordinator holds what was planned, and computes: the proof, then a first completion. */
import { SynapticError, wrapError } from "../core/errors.ts";
import type { Plan } from "../core/plan-types.ts";
import { type Proof, proveLoad } from "../core/proof.ts";
import type { Child, Prepared } from "./child.ts";
import type { Ports } from "./ports.ts";

export interface Checked {
  readonly proof: Proof;
  readonly tokensPerSecond: number | null;
}

export interface CheckOptions {
  readonly child: Child;
  readonly prepared: Prepared;
  readonly signal: AbortSignal;
}

/** Compares the log with the plan, then runs a real completion. @throws SynapticError `coordinator_failed`. */
export async function checkCoordinator(ports: Ports, { child, prepared, signal }: CheckOptions): Promise<Checked> {
  const { plan, facts } = prepared;
  const proof = await child.log.settle((seen) => proveLoad(plan, facts, seen));
  if (!proof.proven) throw unproven(plan, proof);
  const tokensPerSecond = await runCanary(ports, { child, plan, signal });
  return { proof, tokensPerSecond };
}

function unproven({ model }: Plan, { problems }: Proof): SynapticError {
  return new SynapticError("coordinator_failed", `Cannot prove the sharding of ${model}: ${problems.join("; ")}`, {
    hint: "the engine put bytes elsewhere than planned: compare `synaptic plan` with its log, and report it with both",
  });
}

interface Canary {
  readonly child: Child;
  readonly plan: Plan;
  readonly signal: AbortSignal;
}

const CANARY_TOKENS = 4;
/** A dying llama-server closes its connections about 20 ms before it is seen to exit (facts/llamacpp.md c). */
const EXIT_WAIT_MS = 1_000;

/** A real completion before anybody is let in; resolves with its speed. */
async function runCanary(ports: Ports, { child, plan, signal }: Canary): Promise<number | null> {
  const action = `Cannot complete a first prompt with ${plan.model}`;
  const { status, text } = await askCanary(ports, { child, plan, signal }).catch(async (error) => {
    // If it has died, its exit says why, and better.
    await Promise.race([gone(child), after(ports, EXIT_WAIT_MS)]);
    throw wrapError("coordinator_failed", action, error);
  });
  if (status === 200) return predictedPerSecond(text);
  throw new SynapticError("coordinator_failed", `${action}: ${text.slice(0, 300)}`, {
    hint: "the model loaded, but does not compute: see the log of its backends",
  });
}

/** What a model that makes vectors, or ranks, is first asked. */
function vectorCanary({ child, plan, signal }: Canary): UpstreamRequest {
  const isRank = plan.pooling === "rank";
  const body = isRank ? { query: "Hello", documents: ["Hello"] } : { input: "Hello" };
  return { child, path: isRank ? "/v1/rerank" : "/v1/embeddings", body, signal };
}

/** On accelerators the prompt is one full micro-batch, since cards run out of memory at the first full batch, not at load. */
async function askCanary(ports: Ports, canary: Canary) {
  const { child, plan, signal } = canary;
  if (plan.pooling) return await request(ports, vectorCanary(canary));
  const accelerated =
    plan.head.devices.some((device) => device.layers > 0) ||
    plan.backends.some(({ devices }) => devices.some((device) => device.kind === "accelerator" && device.layers > 0));
  const length = Math.min(plan.microBatchSize, plan.contextSize - 2 * CANARY_TOKENS);
  const prompt = accelerated ? new Array<number>(length).fill(1) : "Hello";
  const body = { prompt, n_predict: CANARY_TOKENS, cache_prompt: false, temperature: 0 };
  return await complete(ports, { child, body, signal });
}

export interface CompletionRequest {
  readonly child: Child;
  readonly body: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
}

interface UpstreamRequest extends CompletionRequest {
  readonly path: string;
}

/** A whole completion of our own, by llama-server's own endpoint; what it answers is not judged. */
export async function complete(ports: Pick<Ports, "http">, completion: CompletionRequest) {
  return await request(ports, { ...completion, path: "/completion" });
}

async function request({ http }: Pick<Ports, "http">, { child, path, body, signal }: UpstreamRequest) {
  const response = await http.request(`${child.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${child.apiKey}` },
    body: JSON.stringify(body),
    signal,
  });
  return { status: response.status, text: await response.text() };
}

/** Tokens per second as its answer has them; null when it has none. */
export function predictedPerSecond(text: string): number | null {
  const match = /"predicted_per_second":\s*([\d.]+)/.exec(text);
  return match?.[1] ? Number(match[1]) : null;
}

function gone(child: Child): Promise<void> {
  return new Promise((resolve) => {
    if (child.gone.aborted) return resolve();
    child.gone.addEventListener("abort", () => resolve(), { once: true });
  });
}

function after({ clock }: Ports, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.after(ms, resolve));
}
