/** The timings that are kept: what each belongs to, how they are read back, and how two books become one. Pure. */
import { z } from "zod";
import type { DeviceFacts, LocalDevice } from "./plan-types.ts";
import type { EngineFacts } from "./snapshot.ts";
import type { Timing } from "./speed.ts";
import type { Endpoint } from "./units.ts";

/** Timings by what they belong to (`backendKey()`, `headKey()`). */
export type SpeedBook = ReadonlyMap<string, Timing>;

/** Raised when the timings of before say nothing any more, as after a change of the timing model. */
const VERSION = 1;
/** A thousand backends, each with a few sets of devices over the years. */
const MOST = 5_000;

/** An endpoint with the devices that answer there: other devices are another backend. */
export function backendKey(endpoint: Endpoint, devices: readonly Pick<DeviceFacts, "kind" | "totalBytes">[]): string {
  return [endpoint, ...devices.map(({ kind, totalBytes }) => `${kind}:${totalBytes}`)].join(" ");
}

/** The head node without any backend: its processor, and the devices that llama-server lists. */
export function headKey(devices: readonly Pick<LocalDevice, "name" | "totalBytes">[]): string {
  return ["head", ...devices.map(({ name, totalBytes }) => `${name}:${totalBytes}`)].join(" ");
}

/** How a timing names the llama-server that made it. */
export function buildOf({ version, build }: Pick<EngineFacts, "version" | "build">): string {
  return build === null ? version : `${version} (${build})`;
}

const timingSchema = z.object({
  bytesPerSecond: z.number().positive(),
  tokensPerSecond: z.number().positive(),
  build: z.string().max(200),
  measuredAt: z.iso.datetime(),
});
const bookSchema = z.object({ version: z.literal(VERSION), timings: z.record(z.string().max(2_000), z.unknown()) });

/** What was written once, by whatever version of synaptic: what it cannot be used for is left out. */
export function readBook(stored: unknown): SpeedBook {
  const book = bookSchema.safeParse(stored);
  if (!book.success) return new Map();
  return new Map(
    Object.entries(book.data.timings).flatMap(([key, value]) => {
      const timing = timingSchema.safeParse(value);
      return timing.success ? [[key, timing.data] as const] : [];
    }),
  );
}

/** The book as JSON keeps it; beyond a limit the oldest timings go. */
export function writeBook(book: SpeedBook): unknown {
  const newest = [...book].sort(([, a], [, b]) => (a.measuredAt < b.measuredAt ? 1 : -1)).slice(0, MOST);
  return { version: VERSION, timings: Object.fromEntries(newest) };
}

/** Of each pair of timings the later one: several synaptics write into one file. */
export function mergeBooks(a: SpeedBook, b: SpeedBook): SpeedBook {
  const merged = new Map(a);
  for (const [key, timing] of b) {
    const other = merged.get(key);
    if (!other || other.measuredAt < timing.measuredAt) merged.set(key, timing);
  }
  return merged;
}

/** The timing of a key, unless another build made it. */
export function freshTiming(book: SpeedBook, key: string, build: string | null): Timing | null {
  const timing = book.get(key);
  return timing && timing.build === build ? timing : null;
}

/** `12.3 GB/s`, below one `0.45 GB/s`; decimal, as memory and networks are sold. */
export function formatSpeed(bytesPerSecond: number): string {
  const gigabytes = bytesPerSecond / 1e9;
  return `${gigabytes.toFixed(gigabytes < 1 ? 2 : 1)} GB/s`;
}
