/** What llama-server 0.7.0 really answered (scripts/record-dialects.ts), and ways to feed it to a translator. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { StreamTranslator } from "../../../src/core/translate/types.ts";
import type { Random } from "../../fixtures/random.ts";

export function recorded(name: string): Uint8Array {
  return readFileSync(join(import.meta.dir, "recorded", `${name}.txt`));
}

export function recordedJson(name: string): unknown {
  return JSON.parse(new TextDecoder().decode(recorded(name)));
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** The bytes in pieces of random length, one byte or none among them: cut within characters, escapes and line ends. */
export function cut(bytes: Uint8Array, random: Random): readonly Uint8Array[] {
  const pieces: Uint8Array[] = [];
  const longest = random.pick([1, 2, 7, 60, 4000]);
  for (let at = 0; at < bytes.length; ) {
    const end = at + random.whole(0, longest);
    pieces.push(bytes.subarray(at, end));
    at = Math.min(end, bytes.length);
  }
  return pieces;
}

export function translate(translator: StreamTranslator, pieces: readonly Uint8Array[]): string {
  return pieces.map((piece) => translator.push(piece)).join("") + translator.end();
}

export interface NamedEvent {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The events of a stream that names each; throws at anything else, since a strict client would. */
export function eventsOf(text: string): readonly NamedEvent[] {
  if (text === "") return [];
  if (!text.endsWith("\n\n")) throw new Error("the stream ends within an event");
  return text
    .slice(0, -2)
    .split("\n\n")
    .map((event) => {
      const [, name, json] = /^event: ([\w.]+)\ndata: (.*)$/.exec(event) ?? [];
      if (!name || !json) throw new Error(`no event with a name and one line of data: ${event}`);
      return { name, data: JSON.parse(json) };
    });
}
