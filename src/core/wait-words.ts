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
