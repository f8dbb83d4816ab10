/** How long an idle model is kept: numbers of seconds and durations, as Ollama reads `keep_alive`. Pure. */

const HOUR_MS = 3_600_000;
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: HOUR_MS };

/** `1h30m`, `10m`, `1.5s`, `-1m`, or digits alone, which are seconds. */
export const KEEP_ALIVE_PATTERN = /^-?(?:\d+(?:\.\d+)?|(?:\d+(?:\.\d+)?(?:ms|s|m|h))+)$/;

/** Longer is for ever: a date that far could not be shown. */
const LONGEST_MS = 100 * 365 * 24 * HOUR_MS;

/** In ms: 0 ends it as soon as it is idle, below 0 and beyond a hundred years is `Infinity`. Null when it is no duration. */
export function readKeepAlive(value: unknown): number | null {
  if (typeof value === "number") return Number.isNaN(value) ? null : bounded(value * 1_000);
  if (typeof value !== "string" || !KEEP_ALIVE_PATTERN.test(value)) return null;
  if (/[\d.]$/.test(value)) return bounded(Number(value) * 1_000);
  const parts = [...value.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  const ms = parts.reduce((sum, [, count, unit = "s"]) => sum + Number(count) * (UNIT_MS[unit] ?? 0), 0);
  return bounded(value.startsWith("-") ? -ms : ms);
}

function bounded(ms: number): number {
  return ms < 0 || ms > LONGEST_MS ? Number.POSITIVE_INFINITY : Math.round(ms);
}
