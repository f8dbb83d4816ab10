/** Ollama's `keep_alive`: seconds, a duration in Go's spelling, or below zero for ever. Pure. */
import { badRequest, type Checked } from "./refusal.ts";

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

const DURATION = /^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/;
const PART = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g;
const PLAIN = /^[+-]?\d+(?:\.\d+)?$/;
const LONGEST = 64;

/** In milliseconds: Infinity for ever, null when nothing is said. A text without a unit counts as seconds, since clients
 *  pass on what was typed (facts/clients.md check 43). */
export function readKeepAlive(value: unknown): Checked<number | null> {
  if (value === undefined || value === null || value === "") return { ok: true, value: null };
  if (typeof value === "number" && Number.isFinite(value)) return { ok: true, value: orForever(value * 1000) };
  if (typeof value === "string" && value.length <= LONGEST) {
    const ms = PLAIN.test(value) ? Number(value) * 1000 : durationMs(value);
    if (ms !== null) return { ok: true, value: orForever(ms) };
  }
  return badRequest("Invalid value for 'keep_alive': expected seconds, or a duration such as \"5m\"", {
    param: "keep_alive",
    detail: "invalid_value",
  });
}

function orForever(ms: number): number {
  return ms < 0 ? Number.POSITIVE_INFINITY : ms;
}

function durationMs(text: string): number | null {
  if (!DURATION.test(text)) return null;
  const ms = [...text.matchAll(PART)].reduce(
    (sum, [, amount, unit]) => sum + Number(amount) * (UNIT_MS[unit ?? ""] ?? 0),
    0,
  );
  return text.startsWith("-") ? -ms : ms;
}
