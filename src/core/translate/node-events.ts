/** The stream of an Ollama node, a JSON object a line, as events of an answer; what ends early is a failure. Pure. */
import { z } from "zod";
import type { AnswerEvent, AnswerReader, Counts, ToolCallPart } from "./answer-events.ts";
import { isObject, readJson, writeJson } from "./json.ts";
import { createLineReader } from "./line-reader.ts";
import { fromOllama, type NodeErrorContext } from "./node-error.ts";
import { endedEarly, unreadable } from "./openai-events.ts";

const tokenSchema = z.object({
  token: z.string(),
  logprob: z.number(),
  bytes: z.array(z.number()).nullish(),
});

const callsSchema = z
  .array(
    z.object({
      id: z.string().nullish(),
      function: z.object({ name: z.string(), arguments: z.record(z.string(), z.unknown()).nullish() }),
    }),
  )
  .nullish();

const count = z.number().min(0).max(Number.MAX_SAFE_INTEGER).nullish();

const lineSchema = z.object({
  message: z
    .object({ content: z.string().nullish(), thinking: z.string().nullish(), tool_calls: callsSchema })
    .nullish(),
  response: z.string().nullish(),
  thinking: z.string().nullish(),
  tool_calls: callsSchema,
  done: z.boolean().nullish(),
  done_reason: z.string().nullish(),
  prompt_eval_count: count,
  prompt_eval_duration: count,
  eval_count: count,
  eval_duration: count,
  logprobs: z.array(tokenSchema.extend({ top_logprobs: z.array(tokenSchema).nullish() })).nullish(),
});

type Line = z.infer<typeof lineSchema>;

/** Whole is what has a line with `done: true`: Ollama ends some answers that went wrong without a word
 *  (facts/clients.md 0.2). */
export function createNodeReader(context: NodeErrorContext): AnswerReader {
  const reader = createLineReader();
  const readLine = createNodeLines(context);
  let ended = false;

  const read = (line: string): readonly AnswerEvent[] => {
    if (ended || line.trim() === "") return [];
    const events = readLine(readJson(line));
    ended = events.some(({ tag }) => tag === "done" || tag === "failed");
    return events;
  };

  const failOnce = (event: AnswerEvent): readonly AnswerEvent[] => {
    if (ended) return [];
    ended = true;
    return [event];
  };

  return {
    push(bytes) {
      if (ended) return [];
      const { lines, tooLong } = reader.push(bytes);
      const events = lines.flatMap(read);
      return tooLong ? [...events, ...failOnce({ tag: "failed", error: unreadable("a line has no end") })] : events;
    },
    end() {
      const rest = ended ? "" : reader.rest();
      const events = readJson(rest) === undefined ? [] : read(rest);
      return [...events, ...failOnce({ tag: "failed", error: endedEarly() })];
    },
  };
}

/** Reads one line after the other, or a whole answer as the only one. */
export function createNodeLines(context: NodeErrorContext): (value: unknown) => readonly AnswerEvent[] {
  let calls = 0;
  return (value) => {
    if (isObject(value) && value.error) {
      return [{ tag: "failed", error: fromOllama(500, writeJson(value) ?? "", context) }];
    }
    const checked = lineSchema.safeParse(value);
    if (!checked.success) return [{ tag: "failed", error: unreadable("a line is no piece of an answer") }];
    const parts = partsOf(checked.data, calls);
    if (!parts) return [{ tag: "failed", error: unreadable("the arguments of a tool call are nested too deeply") }];
    calls += parts.length;
    return eventsOf(checked.data, parts, calls > 0);
  };
}

/** Its own index begins anew with each line in some of Ollama's parsers: the place in the answer counts. */
function partsOf({ message, tool_calls }: Line, before: number): readonly ToolCallPart[] | null {
  const parts: ToolCallPart[] = [];
  for (const { id, function: called } of message?.tool_calls ?? tool_calls ?? []) {
    const argumentsText = writeJson(called.arguments ?? {});
    if (argumentsText === null) return null;
    parts.push({ index: before + parts.length, id: id || null, name: called.name, argumentsText });
  }
  return parts;
}

function eventsOf(line: Line, toolCalls: readonly ToolCallPart[], hasCalls: boolean): readonly AnswerEvent[] {
  const text = line.message?.content ?? line.response ?? "";
  const reasoning = line.message?.thinking ?? line.thinking ?? "";
  const logprobs = (line.logprobs ?? []).map(({ top_logprobs, ...token }) => ({
    ...toToken(token),
    top: (top_logprobs ?? []).map(toToken),
  }));
  const says = text !== "" || reasoning !== "" || toolCalls.length > 0 || logprobs.length > 0;
  const delta: readonly AnswerEvent[] = says ? [{ tag: "delta", text, reasoning, toolCalls, logprobs }] : [];
  if (line.done !== true) return delta;
  const reason = line.done_reason === "length" ? "length" : hasCalls ? "tool_calls" : "stop";
  return [...delta, { tag: "finish", reason }, { tag: "counts", counts: countsOf(line) }, { tag: "done" }];
}

function toToken({ token, logprob, bytes }: z.infer<typeof tokenSchema>) {
  return { token, logprob, bytes: bytes ?? null };
}

function countsOf(line: Line): Counts {
  const toMs = (ns: number | null | undefined): number | null => (ns === undefined || ns === null ? null : ns / 1e6);
  return {
    promptTokens: line.prompt_eval_count ?? 0,
    answerTokens: line.eval_count ?? 0,
    cachedTokens: null,
    promptMs: toMs(line.prompt_eval_duration),
    answerMs: toMs(line.eval_duration),
  };
}
