/** What those are told who wait for a model: how far its load is, or where they stand. Pure. */
import { SynapticError } from "./errors.ts";
import { type QueuePlace, stillQueued } from "./queue-refusals.ts";
import type { LoadView } from "./snapshot.ts";

/** Such as `queued 3, ~12s`, `loading 61%, ~40s`, `waiting for room`. */
export function waitWords(place: QueuePlace | null, load: LoadView | null): string {
  if (place) return `queued ${place.position}${about(place.estimateMs)}`;
  if (!load || isWaiting(load)) return load ? "waiting for room" : "waiting for the model";
  return load.progress === null ? "waiting for the model" : `loading ${percent(load.progress)}${about(load.etaMs)}`;
}

/** Such as `resuming, ~12s`: of a stream whose coordinator died. */
export function resumingWords(place: QueuePlace | null, load: LoadView | null): string {
  return `resuming${about(resumesInMs(place, load))}`;
}

/** Until the model answers again; null while nobody knows. */
export function resumesInMs(place: QueuePlace | null, load: LoadView | null): number | null {
  return place ? place.estimateMs : (load?.etaMs ?? null);
}

/** The end of a wait for a coordinator that takes longer than `synaptic.resumeWithin`. */
export function resumesTooLate(model: string, leftMs: number | null): SynapticError {
  const left = leftMs === null ? "it takes too long to load it" : `it takes about ${seconds(leftMs)} s to load it`;
  return new SynapticError("model_loading", `the model '${model}' has to be loaded again, and ${left}`, {
    retryAfterMs: leftMs ?? AGAIN_MS,
  });
}

/** The end of a stream that broke and is not resumed: what was lost, why it does not go on, when to ask again. */
export function cannotGoOn(loss: SynapticError, why: SynapticError | string): SynapticError {
  const [reason, again, hint] =
    typeof why === "string" ? [why, null, undefined] : [why.message, why.retryAfterMs ?? null, why.hint];
  const when = again === null ? "ask again" : `ask again in about ${seconds(again)} s`;
  return new SynapticError(loss.code, `${loss.message}; its stream cannot go on: ${reason}`, {
    hint: hint ? `${when}; ${hint}` : when,
    cause: loss,
    ...(again !== null && { retryAfterMs: again }),
  });
}

function about(ms: number | null): string {
  return ms === null ? "" : `, ~${seconds(ms)}s`;
}

function seconds(ms: number): number {
  return Math.max(1, Math.round(ms / 1000));
}

function percent(progress: number): string {
  return `${Math.round(progress * 100)}%`;
}

/** Other models hold what it needs. */
function isWaiting({ phase }: LoadView): boolean {
  return phase === "queued";
}

/** A whole answer is worth another try so soon, and no client waits longer than a minute for one (facts/clients.md 1b). */
const AGAIN_MS = 15_000;
const LONGEST_MS = 59_000;

/** Of a whole answer that can be held no longer: its model loads or waits for room, or others have all slots. */
export function stillWaiting(model: string, place: QueuePlace | null, load: LoadView | null): SynapticError {
  if (place) return stillQueued(model, place);
  const hint = "try again soon, or ask with stream: true, which waits";
  if (load && isWaiting(load)) {
    const message = `The model '${model}' waits for other models to make room`;
    return new SynapticError("model_loading", message, { param: "model", hint, retryAfterMs: AGAIN_MS });
  }
  const { progress = null, etaMs = null } = load ?? {};
  const done = progress === null ? "" : ` (${Math.round(progress * 100)} %)`;
  const left = etaMs === null ? "" : `, about ${seconds(etaMs)} s to go`;
  const retryAfterMs = etaMs === null ? AGAIN_MS : Math.min(LONGEST_MS, Math.max(1_000, etaMs));
  return new SynapticError("model_loading", `The model '${model}' is still loading${done}${left}`, {
    ...{ param: "model", hint, retryAfterMs },
  });
}
