/** The events of an answer, gathered to a whole one. Pure. */
import { SynapticError } from "../errors.ts";
import type { AnswerEvent, Counts } from "./answer-events.ts";
import { createCallSequence } from "./call-sequence.ts";
import { isObject } from "./json.ts";
import type { AnswerFinish } from "./message-translator.ts";
import { readOpenAiChunk } from "./openai-chunk.ts";
import { endedEarly, failureOf, unreadable } from "./openai-events.ts";

export interface GatheredCall {
  readonly id: string | null;
  readonly name: string;
  /** As the model wrote it. */
  readonly argumentsText: string;
}

export interface GatheredAnswer {
  readonly reasoning: string;
  readonly text: string;
  readonly calls: readonly GatheredCall[];
  readonly finish: AnswerFinish;
  readonly counts: Counts | null;
}

/** A whole chat answer of llama-server as events, as `createNodeLines` has those of a node. */
export function readOpenAiAnswer(body: unknown): readonly AnswerEvent[] {
  if (isObject(body) && body.error) return [{ tag: "failed", error: failureOf(body) }];
  return readOpenAiChunk(body) ?? [{ tag: "failed", error: unreadable("it is no chat completion") }];
}

/** One that does not say why it ended was broken off. */
export function gatherAnswer(events: readonly AnswerEvent[]): GatheredAnswer | SynapticError {
  const failed = events.find((event) => event.tag === "failed");
  if (failed) return failed.error;
  const finish = events.find((event) => event.tag === "finish");
  if (!finish) return endedEarly();
  const deltas = events.filter((event) => event.tag === "delta");
  const calls = callsOf(deltas.flatMap(({ toolCalls }) => toolCalls));
  if (calls instanceof SynapticError) return calls;
  return {
    reasoning: deltas.map(({ reasoning }) => reasoning).join(""),
    text: deltas.map(({ text }) => text).join(""),
    calls,
    finish,
    counts: events.findLast((event) => event.tag === "counts")?.counts ?? null,
  };
}

type Parts = Extract<AnswerEvent, { tag: "delta" }>["toolCalls"];

function callsOf(parts: Parts): readonly GatheredCall[] | SynapticError {
  const sequence = createCallSequence();
  const calls: { id: string | null; name: string; argumentsText: string }[] = [];
  for (const part of parts) {
    const steps = sequence.take(part);
    if (steps === null) return unreadable("its tool calls are mixed up");
    for (const step of steps) {
      const last = calls.at(-1);
      if (step.tag === "open") calls.push({ id: step.id, name: step.name, argumentsText: "" });
      else if (last) last.argumentsText += step.text;
    }
  }
  return sequence.isIncomplete() ? unreadable("a tool call has no name") : calls;
}
