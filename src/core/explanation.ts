/** Why a model runs where it runs, with what else could have been; for people and for `GET /synaptic/explain`. Pure. */
import { toOpenAi } from "./errors.ts";
import type { Alternative, Routed } from "./route.ts";

export interface Explanation {
  readonly model: string;
  readonly route: "pool" | "shard" | "refused";
  readonly reason: string;
  /** What to do; null when it runs. */
  readonly hint: string | null;
  /** Of a refusal, as its clients get it; null when it runs. */
  readonly code: string | null;
  readonly alternatives: readonly Alternative[];
}

export function explanationOf(model: string, { decision, alternatives }: Routed): Explanation {
  const { kind, reason } = decision;
  const error = decision.kind === "refused" ? decision.error : null;
  const code = error && (toOpenAi(error).body.error.code ?? error.code);
  return { model, route: kind, reason, hint: error?.hint ?? null, code, alternatives };
}

/** The first sentence of it: `llama3 runs on the pool: ...`. */
export function summaryOf({ model, route, reason, hint }: Explanation): string {
  if (route === "refused") return `${model} runs nowhere now: ${reason}${hint ? `\n  ${hint}` : ""}`;
  return `${model} runs on the ${route === "pool" ? "pool" : "shards"}: ${reason}`;
}
