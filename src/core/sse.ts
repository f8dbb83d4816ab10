/** Reads server-sent events from pieces of text; for our own reports, never on the way to a client. Pure. */

/** Splits pieces into the data of whole events; comments and other fields are passed over. */
export function createSseReader(): (piece: string) => readonly string[] {
  let rest = "";
  return (piece) => {
    const events = (rest + piece).split("\n\n");
    rest = events.pop() ?? "";
    return events.flatMap((event) => {
      const data = event.split("\n").filter((line) => line.startsWith("data:"));
      return data.length === 0 ? [] : [data.map((line) => line.slice(5).trimStart()).join("\n")];
    });
  };
}
