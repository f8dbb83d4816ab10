/** What a request is told that got no slot: each 429, with when to try again where that is known. Pure. */
import { retrySeconds, SynapticError } from "./errors.ts";
import { formatDuration } from "./units.ts";

/** Where a request stands. */
export interface QueuePlace {
  /** Turns until its own, that one included. */
  readonly position: number;
  /** Until its turn comes; null when unknown. */
  readonly estimateMs: number | null;
}

export interface FullQueue {
  readonly model: string;
  readonly full: "model" | "key";
  /** The bound that is reached. */
  readonly bound: number;
  readonly estimateMs: number | null;
}

/** Nobody else may wait. */
export function queueFull({ model, full, bound, estimateMs }: FullQueue): SynapticError {
  const what = full === "model" ? "the queue" : "this key's part of the queue";
  const key = full === "model" ? "perModel" : "perKey";
  return tooBusy(`Cannot take the request: ${what} for the model '${model}' is full (${bound} of ${bound})`, {
    estimateMs,
    hint: `synaptic.queue.${key} sets how many may wait`,
  });
}

/** It has waited for as long as the config allows. */
export function waitedTooLong(model: string, waitedMs: number, estimateMs: number | null): SynapticError {
  return tooBusy(`No slot of the model '${model}' was free for this request within ${formatDuration(waitedMs)}`, {
    estimateMs,
    hint: "synaptic.parallel sets the slots, synaptic.queue.longestWaitMs the wait",
  });
}

/** A client that wants a whole answer is not held any longer. */
export function stillQueued(model: string, { position, estimateMs }: QueuePlace): SynapticError {
  return tooBusy(`The model '${model}' is busy: this request has number ${position} in its queue`, {
    estimateMs,
    hint: "or ask with stream: true, which waits",
  });
}

/** The whole server is full. */
export function serverFull(bound: number): SynapticError {
  return tooBusy(`Cannot take the request: the server is full (${bound} of ${bound})`, {
    estimateMs: null,
    hint: "synaptic.limits.inFlight sets how many may",
  });
}

/** Codex waits for as long as a text says in these very words (facts/clients.md 1b). */
function tooBusy(
  message: string,
  { estimateMs, hint }: { readonly estimateMs: number | null; readonly hint: string },
): SynapticError {
  const when = estimateMs === null ? "try again later" : `try again in ${retrySeconds(estimateMs)}s`;
  return new SynapticError("too_busy", message, {
    hint: `${when}; ${hint}`,
    ...(estimateMs !== null && { retryAfterMs: estimateMs }),
  });
}
