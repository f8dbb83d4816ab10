/** Log events to what was seen of a load: bytes by place, and the offload count. Pure. */
import type { LogEvent, Place } from "./llama-log.ts";

export interface Bytes {
  readonly model: number;
  /** The part of `model` that is a mapping of the file: an upper bound. */
  readonly mapped: number;
  readonly kv: number;
  readonly state: number;
  readonly compute: number;
}

/** Buffers as logged so far, by place. Immutable: fold with `observe`. */
export interface Observations {
  readonly buffers: ReadonlyMap<string, Bytes>;
  readonly offloaded: { readonly layers: number; readonly totalLayers: number } | null;
  /** What comes is the draft model's. */
  readonly isDraft: boolean;
}

export const NOTHING_OBSERVED: Observations = { buffers: new Map(), offloaded: null, isDraft: false };

export const EMPTY: Bytes = { model: 0, mapped: 0, kv: 0, state: 0, compute: 0 };

/** What a place is called among the observations: `host:port/device`, or a local device's name. */
export function placeKey(place: Place): string {
  return place.tag === "rpc" ? `${place.endpoint}/${place.device}` : place.name;
}

/** The head node's own memory: `CPU`, `CPU_REPACK` and their like, and pinned host buffers such as `CUDA_Host`. */
export function isHead(key: string): boolean {
  return /^CPU(_|$)/.test(key) || key.endsWith("_Host");
}

/** Takes in one log event. A second load or context starts afresh: only the last one counts (a dry load prints the same
 *  lines); within one, lines of a place add up (a split file and a sliding-window cache print several). */
export function observe(seen: Observations, event: LogEvent): Observations {
  if (seen.isDraft) return observeDraft(seen, event);
  switch (event.tag) {
    case "draft":
      return { ...seen, isDraft: true };
    case "loading":
      return NOTHING_OBSERVED;
    case "context":
      return {
        ...seen,
        buffers: new Map([...seen.buffers].map(([key, bytes]) => [key, { ...bytes, kv: 0, state: 0, compute: 0 }])),
      };
    case "offloaded":
      return { ...seen, offloaded: { layers: event.layers, totalLayers: event.totalLayers } };
    case "buffer": {
      const key = placeKey(event.place);
      const bytes = takeBuffer(seen.buffers.get(key) ?? EMPTY, event);
      return { ...seen, buffers: new Map(seen.buffers).set(key, bytes) };
    }
    case "progress":
      return seen;
  }
}

/** A draft's own buffers are none of the model's, but on a backend they would take what was planned for others. */
function observeDraft(seen: Observations, event: LogEvent): Observations {
  if (event.tag !== "buffer" || event.place.tag !== "rpc") return seen;
  const key = placeKey(event.place);
  return { ...seen, buffers: new Map(seen.buffers).set(key, takeBuffer(seen.buffers.get(key) ?? EMPTY, event)) };
}

/** Compute buffers may be reserved again in another size: the last one counts. */
function takeBuffer(old: Bytes, { what, place, bytes }: Extract<LogEvent, { tag: "buffer" }>): Bytes {
  const mapped = what === "model" && place.tag === "local" && place.mapped ? bytes : 0;
  return { ...old, mapped: old.mapped + mapped, [what]: what === "compute" ? bytes : old[what] + bytes };
}
