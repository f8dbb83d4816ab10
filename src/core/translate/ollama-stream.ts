/** The stream of an OpenAI-speaking upstream as Ollama's lines of JSON. Pure. */
import type { Counts } from "./answer-events.ts";
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
import { type AnswerWriter, createTranslator } from "./stream-translator.ts";
import type { StreamTranslator } from "./types.ts";
import { createCallCollector } from "./whole-calls.ts";

/** Text goes out as it comes; calls when they are whole, before the last line, since clients look for them on any. */
export function createOllamaStream(options: OllamaAnswerOptions): StreamTranslator {
  return createTranslator(createOpenAiReader(), createOllamaWriter(options));
}

function createOllamaWriter(options: OllamaAnswerOptions): AnswerWriter {
  const calls = createCallCollector();
  let reason = "stop";
  let counts: Counts | null = null;
  let firstAtMs: number | null = null;

  const piece = (part: Partial<Piece>): string => {
    return line(ollamaPiece(options, { ...EMPTY_PIECE, ...part }, options.nowMs()));
  };

  return {
    write(event) {
      switch (event.tag) {
        case "delta": {
          firstAtMs ??= options.nowMs();
          const { text, reasoning, logprobs, toolCalls } = event;
          if (!calls.add(toolCalls)) return unreadable("its tool calls have no end");
          const says = text !== "" || reasoning !== "" || logprobs.length > 0;
          return says ? piece({ text, reasoning, logprobs }) : "";
        }
        case "finish": {
          reason = event.reason;
          const { calls: whole, broken } = calls.finish();
          if (broken.length > 0 && reason !== "length") return brokenCalls();
          return whole.length > 0 ? piece({ calls: whole }) : "";
        }
        case "counts":
          counts = event.counts;
          return "";
        case "done":
          return line(ollamaEnd(options, EMPTY_PIECE, { reason, counts, firstAtMs }));
      }
    },
    error: (error) => line(toOllama(error, options.model).body),
    // A blank line would be fatal for most clients, a piece without text is nothing to all (facts/clients.md 0.4).
    keepAlive: () => piece({}),
  };
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
