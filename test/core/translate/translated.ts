/** Runs translators over recorded streams, and reads what comes out of them. */
import type { OllamaAnswerOptions } from "../../../src/core/translate/ollama-answer.ts";
import type { FromNodeOptions } from "../../../src/core/translate/openai-stream.ts";
import type { StreamTranslator } from "../../../src/core/translate/types.ts";

export const START_MS = Date.UTC(2026, 10, 24, 18);

/** The clock goes on by 10 ms whenever it is asked. */
export function ollamaOptions(own: Partial<OllamaAnswerOptions> = {}): OllamaAnswerOptions {
  let nowMs = START_MS + 2000;
  return {
    kind: "chat",
    model: "llama3.2:1b",
    topLogprobs: false,
    startedAtMs: START_MS,
    nowMs: () => (nowMs += 10),
    loadMs: () => 1500,
    ...own,
  };
}

/** With a clock that stands still. */
export function stillOllamaOptions(own: Partial<OllamaAnswerOptions> = {}): OllamaAnswerOptions {
  return ollamaOptions({ nowMs: () => START_MS + 2000, ...own });
}

export function nodeOptions(own: Partial<FromNodeOptions> = {}): FromNodeOptions {
  return {
    kind: "chat",
    id: "chatcmpl-abc123",
    created: 1_795_557_728,
    model: "llama3.2:1b",
    includeUsage: true,
    oneToolCall: false,
    contextSize: 8192,
    ...own,
  };
}

const ENCODER = new TextEncoder();

/** All that a client gets for a stream. */
export function run(translator: StreamTranslator, pieces: string | readonly Uint8Array[]): string {
  const bytes = typeof pieces === "string" ? [ENCODER.encode(pieces)] : pieces;
  return bytes.map((piece) => translator.push(piece)).join("") + translator.end();
}

export type Read = Readonly<Record<string, unknown>>;

/** Lines of JSON; a line that is none fails the test. */
export function linesOf(text: string): readonly Read[] {
  if (text !== "" && !text.endsWith("\n")) throw new Error("the last line has no end");
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

/** The data of all events; whatever is no event and no comment fails the test. */
export function eventsOf(text: string): readonly (Read | "[DONE]")[] {
  if (text !== "" && !text.endsWith("\n\n")) throw new Error("the last event has no end");
  return text
    .split("\n\n")
    .slice(0, -1)
    .filter((event) => !event.startsWith(":"))
    .map((event) => {
      if (!event.startsWith("data: ") || event.includes("\n")) throw new Error(`no event: ${event}`);
      return event === "data: [DONE]" ? "[DONE]" : JSON.parse(event.slice(6));
    });
}
