/** Keeps an answer to one tool call for clients that want no more, where the upstream takes no notice of that. Pure. */
import type { AnswerEvent, AnswerReader } from "./answer-events.ts";

/** The same events without the calls after the first: Ollama knows no `parallel_tool_calls` (facts/clients.md 3). */
export function firstCallOf(events: readonly AnswerEvent[]): readonly AnswerEvent[] {
  return events.map((event) =>
    event.tag === "delta" ? { ...event, toolCalls: event.toolCalls.filter(({ index }) => index === 0) } : event,
  );
}

/** The same for a stream. */
export function firstCallReader(reader: AnswerReader): AnswerReader {
  return { push: (bytes) => firstCallOf(reader.push(bytes)), end: () => firstCallOf(reader.end()) };
}
