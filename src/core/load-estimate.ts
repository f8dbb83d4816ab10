/** How long a load still takes, from earlier loads of this cluster and from how far it is. Pure. */
import { z } from "zod";

/** A load that succeeded: from the spawn until the coordinator was ready. */
export interface LoadSample {
  readonly model: string;
  /** Of weights, wherever they were put. */
  readonly bytes: number;
  readonly ms: number;
}

export interface LoadUnderWay {
  readonly model: string;
  readonly bytes: number;
  /** 0..1 as llama-server says; null until it does. */
  readonly progress: number | null;
  readonly elapsedMs: number;
}

/** Loads of one model that are remembered: a link gets slower or faster. */
const KEPT_PER_MODEL = 3;
const KEPT = 100;
/** Below it, what is done so far says little: llama-server reads the header and reserves memory first. */
const TELLING_PROGRESS = 0.2;

const sampleSchema = z.object({
  model: z.string().max(1_000),
  bytes: z.number().positive(),
  ms: z.number().nonnegative(),
});

/** What an earlier run kept; what makes no sense of it is left out. */
export function readSamples(value: unknown): readonly LoadSample[] {
  const list: readonly unknown[] = Array.isArray(value) ? value.slice(0, KEPT) : [];
  return list.flatMap((each) => sampleSchema.safeParse(each).data ?? []);
}

/** The samples with one more, the latest first; so many as are worth keeping. */
export function withSample(samples: readonly LoadSample[], sample: LoadSample): readonly LoadSample[] {
  const seen = new Map<string, number>();
  const kept = [sample, ...samples].filter(({ model }) => {
    const count = (seen.get(model) ?? 0) + 1;
    seen.set(model, count);
    return count <= KEPT_PER_MODEL;
  });
  return kept.slice(0, KEPT);
}

/** Milliseconds until a load is over; null where nothing says how long it takes. */
export function remainingLoadMs(samples: readonly LoadSample[], load: LoadUnderWay): number | null {
  const { progress, elapsedMs } = load;
  if (progress !== null && progress >= TELLING_PROGRESS) return Math.round((elapsedMs * (1 - progress)) / progress);
  const total = expectedMs(samples, load);
  // Longer than ever before: nobody knows.
  return total === null || total <= elapsedMs ? null : Math.round(total - elapsedMs);
}

/** Of this model as it took before; of others by their bytes. */
function expectedMs(samples: readonly LoadSample[], { model, bytes }: LoadUnderWay): number | null {
  const own = samples.filter((sample) => sample.model === model);
  const some = own.length > 0 ? own : samples.slice(0, KEPT_PER_MODEL);
  return median(some.map((sample) => (sample.ms * bytes) / Math.max(1, sample.bytes)));
}

function median(values: readonly number[]): number | null {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? null;
}
