/** Bytes as they come, cut anywhere, into whole lines of text, with a limit. Pure. */

/** As long as the `ollama` CLI takes (facts/clients.md 1a); a token is a hundred bytes, a whole tool call some thousand. */
export const MAX_LINE_CHARACTERS = 8 * 1024 ** 2;

export interface Lines {
  readonly lines: readonly string[];
  /** A line grew beyond the limit: nothing more will come of this reader. */
  readonly tooLong: boolean;
}

export interface LineReader {
  push(bytes: Uint8Array): Lines;
  /** What stands after the last line feed, once the stream is over. */
  rest(): string;
}

/** Line feeds end lines, with or without a carriage return before them; bytes that are no UTF-8 become U+FFFD. */
export function createLineReader(limit = MAX_LINE_CHARACTERS): LineReader {
  const decoder = new TextDecoder();
  // Kept in pieces: joined at each push, a long line in small chunks would cost the square of its length.
  let pieces: string[] = [];
  let length = 0;
  let tooLong = false;

  const finish = (piece: string): string => {
    const line = pieces.length === 0 ? piece : pieces.join("") + piece;
    pieces = [];
    length = 0;
    return line.endsWith("\r") ? line.slice(0, -1) : line;
  };

  return {
    push(bytes) {
      if (tooLong) return { lines: [], tooLong };
      const parts = decoder.decode(bytes, { stream: true }).split("\n");
      const last = parts.pop() ?? "";
      const lines: string[] = [];
      for (const part of parts) {
        tooLong ||= length + part.length > limit;
        if (tooLong) return { lines, tooLong };
        lines.push(finish(part));
      }
      if (last !== "") pieces.push(last);
      length += last.length;
      tooLong = length > limit;
      if (tooLong) pieces = [];
      return { lines, tooLong };
    },
    rest: () => (tooLong ? "" : finish(decoder.decode())),
  };
}
