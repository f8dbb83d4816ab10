/** A reader for a stream whose upstream is not known yet: its writer may speak before. Pure. */
import type { AnswerReader } from "./answer-events.ts";
import { endedEarly } from "./openai-events.ts";

export interface LateReader extends AnswerReader {
  /** What reads from now on. */
  attach(reader: AnswerReader): void;
}

/** Before a reader is attached it takes nothing, and its end is an early one. */
export function createLateReader(): LateReader {
  let inner: AnswerReader | null = null;
  return {
    attach(reader) {
      inner = reader;
    },
    push: (bytes) => inner?.push(bytes) ?? [],
    end: () => inner?.end() ?? [{ tag: "failed", error: endedEarly() }],
  };
}
