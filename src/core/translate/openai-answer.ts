/** Answers in OpenAI's dialect: chunks of a stream, and whole ones. Pure. Shapes: facts/clients.md 2a, 3 and 5. */
import type { AnswerEvent, Counts, Logprob, TokenLogprob, ToolCallPart } from "./answer-events.ts";
import { defined, type JsonObject } from "./json.ts";

export interface OpenAiAnswerOptions {
  readonly kind: "chat" | "completion";
  /** One for all chunks, `chatcmpl-...` or `cmpl-...`; ids of tool calls are made from it. */
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  /** As the client named it. */
  readonly model: string;
  /** `stream_options.include_usage`. */
  readonly includeUsage: boolean;
  /** `parallel_tool_calls: false`: calls after the first are left out. */
  readonly oneToolCall: boolean;
}

export type Delta = Extract<AnswerEvent, { readonly tag: "delta" }>;

const FINGERPRINT = "fp_synaptic";

/** A chunk around its choices. */
export function openAiChunk({ kind, id, created, model }: OpenAiAnswerOptions, own: JsonObject): JsonObject {
  const object = kind === "chat" ? "chat.completion.chunk" : "text_completion";
  return { id, object, created, model, system_fingerprint: FINGERPRINT, ...own };
}

/** The choice of a chunk; null when nothing of it concerns the client. `offset` is where its text begins. */
export function choiceOf(options: OpenAiAnswerOptions, said: Delta, offset: number): JsonObject | null {
  const logprobs = said.logprobs.length > 0 ? logprobsOf(options, said.logprobs, offset) : null;
  if (options.kind === "completion") {
    if (said.text === "" && !logprobs) return null;
    return { index: 0, text: said.text, logprobs, finish_reason: null };
  }
  const calls = callsOf(options, said.toolCalls);
  const delta = defined({
    content: said.text === "" ? undefined : said.text,
    ...reasoningOf(said.reasoning),
    tool_calls: calls.length > 0 ? calls : undefined,
  });
  if (Object.keys(delta).length === 0 && !logprobs) return null;
  return { index: 0, delta, ...(logprobs ? { logprobs } : {}), finish_reason: null };
}

/** Under both names: the AI SDK takes either, LangChain only the first (facts/clients.md 3). */
function reasoningOf(reasoning: string): JsonObject {
  return reasoning === "" ? {} : { reasoning_content: reasoning, reasoning };
}

function callsOf(options: OpenAiAnswerOptions, parts: readonly ToolCallPart[]): readonly JsonObject[] {
  const passed = options.oneToolCall ? parts.filter(({ index }) => index === 0) : parts;
  return passed.map(({ index, id, name, argumentsText }) => ({
    index,
    id: id ?? `call_${options.id.replace(/^\w+-/, "")}_${index}`,
    type: "function",
    function: { name: name ?? "", arguments: argumentsText },
  }));
}

function logprobsOf({ kind }: OpenAiAnswerOptions, logprobs: readonly Logprob[], offset: number): JsonObject {
  if (kind === "completion") return oldLogprobs(logprobs, offset);
  const content = logprobs.map(({ top, ...token }) => ({ ...toToken(token), top_logprobs: top.map(toToken) }));
  return { content, refusal: null };
}

function toToken({ token, logprob, bytes }: TokenLogprob): JsonObject {
  return { token, logprob, bytes };
}

/** OpenAI's form from before the chat. */
function oldLogprobs(logprobs: readonly Logprob[], offset: number): JsonObject {
  let at = offset;
  const textOffset = logprobs.map(({ token }) => {
    const begins = at;
    at += token.length;
    return begins;
  });
  return {
    tokens: logprobs.map(({ token }) => token),
    token_logprobs: logprobs.map(({ logprob }) => logprob),
    top_logprobs: logprobs.map(({ top }) => Object.fromEntries(top.map(({ token, logprob }) => [token, logprob]))),
    text_offset: textOffset,
  };
}

/** The last choice: no text, only why it ends. */
export function finishChoice({ kind }: OpenAiAnswerOptions, reason: string): JsonObject {
  const own = kind === "chat" ? { delta: {} } : { text: "", logprobs: null };
  return { index: 0, ...own, finish_reason: reason };
}

/** All three counts, since some clients pop them without asking (facts/clients.md 1a, llm). */
export function usageOf(counts: Counts | null): JsonObject {
  const prompt = counts?.promptTokens ?? 0;
  const answer = counts?.answerTokens ?? 0;
  const cached = counts?.cachedTokens ?? null;
  return {
    prompt_tokens: prompt,
    completion_tokens: answer,
    total_tokens: prompt + answer,
    ...(cached === null ? {} : { prompt_tokens_details: { cached_tokens: cached } }),
  };
}

/** A whole answer from the events of one. */
export function wholeAnswer(options: OpenAiAnswerOptions, deltas: readonly Delta[], ended: Ended): JsonObject {
  const said: Delta = {
    tag: "delta",
    text: deltas.map(({ text }) => text).join(""),
    reasoning: deltas.map(({ reasoning }) => reasoning).join(""),
    toolCalls: deltas.flatMap(({ toolCalls }) => toolCalls),
    logprobs: deltas.flatMap(({ logprobs }) => logprobs),
  };
  const { kind, id, created, model } = options;
  const object = kind === "chat" ? "chat.completion" : "text_completion";
  const logprobs = said.logprobs.length > 0 ? logprobsOf(options, said.logprobs, 0) : null;
  const own = kind === "chat" ? { message: messageOf(options, said) } : { text: said.text };
  const choice = { index: 0, ...own, logprobs, finish_reason: ended.reason };
  const usage = usageOf(ended.counts);
  return { id, object, created, model, system_fingerprint: FINGERPRINT, choices: [choice], usage };
}

export interface Ended {
  readonly reason: string;
  readonly counts: Counts | null;
}

function messageOf(options: OpenAiAnswerOptions, { text, reasoning, toolCalls }: Delta): JsonObject {
  const calls = callsOf(options, toolCalls).map(({ index, ...call }) => call);
  return defined({
    role: "assistant",
    content: text === "" && calls.length > 0 ? null : text,
    refusal: null,
    ...reasoningOf(reasoning),
    tool_calls: calls.length > 0 ? calls : undefined,
  });
}
