/** Reads server-sent events from pieces of text; for our own reports, never on the way to a client. Pure. */
import { SynapticError } from "./errors.ts";

const MAX_EVENT_CHARACTERS = 1024 ** 2;

/** Splits pieces into the data of whole events; comments and other fields are passed over.
 *  The function throws SynapticError `upstream_error` at an event of more than a million characters. */
export function createSseReader(): (piece: string) => readonly string[] {
  let rest = "";
  return (piece) => {
    const events = (rest + piece).replaceAll("\r\n", "\n").split("\n\n");
    rest = events.pop() ?? "";
    if (rest.length > MAX_EVENT_CHARACTERS) {
      throw new SynapticError("upstream_error", "Cannot read the stream: an event has no end");
    }
    return events.flatMap((event) => {
      const data = event.split("\n").filter((line) => line.startsWith("data:"));
      return data.length === 0 ? [] : [data.map((line) => line.slice(5).replace(/^ /, "")).join("\n")];
    });
  };
}
