/** The loads that this cluster has done, and what they say of one under way. */
import { type LoadSample, type LoadUnderWay, readSamples, remainingLoadMs, withSample } from "../core/load-estimate.ts";
import type { Plan } from "../core/plan-types.ts";
import type { StatePort } from "./ports.ts";

export interface LoadHistory {
  /** Takes in what earlier runs kept. */
  load(): Promise<void>;
  /** Kept for later runs too; where it cannot be, for this one. */
  record(sample: LoadSample): Promise<void>;
  /** Milliseconds; null where nothing says. */
  remainingMs(load: LoadUnderWay): number | null;
}

const NAME = "loads";

export function createLoadHistory(state: StatePort): LoadHistory {
  let samples: readonly LoadSample[] = [];
  const load = async (): Promise<void> => {
    samples = readSamples(await state.read(NAME));
  };
  return {
    load,
    async record(sample) {
      samples = withSample(samples, sample);
      // Another synaptic may have written meanwhile: what it has seen is as good as ours.
      const kept = readSamples(await state.read(NAME));
      if (kept.length > 0) samples = withSample(kept, sample);
      await state.write(NAME, samples);
    },
    remainingMs: (under) => remainingLoadMs(samples, under),
  };
}

/** Bytes of weights that a load of this plan brings to where they belong. */
export function bytesToLoad({ backends, head }: Plan): number {
  return [...backends, ...head.devices].reduce((sum, { modelBytes }) => sum + modelBytes, head.modelBytes);
}
