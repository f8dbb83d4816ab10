/** Requests of Ollama's clients as requests to an OpenAI-speaking upstream, llama-server above all. Pure. */
import { z } from "zod";
import type { SynapticError } from "../errors.ts";
import { defined, type JsonObject } from "./json.ts";
import { readKeepAlive } from "./ollama-keep-alive.ts";
import { translateMessages } from "./ollama-messages.ts";
import { type TranslatedOptions, translateOptions } from "./ollama-options.ts";
import { type Checked, check, checkBody, unsupported } from "./refusal.ts";

/** What the request says beside what the upstream is asked. */
export interface OllamaWants {
  readonly model: string;
  readonly stream: boolean;
  /** How long the model stays loaded afterwards, in milliseconds; Infinity for ever, null when nothing is said. */
  readonly keepAliveMs: number | null;
  /** `num_ctx` in tokens, null when nothing is said: it asks for a load, and never is one by itself. */
  readonly contextSize: number | null;
  /** Whether the likeliest other tokens are asked for too. */
  readonly topLogprobs: boolean;
  /** Of an embedding, null for all; llama-server gives all always. */
  readonly dimensions: number | null;
  /** Whether a text too long to embed may be cut. llama-server refuses it instead. */
  readonly truncate: boolean;
}

/** `load` and `unload` ask the upstream nothing. */
export type OllamaRequest =
  | { readonly ok: true; readonly action: "load" | "unload"; readonly wants: OllamaWants }
  | {
      readonly ok: true;
      readonly action: "ask";
      readonly wants: OllamaWants;
      readonly path: string;
      readonly body: JsonObject;
    }
  | { readonly ok: false; readonly error: SynapticError };

const MOST_LOGPROBS = 20;

/** The fields that chat and generate have in common. */
export const COMMON = {
  model: z.string().min(1),
  stream: z.boolean().nullish(),
  format: z.unknown().optional(),
  options: z.unknown().optional(),
  keep_alive: z.unknown().optional(),
  think: z.union([z.boolean(), z.enum(["low", "medium", "high", "max"])]).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(MOST_LOGPROBS).nullish(),
};

const chatSchema = z.looseObject({
  ...COMMON,
  messages: z.array(z.unknown()).nullish(),
  tools: z.array(z.looseObject({ function: z.looseObject({ name: z.string() }) })).nullish(),
});

export interface Common {
  readonly model: string;
  readonly stream?: boolean | null | undefined;
  readonly format?: unknown;
  readonly options?: unknown;
  readonly keep_alive?: unknown;
  readonly think?: boolean | string | null | undefined;
  readonly logprobs?: boolean | null | undefined;
  readonly top_logprobs?: number | null | undefined;
}

export interface CommonParts {
  readonly wants: OllamaWants;
  readonly options: TranslatedOptions;
  readonly format: Format;
}

export type Format = null | "json" | JsonObject;

/** What chat and generate read alike. */
export function readCommon(said: Common): Checked<CommonParts> {
  const keepAlive = readKeepAlive(said.keep_alive);
  if (!keepAlive.ok) return keepAlive;
  const options = translateOptions(said.options);
  if (!options.ok) return options;
  const format = check(formatSchema, said.format ?? "", "format");
  if (!format.ok) return format;
  const wants = {
    model: said.model,
    // Ollama streams unless told not to (facts/clients.md 3a).
    stream: said.stream ?? true,
    keepAliveMs: keepAlive.value,
    contextSize: options.value.contextSize,
    topLogprobs: (said.top_logprobs ?? 0) > 0,
    dimensions: null,
    truncate: true,
  };
  return { ok: true, value: { wants, options: options.value, format: format.value || null } };
}

/** An empty text is no format: LlamaIndex sends it always (facts/clients.md 1a). */
const formatSchema = z.union([z.literal(""), z.literal("json"), z.record(z.string(), z.unknown())], {
  error: 'expected "json" or a JSON schema',
});

/** Loads or unloads, when nothing is to be said; null when there is. */
export function withoutPrompt(wants: OllamaWants): OllamaRequest {
  return { ok: true, action: wants.keepAliveMs === 0 ? "unload" : "load", wants };
}

/** `/api/chat` as `/v1/chat/completions`. */
export function translateOllamaChat(body: unknown): OllamaRequest {
  const checked = checkBody(chatSchema, body);
  if (!checked.ok) return checked;
  const said = checked.value;
  const common = readCommon(said);
  if (!common.ok) return common;
  const { wants } = common.value;
  if (!said.messages || said.messages.length === 0) return withoutPrompt(wants);
  const messages = translateMessages(said.messages);
  if (!messages.ok) return messages;
  const tools = (said.tools ?? []).map((tool) => ({ type: "function", ...tool }));
  return askChat(common.value, said, { messages: messages.value, tools: tools.length > 0 ? tools : undefined });
}

/** A request to `/v1/chat/completions` of these messages. */
export function askChat({ wants, options, format }: CommonParts, said: Common, own: JsonObject): OllamaRequest {
  const body = defined({
    model: wants.model,
    ...own,
    ...options.fields,
    max_tokens: options.maxTokens ?? undefined,
    response_format: responseFormat(format),
    chat_template_kwargs: templateArguments(said.think),
    logprobs: said.logprobs ? true : undefined,
    // Without a number llama-server gives none at all; Ollama asks it for one too.
    top_logprobs: said.logprobs ? Math.max(said.top_logprobs ?? 0, 1) : undefined,
    ...streaming(wants),
  });
  return { ok: true, action: "ask", wants, path: "/v1/chat/completions", body };
}

/** Counts are asked for, since others than llama-server send none else. */
export function streaming({ stream }: OllamaWants): JsonObject {
  return stream ? { stream, stream_options: { include_usage: true } } : { stream };
}

function responseFormat(format: Format): JsonObject | undefined {
  if (format === null) return undefined;
  if (format === "json") return { type: "json_object" };
  return { type: "json_schema", json_schema: { name: "schema", schema: format } };
}

/** As Ollama itself tells llama-server; a model that does not think takes no notice (measured, 0.7.0). */
function templateArguments(think: Common["think"]): JsonObject | undefined {
  if (think === undefined || think === null) return undefined;
  if (typeof think === "boolean") return { enable_thinking: think };
  return { enable_thinking: true, reasoning_effort: think };
}

/** What llama-server has no way to do. */
export function refuse(param: string, why: string, hint: string) {
  return unsupported(`Cannot use '${param}' with a model that runs on llama-server: ${why}`, { param, hint });
}
