/** The loads that this cluster has done, and what they say of one under way. */
import { type LoadSample, type LoadUnderWay, remainingLoadMs, withSample } from "../core/load-estimate.ts";
import type { Plan } from "../core/plan-types.ts";

export interface LoadHistory {
  record(sample: LoadSample): void;
  /** Milliseconds; null where nothing says. */
  remainingMs(load: LoadUnderWay): number | null;
}

export function createLoadHistory(): LoadHistory {
  let samples: readonly LoadSample[] = [];
  return {
    record(sample) {
      samples = withSample(samples, sample);
    },
    remainingMs: (load) => remainingLoadMs(samples, load),
  };
}

/** Bytes of weights that a load of this plan brings to where they belong. */
export function bytesToLoad({ backends, head }: Plan): number {
  return [...backends, ...head.devices].reduce((sum, { modelBytes }) => sum + modelBytes, head.modelBytes);
}
