/** The hot path: an upstream's stream to the client, byte for byte, or translated where their dialects differ. */
import { type SynapticError, wrapError } from "../core/errors.ts";
import { errorFrameAt, isPing, type Tail } from "../core/stream-end.ts";
import type { StreamTranslator } from "../core/translate/types.ts";
import { fromErrorFrame } from "../core/upstream-error.ts";
import { waitWords } from "../core/wait-words.ts";
import type { Outcome } from "../engine/pool.ts";
import type { Clock } from "../engine/ports.ts";
import type { Call } from "./call.ts";
import type { RuntimeView } from "./runtime-view.ts";
import { judge, type Opened } from "./upstream.ts";

/** Between signs of life while a model loads or its slots are taken; clients and proxies give up after 30 s of silence at the earliest. */
const COMMENT_MS = 5_000;

type Sink = ReadableStreamDirectController;

export interface Relaying {
  readonly call: Call;
  readonly opening: Promise<Opened>;
  /** The grace is over: comments keep the client until somebody answers. */
  readonly late: boolean;
}

/** Writes the upstream's answer as it comes, comments before it when it is late; always ends the stream. */
export async function relay({ ports }: RuntimeView, { call, opening, late }: Relaying, out: Sink): Promise<void> {
  const { client } = call.request;
  const tail = client.tail();
  const stopComments = late ? startComments(ports.clock, call, out) : () => {};
  let opened: Opened | null = null;
  let translator: StreamTranslator | null = null;
  let failure: SynapticError | null = null;
  let outcome: Outcome = "answered";
  try {
    opened = await opening;
    stopComments();
    const { response, place } = opened;
    translator = place.asked.translation?.stream() ?? null;
    failure = translator
      ? await pumpThrough({ translator, call, clock: ports.clock }, response, out)
      : await pump(call, response, out, tail);
    if (failure) outcome = (await place.judge(failure)).outcome;
  } catch (error) {
    // Without a place there is nobody to ask: it is a refusal of ours.
    const verdict = opened ? await judge(call, opened.place, error) : null;
    failure = verdict?.error ?? wrapError("internal", "Cannot answer", error);
    outcome = verdict?.outcome ?? "neither";
  } finally {
    stopComments();
    opened?.place.release(outcome);
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

function every(clock: Clock, ms: number, run: () => void): () => void {
  let cancel = () => {};
  const again = (): void => {
    cancel = clock.after(ms, () => {
      run();
      again();
    });
  };
  again();
  return () => cancel();
}

/** Bytes through, with back-pressure. Returns an error of the upstream's own, which ends its stream; null after a good
 *  end. @throws when the stream broke. */
async function pump(call: Call, { body }: Response, out: Sink, tail: Tail): Promise<SynapticError | null> {
  const reader = body?.getReader();
  try {
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true };
      if (done || !value) break;
      if (!isPing(value)) call.heard();
      const errorAt = errorFrameAt(value);
      const error = errorAt < 0 ? null : fromErrorFrame(new TextDecoder().decode(value.subarray(errorAt)));
      const passed = error ? value.subarray(0, errorAt) : value;
      tail.push(passed);
      const written = out.write(passed);
      out.flush();
      if (typeof written !== "number") await call.taken(written);
      if (error) return error;
    }
  } finally {
    // After a good end it does nothing; the stream of a call that was cut fails with the reason that is known already.
    reader?.cancel().catch(() => {});
  }
  const ending = tail.ending();
  if (ending === "done" || ending === "error") return tail.failure?.() ?? null;
  throw new Error("the answer ended in the middle");
}

interface Translating {
  readonly translator: StreamTranslator;
  readonly call: Call;
  readonly clock: Clock;
}

/** The same where each piece has another form in the client's dialect. Signs of life of the upstream's do not pass, so they
 *  are given here. Returns what the translation failed with, which the client has been told already. @throws when the
 *  stream broke. */
async function pumpThrough(
  { translator, call, clock }: Translating,
  { body }: Response,
  out: Sink,
): Promise<SynapticError | null> {
  const reader = body?.getReader();
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
      const { done, value } = (await reader?.read()) ?? { done: true };
      if (done || !value) break;
      if (!isPing(value)) call.heard();
      await write(translator.push(value));
      if (translator.failure()) break;
    }
  } finally {
    stopSigns();
    reader?.cancel().catch(() => {});
  }
  await write(translator.end());
  return translator.failure();
}
