/** An error as its client's dialect has it, told by the path that was asked. */
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { type SynapticError, toOpenAi } from "../core/errors.ts";
import { toAnthropicError } from "../core/translate/anthropic-error.ts";
import { toOllama } from "../core/translate/ollama-error.ts";

export interface ModelVariables {
  /** As the client named it: Ollama's words for a model that is not there have it in them. */
  model?: string;
}

export function errorAnswer(context: Context, error: SynapticError): Response {
  const { status, headers, body } = inDialect(context, error);
  for (const [name, value] of Object.entries(headers)) context.header(name, value);
  // Hono lists the statuses that may have a body; those of the table are among them (499 is never answered).
  return context.json(body, status as ContentfulStatusCode);
}

function inDialect(context: Context, error: SynapticError) {
  const { path } = context.req;
  if (/^\/v1\/messages(?:\/|$)/.test(path)) return toAnthropicError(error, context.get("requestId"));
  if (!/^\/api(?:\/|$)/.test(path)) return toOpenAi(error);
  const model: unknown = context.get("model");
  return toOllama(error, typeof model === "string" ? model : "");
}
