/** One event of an OpenAI-speaking upstream, chat, completion or llama-server's own, as what it says. Pure. */
import { z } from "zod";
import type { AnswerEvent, Counts, Logprob, ToolCallPart } from "./answer-events.ts";

const tokenSchema = z.object({
  token: z.string(),
  logprob: z.number().nullish(),
  bytes: z.array(z.number()).nullish(),
});
const logprobSchema = tokenSchema.extend({ top_logprobs: z.array(tokenSchema).nullish() });

const callSchema = z.object({
  index: z.int().min(0).nullish(),
  id: z.string().nullish(),
  function: z.object({ name: z.string().nullish(), arguments: z.string().nullish() }).nullish(),
});

const messageSchema = z.object({
  content: z.string().nullish(),
  reasoning_content: z.string().nullish(),
  // What others than llama-server call it; some send both (facts/clients.md 3).
  reasoning: z.string().nullish(),
  tool_calls: z.array(callSchema).nullish(),
});

const choiceSchema = z.object({
  index: z.int().nullish(),
  delta: messageSchema.nullish(),
  message: messageSchema.nullish(),
  text: z.string().nullish(),
  finish_reason: z.string().nullish(),
  // OpenAI's old form of completions has no `content` here.
  logprobs: z.object({ content: z.array(logprobSchema).nullish() }).nullish(),
});

const count = z.number().min(0).max(Number.MAX_SAFE_INTEGER);
const timingsSchema = z.object({
  cache_n: count.nullish(),
  prompt_n: count,
  prompt_ms: count,
  predicted_n: count,
  predicted_ms: count,
});
const usageSchema = z.object({
  prompt_tokens: count,
  completion_tokens: count.nullish(),
  prompt_tokens_details: z.object({ cached_tokens: count.nullish() }).nullish(),
});

const chunkSchema = z.object({
  choices: z.array(choiceSchema).nullish(),
  usage: usageSchema.nullish(),
  timings: timingsSchema.nullish().catch(null),
  // What llama-server adds at the end when asked with `verbose`; it also repeats the whole prompt there.
  __verbose: z.object({ stopping_word: z.string().nullish() }).nullish().catch(null),
  // llama-server's own form, that of `/infill`.
  content: z.string().nullish(),
  stop: z.boolean().nullish(),
  stop_type: z.string().nullish(),
  completion_probabilities: z.array(logprobSchema).nullish(),
});

type Chunk = z.infer<typeof chunkSchema>;
type Message = z.infer<typeof messageSchema>;
type Choice = z.infer<typeof choiceSchema>;

/** The events that a chunk stands for, or those of a whole answer; null when it is neither. Only the first choice
 *  counts: no request of ours asks for more. */
export function readOpenAiChunk(value: unknown): readonly AnswerEvent[] | null {
  const checked = chunkSchema.safeParse(value);
  if (!checked.success) return null;
  const { data } = checked;
  const counts = countsOf(data);
  const told: readonly AnswerEvent[] = counts ? [{ tag: "counts", counts }] : [];
  const stopWord = data.__verbose?.stopping_word || undefined;
  if (data.choices) return [...data.choices.filter(isFirst).flatMap((choice) => fromChoice(choice, stopWord)), ...told];
  if (typeof data.content !== "string" || typeof data.stop !== "boolean") return counts ? told : null;
  const text = delta({ content: data.content }, (data.completion_probabilities ?? []).map(toLogprob));
  if (!data.stop) return text;
  const reason = data.stop_type === "limit" ? "length" : "stop";
  // This form knows no `[DONE]`: `stop` is its end.
  return [...text, { tag: "finish", reason }, ...told, { tag: "done" }];
}

function isFirst({ index }: Choice): boolean {
  return (index ?? 0) === 0;
}

function fromChoice(choice: Choice, stopWord: string | undefined): readonly AnswerEvent[] {
  const message = choice.delta ?? choice.message ?? { content: choice.text };
  const events = delta(message, (choice.logprobs?.content ?? []).map(toLogprob));
  if (!choice.finish_reason) return events;
  return [...events, { tag: "finish", reason: choice.finish_reason, ...(stopWord && { stopWord }) }];
}

function delta(message: Message, logprobs: readonly Logprob[]): readonly AnswerEvent[] {
  const text = message.content ?? "";
  const reasoning = message.reasoning_content ?? message.reasoning ?? "";
  const toolCalls = (message.tool_calls ?? []).map(toPart);
  const isEmpty = text === "" && reasoning === "" && toolCalls.length === 0 && logprobs.length === 0;
  return isEmpty ? [] : [{ tag: "delta", text, reasoning, toolCalls, logprobs }];
}

/** Whole answers number their calls by place. */
function toPart(call: z.infer<typeof callSchema>, at: number): ToolCallPart {
  const { name, arguments: argumentsText } = call.function ?? {};
  return { index: call.index ?? at, id: call.id ?? null, name: name ?? null, argumentsText: argumentsText ?? "" };
}

function toLogprob({ top_logprobs, ...token }: z.infer<typeof logprobSchema>): Logprob {
  return { ...toToken(token), top: (top_logprobs ?? []).map(toToken) };
}

/** A probability of zero has no logarithm in JSON: null is what some send for it. */
function toToken({ token, logprob, bytes }: z.infer<typeof tokenSchema>) {
  return { token, logprob: logprob ?? LEAST_LOGPROB, bytes: bytes ?? null };
}

/** What OpenAI itself sends for a token that is not among the likeliest. */
const LEAST_LOGPROB = -9999;

/** llama-server's own figures, which Ollama counts in the same way (facts/clients.md 3a); else those of `usage`. */
function countsOf({ timings, usage }: Chunk): Counts | null {
  if (timings) {
    const cached = timings.cache_n ?? 0;
    return {
      promptTokens: timings.prompt_n + cached,
      answerTokens: timings.predicted_n,
      cachedTokens: cached,
      promptMs: timings.prompt_ms,
      answerMs: timings.predicted_ms,
    };
  }
  if (!usage) return null;
  return {
    promptTokens: usage.prompt_tokens,
    answerTokens: usage.completion_tokens ?? 0,
    cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? null,
    promptMs: null,
    answerMs: null,
  };
}
