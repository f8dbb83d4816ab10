/** The stream of an OpenAI-speaking upstream as Ollama's lines of JSON. Pure. */
import type { SynapticError } from "../errors.ts";
import type { AnswerEvent, Counts } from "./answer-events.ts";
import {
  brokenCalls,
  EMPTY_PIECE,
  type OllamaAnswerOptions,
  ollamaEnd,
  ollamaPiece,
  type Piece,
} from "./ollama-answer.ts";
import { toOllama } from "./ollama-error.ts";
import { createOpenAiReader, unreadable } from "./openai-events.ts";
import type { StreamTranslator } from "./types.ts";
import { createCallCollector } from "./whole-calls.ts";

/** Text goes out as it comes; calls when they are whole, before the last line, since clients look for them on any. */
export function createOllamaStream(options: OllamaAnswerOptions): StreamTranslator {
  const reader = createOpenAiReader();
  const calls = createCallCollector();
  let reason: string | null = null;
  let counts: Counts | null = null;
  let firstAtMs: number | null = null;
  let ended = false;

  const piece = (part: Partial<Piece>): string => {
    return line(ollamaPiece(options, { ...EMPTY_PIECE, ...part }, options.nowMs()));
  };

  const fail = (error: SynapticError): string => {
    if (ended) return "";
    ended = true;
    return line(toOllama(error, options.model).body);
  };

  const write = (event: AnswerEvent): string => {
    if (ended) return "";
    switch (event.tag) {
      case "delta": {
        firstAtMs ??= options.nowMs();
        const { text, reasoning, logprobs, toolCalls } = event;
        if (!calls.add(toolCalls)) return fail(unreadable("its tool calls have no end"));
        const says = text !== "" || reasoning !== "" || logprobs.length > 0;
        return says ? piece({ text, reasoning, logprobs }) : "";
      }
      case "finish": {
        reason = event.reason;
        const { calls: whole, broken } = calls.finish();
        if (broken.length > 0 && reason !== "length") return fail(brokenCalls());
        return whole.length > 0 ? piece({ calls: whole }) : "";
      }
      case "counts":
        counts = event.counts;
        return "";
      case "done":
        ended = true;
        return line(ollamaEnd(options, EMPTY_PIECE, { reason: reason ?? "stop", counts, firstAtMs }));
      case "failed":
        return fail(event.error);
    }
  };

  return {
    push: (bytes) => (ended ? "" : reader.push(bytes).map(write).join("")),
    end: () => (ended ? "" : reader.end().map(write).join("")),
    fail,
    // A blank line would be fatal for most clients, a piece without text is nothing to all (facts/clients.md 0.4).
    keepAlive: () => (ended ? "" : piece({})),
  };
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
