/** A reader of one dialect and a writer of another, as one translator that ends exactly once. Pure. */
import { SynapticError } from "../errors.ts";
import type { AnswerEvent, AnswerReader } from "./answer-events.ts";
import type { StreamTranslator } from "./types.ts";

export interface AnswerWriter {
  /** What the client gets for an event, or why the answer fails with it. After `done` nothing is asked any more. */
  write(event: Exclude<AnswerEvent, { readonly tag: "failed" }>): string | SynapticError;
  error(error: SynapticError): string;
  keepAlive(): string;
}

/** Whatever fails, reader, writer or caller: one error, and nothing after it; nothing after a good end either. */
export function createTranslator(reader: AnswerReader, writer: AnswerWriter): StreamTranslator {
  let ended = false;
  let failure: SynapticError | null = null;

  const fail = (error: SynapticError): string => {
    if (ended) return "";
    ended = true;
    failure = error;
    return writer.error(error);
  };

  const take = (event: AnswerEvent): string => {
    if (ended) return "";
    if (event.tag === "failed") return fail(event.error);
    const written = writer.write(event);
    if (written instanceof SynapticError) return fail(written);
    ended = event.tag === "done";
    return written;
  };

  return {
    push: (bytes) => (ended ? "" : reader.push(bytes).map(take).join("")),
    end: () => (ended ? "" : reader.end().map(take).join("")),
    fail,
    keepAlive: () => (ended ? "" : writer.keepAlive()),
    failure: () => failure,
  };
}
