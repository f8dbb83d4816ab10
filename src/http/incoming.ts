/** An answer as it comes from whoever gives it, and where it goes. */
import type { Place } from "./way.ts";

/** To the client. */
export type Sink = ReadableStreamDirectController;

export interface ChunkReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

export interface Opened {
  readonly place: Place;
  /** Its status is a good one. */
  readonly response: Response;
  /** Of a stream, its first bytes included, which are there already. */
  readonly reader?: ChunkReader;
}

/** Who answers now, and what is still to come of the answer. */
export interface Answer {
  readonly place: Place;
  readonly reader: ChunkReader;
}

export function answerOf({ place, response, reader }: Opened): Answer {
  return { place, reader: reader ?? readerOf(response) };
}

export function readerOf(response: Response): ChunkReader {
  return response.body?.getReader() ?? textReader("");
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
