/** How a timing is made of runs, and when one may be made. Pure. */
import type { ErrorCode } from "./errors.ts";
import type { DeviceKind } from "./plan-types.ts";
import type { BackendSnapshot, CoordinatorSnapshot } from "./snapshot.ts";
import type { Timing } from "./speed.ts";
import { backendKey } from "./speed-book.ts";
import type { Endpoint } from "./units.ts";

/** Who holds a backend that is being timed; no model's name has a blank. */
export const MEASURE_HOLDER = "synaptic measure";

/** What became of one that was to be timed: a timing, or why there is none. */
export interface MeasureRow {
  readonly endpoint: Endpoint | "head";
  readonly devices: readonly DeviceKind[];
  readonly timing: Timing | null;
  readonly failure: { readonly code: ErrorCode; readonly message: string } | null;
}

/** Odd, so that the median is one of them. */
export const TIMING_RUNS = 5;
/** Long enough that the scheduler's hiccups are a small part, short enough for a slow board. */
const RUN_MS = 250;
const LEAST_TOKENS = 4;
/** With the prompt, well within the context of a timing. */
const MOST_TOKENS = 256;

/** Tokens of one run, from what the warm-up made per second. */
export function tokensPerRun(tokensPerSecond: number | null): number {
  const wanted = Math.round(((tokensPerSecond ?? 0) * RUN_MS) / 1_000);
  return Math.min(MOST_TOKENS, Math.max(LEAST_TOKENS, wanted));
}

export interface Runs {
  /** Tokens per second of each. */
  readonly speeds: readonly number[];
  /** Of the weights that each token goes through. */
  readonly weightBytes: number;
  /** Null for the head node. */
  readonly rttMs: number | null;
  readonly build: string;
  /** ISO 8601. */
  readonly measuredAt: string;
}

/** Null when there are none. */
export function median(values: readonly number[]): number | null {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? null;
}

/**
 * The timing that runs come to: of their median. Each token waits at least once for an answer of the backend (its
 * logits), which costs a round trip whatever the model: it is taken off, up to half of the token's time, since a probe
 * over Wi-Fi may have waited longer than a token does. What else a token costs (kernel starts, the graph, sampling) stays
 * in, so that a fast device is understated: its rank is right, and a plan on it no worse than promised.
 */
export function timingOf({ speeds, weightBytes, rttMs, build, measuredAt }: Runs): Timing | null {
  const tokensPerSecond = median(speeds);
  if (tokensPerSecond === null || !(tokensPerSecond > 0)) return null;
  const tokenMs = 1_000 / tokensPerSecond;
  const weightsMs = Math.max(tokenMs / 2, tokenMs - (rttMs ?? 0));
  return { bytesPerSecond: (weightBytes * 1_000) / weightsMs, tokensPerSecond, build, measuredAt };
}

/** Why nothing may be timed now: a coordinator is about to take backends, or gives them back; null when none is. */
export function loading(coordinators: readonly CoordinatorSnapshot[]): string | null {
  const one = coordinators.find(({ state }) => state === "starting" || state === "draining" || state === "stopping");
  if (!one) return null;
  return one.state === "starting" ? `${one.model} is being loaded` : `${one.model} is being unloaded`;
}

/** Nothing loads, and nobody is answered or waits. */
export function isQuiet(coordinators: readonly CoordinatorSnapshot[]): boolean {
  return loading(coordinators) === null && coordinators.every(({ slots, queue }) => slots.busy + queue.length === 0);
}

/** A timing that failed, of these very devices. */
export interface FailedTiming {
  readonly key: string;
  readonly build: string;
  readonly atMs: number;
}

/** After this a backend that failed is tried again, though nothing about it has changed. */
export const TRY_AGAIN_MS = 3_600_000;

export interface Untimed {
  readonly backends: readonly BackendSnapshot[];
  readonly failures: ReadonlyMap<Endpoint, FailedTiming>;
  readonly build: string;
  readonly nowMs: number;
}

/** The first backend that is free, has no fresh speed, and has not failed lately; none where there is but one, since then
 *  its speed decides nothing. */
export function nextToTime({ backends, failures, build, nowMs }: Untimed): BackendSnapshot | null {
  const hasFailed = ({ endpoint, devices }: BackendSnapshot) => {
    const failed = failures.get(endpoint);
    const isSame = failed?.key === backendKey(endpoint, devices) && failed.build === build;
    return isSame && nowMs - failed.atMs < TRY_AGAIN_MS;
  };
  if (backends.length < 2) return null;
  const isNext = (backend: BackendSnapshot) => backend.state === "up" && !backend.speed && !hasFailed(backend);
  return backends.find(isNext) ?? null;
}
