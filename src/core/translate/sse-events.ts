/** Bytes of a server-sent event stream, cut anywhere, into the data of its events. Pure. */
import { createLineReader, MAX_LINE_CHARACTERS } from "./line-reader.ts";

export interface SseData {
  readonly events: readonly string[];
  /** An event grew beyond the limit: nothing more will come. */
  readonly tooLong: boolean;
}

export interface SseReader {
  push(bytes: Uint8Array): SseData;
  /** The data of an event that no blank line ended; all SDKs take such a one (facts/clients.md 2a, P). */
  rest(): string | null;
}

/** Comments and other fields than `data` are passed over. */
export function createSseEvents(limit = MAX_LINE_CHARACTERS): SseReader {
  const reader = createLineReader(limit);
  let data: string[] = [];
  let length = 0;
  let tooLong = false;

  const take = (line: string): void => {
    if (!line.startsWith("data:")) return;
    const value = line.startsWith("data: ") ? line.slice(6) : line.slice(5);
    data.push(value);
    // Its line feed too: a million empty lines are not nothing.
    length += value.length + 1;
    tooLong ||= length > limit + 1;
  };

  const flush = (): string | null => {
    const event = data.length === 0 ? null : data.join("\n");
    data = [];
    length = 0;
    return event;
  };

  return {
    push(bytes) {
      if (tooLong) return { events: [], tooLong };
      const read = reader.push(bytes);
      const events: string[] = [];
      for (const line of read.lines) {
        if (line === "") {
          const event = flush();
          if (event !== null) events.push(event);
        } else take(line);
        if (tooLong) break;
      }
      tooLong ||= read.tooLong;
      return { events, tooLong };
    },
    rest() {
      if (tooLong) return null;
      take(reader.rest());
      return tooLong ? null : flush();
    },
  };
}
