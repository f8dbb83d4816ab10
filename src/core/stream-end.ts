/** How a stream of server-sent events ends, told from its last bytes; cheap enough to be asked for each chunk. Pure. */
import type { SynapticError } from "./errors.ts";

/** `event`: after a whole event, though without `[DONE]`; `broken`: within one. */
export type Ending = "done" | "error" | "event" | "broken";

export interface Tail {
  push(chunk: Uint8Array): void;
  ending(): Ending;
  /** The error that the upstream ended it with itself, where that passed to the client as it was. */
  failure?(): SynapticError | null;
}

/** More than an error frame of llama-server's has. Small, since each stream has one: 8 KiB took 30 us to make. */
const KEPT_BYTES = 480;

/** Keeps the last bytes of a stream, however they are cut into chunks. */
export function createTail(): Tail {
  const kept = new Uint8Array(2 * KEPT_BYTES);
  let length = 0;
  return {
    push(chunk) {
      const last = chunk.length > KEPT_BYTES ? chunk.subarray(-KEPT_BYTES) : chunk;
      if (length + last.length > kept.length) {
        kept.copyWithin(0, length - KEPT_BYTES, length);
        length = KEPT_BYTES;
      }
      kept.set(last, length);
      length += last.length;
    },
    ending: () => endingOf(new TextDecoder().decode(kept.subarray(0, length)).replaceAll("\r\n", "\n")),
  };
}

function endingOf(text: string): Ending {
  const trimmed = text.trimEnd();
  const lastLine = trimmed.slice(trimmed.lastIndexOf("\n") + 1);
  if (/^data: ?\[DONE\]$/.test(lastLine)) return "done";
  if (text !== "" && !text.endsWith("\n\n")) return "broken";
  return lastLine.startsWith(ERROR_MARK) ? "error" : "event";
}

const ERROR_MARK = 'data: {"error"';
const ERROR_BYTES = new TextEncoder().encode(ERROR_MARK);
const LINE_FEED = 10;

/** Where the last event of a chunk begins when it is an error of llama-server's, which is always the last one of its
 *  stream; -1 otherwise. A text within an event cannot look like it: there, quotes and line feeds are escaped. */
export function errorFrameAt(chunk: Uint8Array): number {
  if (chunk.length < ERROR_BYTES.length) return -1;
  // The event's own line feeds, one or two, are passed over.
  const start = chunk.lastIndexOf(LINE_FEED, chunk.length - 3) + 1;
  // The byte in which all other events differ comes first: `data: {"choices"`.
  for (let i = ERROR_BYTES.length - 1; i >= 0; i--) {
    if (chunk[start + i] !== ERROR_BYTES[i]) return -1;
  }
  return start;
}

const COLON = 58;

/** llama-server's own keep-alive, `:\n\n` once or more: no sign of progress (facts/llamacpp.md c). */
export function isPing(chunk: Uint8Array): boolean {
  return chunk[0] === COLON && chunk[1] === LINE_FEED && chunk[chunk.length - 3] === COLON;
}
