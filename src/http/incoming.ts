/** An answer as it comes from whoever gives it, and where it goes. */
import type { Opened } from "./upstream.ts";
import type { Place } from "./way.ts";

/** To the client. */
export type Sink = ReadableStreamDirectController;

export interface ChunkReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

/** Who answers now, and what is still to come of the answer. */
export interface Answer {
  readonly place: Place;
  readonly reader: ChunkReader;
}

export function answerOf({ place, response }: Opened): Answer {
  return { place, reader: response.body?.getReader() ?? textReader("") };
}

const ENCODER = new TextEncoder();

/** A text that is there already. */
export function textReader(text: string): ChunkReader {
  let left = text === "" ? [] : [ENCODER.encode(text)];
  return {
    async read() {
      const [value] = left;
      left = [];
      return value ? { done: false, value } : { done: true };
    },
    async cancel() {},
  };
}
