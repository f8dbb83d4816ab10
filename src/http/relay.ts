/** The hot path: a coordinator's stream to the client, byte for byte. */
import { type SynapticError, toOpenAi, wrapError } from "../core/errors.ts";
import type { QueuePlace } from "../core/queue-refusals.ts";
import { createTail, errorFrameAt, isPing, type Tail } from "../core/stream-end.ts";
import { fromErrorFrame } from "../core/upstream-error.ts";
import type { Clock } from "../engine/ports.ts";
import type { Call } from "./call.ts";
import type { RuntimeView } from "./runtime-view.ts";
import { type Opened, whyLost } from "./upstream.ts";

/** Between comments while a model loads or its slots are taken; clients and proxies give up after 30 s of silence at the earliest. */
const COMMENT_MS = 5_000;

type Sink = ReadableStreamDirectController;

export interface Relaying {
  readonly call: Call;
  readonly opening: Promise<Opened>;
  /** The grace is over: comments keep the client until the coordinator answers. */
  readonly late: boolean;
}

/** Writes the coordinator's bytes as they come, comments before them when it is late; always ends the stream. */
export async function relay(view: RuntimeView, { call, opening, late }: Relaying, out: Sink): Promise<void> {
  const tail = createTail();
  const stopComments = late ? startComments(view, call, out) : () => {};
  let opened: Opened | null = null;
  let failure: SynapticError | null = null;
  try {
    opened = await opening;
    stopComments();
    failure = await pump(call, opened.response, out, tail);
  } catch (error) {
    // Without a place there is nobody to ask: it is a refusal of ours.
    failure = opened ? await whyLost(call, opened.grant, error) : wrapError("internal", "Cannot answer", error);
  } finally {
    stopComments();
    opened?.grant.release();
    call.end(failure);
    if (failure) out.write(errorFrame(failure, tail));
    out.close();
  }
}

/** The first comment is written at once: Bun holds the headers back until there is something to send. */
function startComments({ ports, fleet }: RuntimeView, call: Call, out: Sink): () => void {
  const say = (): void => {
    const progress = fleet.progress(call.request.entry.id);
    out.write(`: ${progress === null ? queued(call.place()) : `loading ${Math.round(progress * 100)}%`}\n\n`);
    out.flush();
  };
  say();
  return every(ports.clock, COMMENT_MS, say);
}

/** Such as `queued 3, ~12s`. */
function queued(place: QueuePlace | null): string {
  if (!place) return "waiting for the model";
  const { position, estimateMs } = place;
  return `queued ${position}${estimateMs === null ? "" : `, ~${Math.max(1, Math.round(estimateMs / 1000))}s`}`;
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

/** Bytes through, with back-pressure. Returns an error of the coordinator's own, which ends its stream; null after a
 *  good end. @throws when the stream broke. */
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
  if (ending === "done" || ending === "error") return null;
  throw new Error("the answer ended in the middle");
}

/** A frame that every SDK raises as an error; an event that broke off is ended first (facts/clients.md 2a). */
function errorFrame(error: SynapticError, tail: Tail): string {
  const gap = tail.ending() === "broken" ? "\n\n" : "";
  return `${gap}data: ${JSON.stringify(toOpenAi(error).body)}\n\n`;
}
