/** What a listing of models says of each: what it is, and where it would run, in a few words. Pure. */
import { type ElsewhereModel, placesOfElsewhere } from "./elsewhere.ts";
import type { Defect } from "./loadable.ts";
import type { ModelFacts } from "./model.ts";
import type { Plan, PlanResult } from "./plan-types.ts";
import type { RouteDecision } from "./route.ts";

export interface ListedModel {
  readonly id: string;
  readonly aliases: readonly string[];
  readonly origin: { readonly kind: "file" | "folder" | "ollama" | "node"; readonly where: string };
  /** SHA-256 of its Ollama manifest. */
  readonly digest: string | null;
  /** Empty when it is on other machines only. */
  readonly path: string;
  /** Of all its files; null when unknown. */
  readonly bytes: number | null;
  readonly architecture: string | null;
  readonly quantization: string | null;
  readonly parameters: number | null;
  readonly trainedContext: number | null;
  /** Tokens that it would run with; null when it would not run. */
  readonly contextSize: number | null;
  /** Whether it could be loaded now. */
  readonly runs: boolean;
  /** Where it would run, or does; else why nowhere. */
  readonly where: string;
  /** Why there. */
  readonly reasons: readonly string[];
  readonly notes: readonly string[];
  readonly defect: Defect | null;
}

export interface ModelListing {
  readonly models: readonly ListedModel[];
  /** Folders and stores that could not be read. */
  readonly problems: readonly Defect[];
}

export type Outlook = Pick<ListedModel, "contextSize" | "runs" | "where" | "reasons">;

/** What the planner decided, for a listing; `isLoaded` when the plan is that of a coordinator that runs. */
export function outlookOf(result: PlanResult, isLoaded: boolean): Outlook {
  if (!result.ok) return nowhere(shortReason(result.refusal.message), [result.refusal.hint]);
  const { plan } = result;
  const where = placesOf(plan);
  const { contextSize, reasons } = plan;
  return { contextSize, runs: true, where: isLoaded ? `loaded on ${where}` : where, reasons };
}

/** For a model that runs nowhere, or of which nobody knows where. */
export function nowhere(where: string, reasons: readonly string[] = []): Outlook {
  return { contextSize: null, runs: false, where, reasons };
}

/** For a model that requests find on nodes. */
export function onPool({ urls, reason }: PoolChoice, contextSize: number | null): Outlook {
  const more = urls.length - MOST_NAMED;
  const named = urls.slice(0, MOST_NAMED).join(", ");
  const where = `${named}${more > 0 ? ` and ${more} more` : ""} (pool)`;
  return { contextSize, runs: true, where, reasons: [reason] };
}

type PoolChoice = Pick<Extract<RouteDecision, { readonly kind: "pool" }>, "urls" | "reason">;

const MOST_NAMED = 3;

function placesOf({ backends, head }: Pick<Plan, "backends" | "head">): string {
  const local = head.devices.filter(({ layers }) => layers > 0).map(({ name }) => name);
  const places = [...backends.map(({ endpoint }) => endpoint as string), ...local];
  if (backends.length === 0) return `this machine alone (${local.join(", ") || "CPU"})`;
  const more = places.length - MOST_NAMED;
  return more > 0 ? `${places.slice(0, MOST_NAMED).join(", ")} and ${more} more` : places.join(", ");
}

/** `Cannot place NAME on 2 backends: needs ...` without what stands beside it already: a name may have a colon itself. */
function shortReason(message: string): string {
  return message.replace(/^Cannot place .*?: (?=\S)/s, "");
}

/** A model that only Ollama nodes have, in a listing; its first note says how to have it here. */
export function listElsewhere(model: ElsewhereModel, outlook: Outlook | null = null): ListedModel {
  const { id, digest, bytes, quantization, urls, remedy } = model;
  return {
    ...{ id, aliases: [], origin: { kind: "node", where: urls.join(", ") }, digest, path: "", notes: [remedy] },
    ...{ ...factsFor(null, bytes), quantization, ...(outlook ?? nowhere(placesOfElsewhere(model))), defect: null },
  };
}

export type KnownFacts = Pick<ListedModel, "architecture" | "quantization" | "parameters" | "trainedContext" | "bytes">;

/** What the header says; all unknown without one. */
export function factsFor(facts: ModelFacts | null, bytes: number | null): KnownFacts {
  if (!facts) return { architecture: null, quantization: null, parameters: null, trainedContext: null, bytes };
  const { architecture, quantization, parameters, trainedContext, fileBytes } = facts;
  return { architecture, quantization, parameters, trainedContext, bytes: bytes ?? fileBytes };
}
