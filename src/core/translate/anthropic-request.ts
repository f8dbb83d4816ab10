/** A request of Anthropic's Messages API as one of OpenAI's chat. Pure. */
import type { z } from "zod";
import { SynapticError } from "../errors.ts";
import { stripBilling } from "./anthropic-billing.ts";
import { toChatMessages } from "./anthropic-content.ts";
import { COUNTED, type Counted, MESSAGES, type Messages } from "./anthropic-shape.ts";
import { toChatTools } from "./anthropic-tools.ts";
import type { JsonObject } from "./json.ts";
import { type Checked, checkBody, type Refused, unsupported } from "./refusal.ts";

export interface ChatFromAnthropic {
  readonly ok: true;
  readonly path: "/v1/chat/completions";
  readonly body: JsonObject;
  readonly stream: boolean;
  /** What a whole answer of llama-server repeats in front (facts/llamacpp.md j); an Ollama node does not. */
  readonly prefill: string;
}

export interface CountFromAnthropic {
  readonly ok: true;
  readonly path: "/v1/chat/completions/input_tokens";
  readonly body: JsonObject;
}

/** A body of `POST /v1/messages`; Claude Code's billing block is left out. */
export function fromAnthropicRequest(body: unknown): ChatFromAnthropic | Refused {
  const checked = read(MESSAGES, body);
  if (!checked.ok) return checked;
  const request = checked.value;
  const prompt = promptOf(request);
  if (prompt instanceof SynapticError) return { ok: false, error: prompt };
  const stream = request.stream ?? false;
  return {
    ok: true,
    path: "/v1/chat/completions",
    body: { ...prompt.fields, ...samplingOf(request), ...(stream ? STREAMED : {}) },
    stream,
    prefill: prompt.prefill,
  };
}

/** A body of `POST /v1/messages/count_tokens`, for llama-server: it counts what the translated request would have. */
export function fromAnthropicCount(body: unknown): CountFromAnthropic | Refused {
  const checked = read(COUNTED, body);
  if (!checked.ok) return checked;
  const prompt = promptOf(checked.value);
  if (prompt instanceof SynapticError) return { ok: false, error: prompt };
  return { ok: true, path: "/v1/chat/completions/input_tokens", body: prompt.fields };
}

const STREAMED: JsonObject = { stream: true, stream_options: { include_usage: true } };

function read<Request>(shape: z.ZodType<Request>, body: unknown): Checked<Request> {
  return checkBody(shape, stripBilling(body));
}

interface Prompt {
  readonly fields: JsonObject;
  readonly prefill: string;
}

function promptOf(request: Counted): Prompt | SynapticError {
  if (request.mcp_servers && request.mcp_servers.length > 0) {
    return unsupported("Cannot use 'mcp_servers': only Anthropic itself connects to them", { param: "mcp_servers" })
      .error;
  }
  const content = toChatMessages(request);
  if (content instanceof SynapticError) return content;
  const tools = toChatTools(request);
  if (tools instanceof SynapticError) return tools;
  const { model, chat_template_kwargs: kwargs } = request;
  const format = request.output_config?.format ?? request.output_format;
  const fields: JsonObject = {
    ...(model && { model }),
    messages: content.messages,
    ...tools,
    ...thinkingOf(request),
    ...(format && { response_format: { type: "json_schema", json_schema: { name: "answer", schema: format.schema } } }),
    ...(kwargs && { chat_template_kwargs: kwargs }),
  };
  return { fields, prefill: content.prefill };
}

/** Without a word about it, a model does as it does by default, as with llama-server's and Ollama's own endpoints. */
function thinkingOf({ thinking, output_config }: Counted): JsonObject {
  const effort = output_config?.effort;
  if (thinking?.type === "disabled") return { reasoning_effort: "none" };
  return {
    ...(effort && { reasoning_effort: effort }),
    ...(thinking?.type === "enabled" && { thinking_budget_tokens: thinking.budget_tokens }),
  };
}

function samplingOf(request: Messages): JsonObject {
  const { max_tokens, stop_sequences: stop } = request;
  const passed = (["temperature", "top_p", "top_k", "min_p", "seed"] as const).flatMap((key) => {
    const value = request[key];
    return typeof value === "number" ? [[key, value] as const] : [];
  });
  return {
    max_tokens,
    ...Object.fromEntries(passed),
    // llama-server tells which one was met only when asked so; the chat API has no field for it.
    ...(stop && stop.length > 0 && { stop, verbose: true }),
  };
}
