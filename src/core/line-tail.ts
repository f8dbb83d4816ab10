/** How a stream of JSON lines ends, told from its last line; the others are never read. Pure. */
import type { SynapticError } from "./errors.ts";
import type { Ending, Tail } from "./stream-end.ts";
import { isObject, type JsonObject, readJson } from "./translate/json.ts";
import { MAX_LINE_CHARACTERS } from "./translate/line-reader.ts";

const LINE_FEED = 10;

/** What the last line of a whole stream says: of an answer `done: true`, of a pull or the like `status: "success"`. */
export type WholeBy = "done" | "status";

/** `toError` reads the line of an error that the upstream itself ended its stream with. */
export function createLineTail(toError: (line: string) => SynapticError, wholeBy: WholeBy = "done"): Tail {
  const isEnd = (line: JsonObject) => (wholeBy === "done" ? line.done === true : line.status === "success");
  // The last line that has anything, in the pieces it came in: no byte is copied while the stream runs.
  let pieces: Uint8Array[] = [];
  let bytes = 0;
  let isOpen = false;

  const text = (): string => {
    const decoder = new TextDecoder();
    return pieces.map((piece) => decoder.decode(piece, { stream: true })).join("") + decoder.decode();
  };
  const last = (): unknown => readJson(text());

  return {
    push(chunk) {
      let end = chunk.length;
      while (end > 0 && chunk[end - 1] === LINE_FEED) end--;
      if (end > 0) {
        const start = chunk.subarray(0, end).lastIndexOf(LINE_FEED) + 1;
        if (start > 0 || !isOpen) {
          pieces = [];
          bytes = 0;
        }
        bytes += end - start;
        if (bytes <= MAX_LINE_CHARACTERS) pieces.push(chunk.subarray(start, end));
        else pieces = [];
      }
      if (chunk.length > 0) isOpen = end === chunk.length;
    },
    ending(): Ending {
      const line = last();
      if (isObject(line) && line.error) return "error";
      if (isObject(line) && isEnd(line)) return "done";
      return isOpen ? "broken" : "event";
    },
    failure() {
      const line = last();
      return isObject(line) && line.error ? toError(text()) : null;
    },
  };
}
