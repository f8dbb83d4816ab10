/** What a Responses answer consists of: its items and itself. Pure. */
import type { Counts } from "./answer-events.ts";
import type { AnswerIdentity } from "./answer-identity.ts";
import type { JsonObject } from "./json.ts";
import type { AnswerFinish } from "./message-translator.ts";

export type ItemStatus = "in_progress" | "completed" | "incomplete";

/** Thoughts go as their own summary: that is what the AI SDK and Codex show, and what they send back. */
export function reasoningItem(id: string, text: string | null): JsonObject {
  return { id, type: "reasoning", summary: text === null ? [] : [summaryPart(text)], encrypted_content: null };
}

export function summaryPart(text: string): JsonObject {
  return { type: "summary_text", text };
}

export function messageItem(id: string, text: string | null, status: ItemStatus): JsonObject {
  return { id, type: "message", status, role: "assistant", content: text === null ? [] : [textPart(text)] };
}

export function textPart(text: string): JsonObject {
  return { type: "output_text", text, annotations: [], logprobs: [] };
}

export interface CallNames {
  readonly id: string;
  readonly callId: string;
  readonly name: string;
}

export function callItem({ id, callId, name }: CallNames, text: string, status: ItemStatus): JsonObject {
  return { id, type: "function_call", status, arguments: text, call_id: callId, name };
}

export interface ResponseState {
  readonly status: "in_progress" | "completed" | "incomplete" | "failed";
  readonly output: readonly JsonObject[];
  readonly counts?: Counts | null;
  readonly finish?: AnswerFinish;
  readonly error?: { readonly code: string; readonly message: string };
}

/** The whole object, with all fields that the SDKs read (facts/clients.md 0.9): `output` above all. */
export function responseObject(identity: AnswerIdentity, echo: JsonObject, state: ResponseState): JsonObject {
  const { status, output, counts, finish, error } = state;
  const reason = finish?.reason === "content_filter" ? "content_filter" : "max_output_tokens";
  return {
    id: `resp_${identity.id}`,
    object: "response",
    created_at: identity.createdS,
    status,
    background: false,
    error: error ?? null,
    incomplete_details: status === "incomplete" ? { reason } : null,
    ...echo,
    model: identity.model,
    output,
    usage: counts ? usageOf(counts) : null,
    user: null,
  };
}

/** A limit or a filter cut the answer off. */
export function isCut({ reason }: AnswerFinish): boolean {
  return reason === "length" || reason === "content_filter";
}

function usageOf({ promptTokens, answerTokens, cachedTokens }: Counts): JsonObject {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens ?? 0 },
    output_tokens: answerTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: promptTokens + answerTokens,
  };
}
