/** The hot path: an upstream's stream to the client, byte for byte, or translated where their dialects differ. */
import { type SynapticError, wrapError } from "../core/errors.ts";
import type { SentEvents } from "../core/sent-events.ts";
import { errorFrameAt, isPing, type Tail } from "../core/stream-end.ts";
import type { StreamTranslator } from "../core/translate/types.ts";
import { fromErrorFrame } from "../core/upstream-error.ts";
import { waitWords } from "../core/wait-words.ts";
import type { Outcome } from "../engine/pool.ts";
import type { Clock } from "../engine/ports.ts";
import type { Call } from "./call.ts";
import { every } from "./every.ts";
import { type Answer, answerOf, type ChunkReader, type Opened, type Sink } from "./incoming.ts";
import { Resuming } from "./resume.ts";
import type { RuntimeView } from "./runtime-view.ts";

/** Between signs of life while a model loads or its slots are taken; clients and proxies give up after 30 s of silence at the earliest. */
const COMMENT_MS = 5_000;

export interface Relaying {
  readonly call: Call;
  readonly opening: Promise<Opened>;
  /** The grace is over: comments keep the client until somebody answers. */
  readonly late: boolean;
}

/** Writes the upstream's answer as it comes, comments before it when it is late; always ends the stream. One whose
 *  coordinator dies goes on with the next one where it can. */
export async function relay(view: RuntimeView, { call, opening, late }: Relaying, out: Sink): Promise<void> {
  const { client } = call.request;
  const tail = client.tail();
  const stopComments = late ? startComments(view.ports.clock, call, out) : () => {};
  let answer: Answer | null = null;
  let translator: StreamTranslator | null = null;
  let failure: SynapticError | null = null;
  let outcome: Outcome = "answered";
  try {
    answer = answerOf(await opening);
    stopComments();
    const resuming = new Resuming(view, call, { out, asked: answer.place.asked });
    translator = answer.place.asked.translation?.stream() ?? null;
    for (let isOpen = true; isOpen; ) {
      const pumping = { call, sent: resuming.sent, reader: answer.reader, out, clock: view.ports.clock };
      try {
        failure = await (translator ? pumpThrough(translator, pumping) : pump(tail, pumping));
        isOpen = false;
      } catch (thrown) {
        answer = await resuming.after(thrown, answer.place);
      }
    }
    if (failure) outcome = (await answer.place.judge(failure)).outcome;
  } catch (error) {
    // Whoever answered has been released by then, as what it deserves.
    failure = wrapError("internal", "Cannot answer", error);
  } finally {
    stopComments();
    answer?.place.release(outcome);
    call.end(failure);
    const isTold = translator === null && tail.ending() === "error";
    if (failure && !isTold) out.write(translator ? translator.fail(failure) : client.failure(failure, tail.ending()));
    out.close();
  }
}

/** The first comment is written at once: Bun holds the headers back until there is something to send. */
function startComments(clock: Clock, call: Call, out: Sink): () => void {
  const { client, way } = call.request;
  const say = (): void => {
    out.write(client.waiting(waitWords(call.queued(), way.load())));
    out.flush();
  };
  say();
  return every(clock, COMMENT_MS, say);
}

interface Pumping {
  readonly call: Call;
  readonly sent: SentEvents;
  readonly reader: ChunkReader;
  readonly out: Sink;
  readonly clock: Clock;
}

/** Bytes through, with back-pressure. Returns an error of the upstream's own, which ends its stream; null after a good
 *  end. @throws when the stream broke. */
async function pump(tail: Tail, { call, sent, reader, out }: Pumping): Promise<SynapticError | null> {
  try {
    for (;;) {
      const { value: chunk } = await reader.read();
      if (chunk && !isPing(chunk)) call.heard();
      const value = chunk ? sent.pass(chunk) : sent.rest();
      const errorAt = errorFrameAt(value);
      const error = errorAt < 0 ? null : fromErrorFrame(new TextDecoder().decode(value.subarray(errorAt)));
      const passed = error ? value.subarray(0, errorAt) : value;
      if (passed.length > 0) {
        tail.push(passed);
        const written = out.write(passed);
        out.flush();
        if (typeof written !== "number") await call.taken(written);
      }
      if (error) return error;
      if (!chunk) break;
    }
  } finally {
    // After a good end it does nothing; the stream of a call that was cut fails with the reason that is known already.
    reader.cancel().catch(() => {});
  }
  const ending = tail.ending();
  if (ending === "done" || ending === "error") return tail.failure?.() ?? null;
  throw new Error("the answer ended in the middle");
}

/** The same where each piece has another form in the client's dialect. Signs of life of the upstream's do not pass, so they
 *  are given here. Returns what the translation failed with, which the client has been told already. @throws when the
 *  stream broke. */
async function pumpThrough(
  translator: StreamTranslator,
  { call, sent, reader, out, clock }: Pumping,
): Promise<SynapticError | null> {
  let isQuiet = true;
  const stopSigns = every(clock, COMMENT_MS, () => {
    if (isQuiet) out.write(translator.keepAlive());
    if (isQuiet) out.flush();
    isQuiet = true;
  });
  const write = async (text: string): Promise<void> => {
    if (text === "") return;
    isQuiet = false;
    const written = out.write(text);
    out.flush();
    if (typeof written !== "number") await call.taken(written);
  };
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (value && !isPing(value)) call.heard();
      await write(translator.push(done || !value ? sent.rest() : sent.pass(value)));
      if (done || translator.failure()) break;
    }
  } finally {
    stopSigns();
    reader.cancel().catch(() => {});
  }
  await write(translator.end());
  return translator.failure();
}
