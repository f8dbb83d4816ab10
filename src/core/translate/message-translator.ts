/** Translators of streams that open a message before its first piece and close it with what it took. Pure. */
import type { SynapticError } from "../errors.ts";
import type { AnswerEvent, AnswerReader, Counts } from "./answer-events.ts";
import { createTranslator } from "./stream-translator.ts";
import type { StreamTranslator } from "./types.ts";

export type AnswerDelta = Extract<AnswerEvent, { tag: "delta" }>;
export type AnswerFinish = Omit<Extract<AnswerEvent, { tag: "finish" }>, "tag">;

/** What a dialect says at each turn of an answer; an error instead of a text ends the stream with it. */
export interface MessageWriter {
  /** Called once, before all else but `error` and `keepAlive`. */
  start(): string;
  delta(delta: AnswerDelta): string | SynapticError;
  complete(finish: AnswerFinish, counts: Counts | null): string | SynapticError;
  error(error: SynapticError): string;
  keepAlive(): string;
}

/** Starts with the reader's first event; complete only when it found the upstream's stream whole. */
export function createMessageTranslator(reader: AnswerReader, writer: MessageWriter): StreamTranslator {
  let isStarted = false;
  // Said, but not yet handed over: an error at the first piece comes after it.
  let opening = "";
  let finish: AnswerFinish = { reason: "stop" };
  let counts: Counts | null = null;

  const say = (event: Exclude<AnswerEvent, { readonly tag: "failed" }>): string | SynapticError => {
    switch (event.tag) {
      case "delta":
        return writer.delta(event);
      case "finish":
        finish = event;
        return "";
      case "counts":
        counts = event.counts;
        return "";
      case "done":
        return writer.complete(finish, counts);
    }
  };
  return createTranslator(reader, {
    write(event) {
      if (!isStarted) opening = writer.start();
      isStarted = true;
      const said = say(event);
      if (typeof said !== "string") return said;
      const text = opening + said;
      opening = "";
      return text;
    },
    error: (error) => opening + writer.error(error),
    keepAlive: writer.keepAlive,
  });
}
