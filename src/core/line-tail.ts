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
      if (chunk.length === 0) return;
      const isWhole = chunk[chunk.length - 1] === LINE_FEED;
      // The line feed that ends the chunk is not the one before its last line.
      const start = chunk.lastIndexOf(LINE_FEED, isWhole ? chunk.length - 2 : chunk.length - 1) + 1;
      const isBlank = start === chunk.length - 1 && isWhole;
      if (!isBlank) {
        if (start > 0 || !isOpen) {
          pieces = [];
          bytes = 0;
        }
        const piece = start > 0 ? chunk.subarray(start) : chunk;
        bytes += piece.length;
        if (bytes <= MAX_LINE_CHARACTERS) pieces.push(piece);
        else pieces = [];
      }
      isOpen = !isWhole;
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
