/** What all requests to an Ollama node have in common: its context, and fields checked alike. Pure. */
import { z } from "zod";
import type { SynapticError } from "../errors.ts";
import { defined, isObject, type JsonObject } from "./json.ts";
import { type Checked, check, type Refused, unsupported } from "./refusal.ts";

/** What the node is told beside what the client says. */
export interface NodeTarget {
  /** As the node calls it. */
  readonly model: string;
  /** `num_ctx`, in tokens: always sent, since the node's own default may be 4096, and another number would reload. */
  readonly contextSize: number;
  /** As Ollama takes it; left out, the node's own rule holds. */
  readonly keepAlive?: string | number;
  /** Whether the model has the capability `thinking`; null when unknown. Ollama refuses `think` without it. */
  readonly canThink: boolean | null;
}

/** What of the request its answer is made with. */
export interface NodeWants {
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** `parallel_tool_calls: false`: only the first call is passed on, since Ollama takes no notice of it. */
  readonly oneToolCall: boolean;
}

export type NodeRequest =
  | { readonly ok: true; readonly path: string; readonly body: JsonObject; readonly wants: NodeWants }
  | { readonly ok: false; readonly error: SynapticError };

const number = z.number().nullish();
const whole = z.int().nullish();

/** Fields of chat and completions alike. Unknown ones mean nothing to Ollama and are left out. */
export const COMMON = {
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: whole,
  max_completion_tokens: whole,
  n_predict: whole,
  stop: z.union([z.string(), z.array(z.string())], { error: "expected a text or a list of texts" }).nullish(),
  n: whole,
  logit_bias: z.record(z.string(), z.unknown()).nullish(),
  response_format: z.unknown().optional(),
  grammar: z.unknown().optional(),
  temperature: number,
  top_p: number,
  seed: whole,
  frequency_penalty: number,
  presence_penalty: number,
  // llama-server's own, which Ollama calls the same.
  top_k: whole,
  min_p: number,
  typical_p: number,
  repeat_penalty: number,
  repeat_last_n: whole,
};

const commonSchema = z.looseObject(COMMON);
type Common = z.infer<typeof commonSchema>;

const SAME = [
  ...["temperature", "top_p", "frequency_penalty", "presence_penalty"],
  ...["top_k", "min_p", "typical_p", "repeat_penalty", "repeat_last_n"],
] as const;

/** `options` with the context first; only what the client set, since Ollama's own /v1 forces temperature and top_p to 1
 *  and overrides the model's (facts/clients.md 3). */
export function nodeOptions(said: Common, { contextSize }: NodeTarget): JsonObject {
  const limit = said.max_completion_tokens ?? said.max_tokens ?? said.n_predict;
  const stops = typeof said.stop === "string" ? [said.stop] : (said.stop ?? []);
  return defined({
    num_ctx: contextSize,
    ...Object.fromEntries(SAME.map((key) => [key, said[key] ?? undefined])),
    // Ollama reads a zero as nothing said, and nothing said as no limit; llama-server writes one token for it.
    num_predict: limit === 0 ? 1 : (limit ?? undefined),
    seed: said.seed ?? undefined,
    stop: stops.some((stop) => stop !== "") ? stops.filter((stop) => stop !== "") : undefined,
  });
}

/** What the body of each request to a node begins with. A prompt that is too long is an error rather than cut, and so is
 *  an answer that would push its own beginning out (facts/clients.md 3, context overflow). */
export function nodeBody(said: Common, target: NodeTarget): JsonObject {
  return {
    model: target.model,
    stream: said.stream ?? false,
    ...(target.keepAlive === undefined ? {} : { keep_alive: target.keepAlive }),
    truncate: false,
    shift: false,
    options: nodeOptions(said, target),
  };
}

/** Refuses what Ollama would take no notice of (facts/clients.md 3); null when there is none of it. */
export function refuseUnheeded({ n, logit_bias, grammar }: Common): Refused | null {
  if (n !== undefined && n !== null && n !== 1) return refuseOnNode("n", "it gives one answer at a time");
  if (Object.keys(logit_bias ?? {}).length > 0) return refuseOnNode("logit_bias", "it knows no such bias");
  if (grammar) return refuseOnNode("grammar", "it takes JSON schemas only");
  return null;
}

/** Refuses a field that the client may use with models that run on llama-server. */
export function refuseOnNode(param: string, why: string): Refused {
  const hint = "leave it out, or route the model to its own llama-server";
  return unsupported(`Cannot use '${param}' with a model that runs on Ollama: ${why}`, { param, hint });
}

const formatSchema = z.looseObject({
  type: z.enum(["text", "json_object", "json_schema"]),
  schema: z.record(z.string(), z.unknown()).nullish(),
  json_schema: z.looseObject({ schema: z.record(z.string(), z.unknown()).nullish() }).nullish(),
});

/** `response_format` as Ollama's `format`; undefined for text. */
export function nodeFormat(value: unknown): Checked<"json" | JsonObject | undefined> {
  if (value === undefined || value === null) return { ok: true, value: undefined };
  const checked = check(formatSchema, value, "response_format");
  if (!checked.ok) return checked;
  const { type, schema, json_schema } = checked.value;
  if (type === "text") return { ok: true, value: undefined };
  if (type === "json_object") return { ok: true, value: schema ?? "json" };
  if (json_schema?.schema) return { ok: true, value: json_schema.schema };
  return check(z.record(z.string(), z.unknown()), undefined, "response_format.json_schema.schema");
}

export function nodeWants(said: Common, oneToolCall: boolean): NodeWants {
  const stream = said.stream ?? false;
  return { stream, includeUsage: stream && said.stream_options?.include_usage === true, oneToolCall };
}

/** The request of an Ollama client for a node, with the context that the model is loaded with there: each other number
 *  would load it anew (facts/clients.md 3, num_ctx). */
export function pinContext(body: JsonObject, contextSize: number): JsonObject {
  const options = isObject(body.options) ? body.options : {};
  return { ...body, options: { ...options, num_ctx: contextSize } };
}
