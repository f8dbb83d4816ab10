/** Laws of a backend's health, over random histories of probes, leases, releases and losses. */
import { describe, expect, test } from "bun:test";
import {
  applyLease,
  applyLoss,
  applyProbe,
  applyRelease,
  type Health,
  type HealthRules,
  holderOf,
  type ProbeResult,
  probeFor,
  unknownHealth,
} from "../../src/core/health.ts";

const RULES: HealthRules = { nowMs: 0, failures: 3, successes: 2, engine: null, endpoint: "10.0.0.3:50052" };
const ENGINE_8 = { major: 8, minor: 0 };
const REFUSED: ProbeResult = { tag: "refused" };
const TIMEOUT: ProbeResult = { tag: "connect-timeout", timeoutMs: 2000 };

function up(major = 8): ProbeResult {
  return { tag: "up", protocol: { major, minor: 0, patch: 0 }, devices: [], rttMs: 1, address: "10.0.0.3:50052" };
}

const RESULTS: readonly ProbeResult[] = [
  up(),
  up(),
  up(),
  up(7),
  { tag: "silent" },
  { tag: "cancelled" },
  REFUSED,
  TIMEOUT,
  { tag: "unreachable", detail: "EHOSTUNREACH" },
  { tag: "unresolved", detail: "ENOTFOUND" },
  { tag: "broken", detail: "closed the connection" },
  { tag: "alien", detail: "looks like HTTP" },
];

/** mulberry32: the same history for the same seed. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

describe("laws over 500 seeded histories of 60 events", () => {
  function history(seed: number, check: (before: Health, event: ProbeResult | string, now: Health) => void): void {
    const next = random(seed);
    const engine = next(2) === 0 ? null : ENGINE_8;
    let health = unknownHealth(0);
    for (let step = 1; step <= 60; step++) {
      const before = health;
      const rules = { ...RULES, nowMs: step, engine };
      const kind = next(12);
      let event: ProbeResult | string = ["lease", "release", "loss"][kind] ?? "probe";
      if (event === "lease") health = applyLease(before, "tiny", step) ?? before;
      else if (event === "release") health = applyRelease(before, step);
      else if (event === "loss") health = applyLoss(before, "gone", step);
      else {
        event = RESULTS[next(RESULTS.length)] ?? REFUSED;
        health = applyProbe(before, event, rules);
      }
      check(before, event, health);
    }
  }

  function each(check: (before: Health, event: ProbeResult | string, now: Health) => void): void {
    for (let seed = 0; seed < 500; seed++) history(seed, check);
  }

  test("never a HELLO while held, and no probe result moves a held backend", () => {
    each((before, event, now) => {
      if (holderOf(now) !== null) expect(probeFor(now)).toBe("none");
      if (holderOf(before) !== null && typeof event !== "string") expect(now).toBe(before);
    });
  });

  test("busy never becomes down by a connect time-out", () => {
    each((before, event, now) => {
      if (before.tag === "busy" && event === TIMEOUT) expect(now.tag).toBe("busy");
    });
  });

  test("a lease is only ever taken from up, and ends only by release or loss", () => {
    each((before, event, now) => {
      if (now.tag === "leased" && before.tag !== "leased") expect(before.tag).toBe("up");
      if (before.tag === "leased" && now.tag !== "leased") expect(["release", "loss"]).toContain(String(event));
    });
  });

  test("up goes down by probes only after three failures in a row, down comes up only after two answers", () => {
    for (let seed = 0; seed < 500; seed++) {
      let failures = 0;
      let answers = 0;
      history(seed, (before, event, now) => {
        if (typeof event === "string") {
          if (now !== before) failures = answers = 0;
          return;
        }
        if (holderOf(before) !== null || event.tag === "cancelled") return;
        answers = event.tag === "up" ? answers + 1 : 0;
        if (event.tag === "up" || event.tag === "silent") failures = 0;
        else failures++;
        if (before.tag === "up" && now.tag === "down") expect(failures).toBeGreaterThanOrEqual(3);
        if (before.tag === "down" && now.tag === "up") expect(answers).toBeGreaterThanOrEqual(2);
      });
    }
  });

  test("`sinceMs` moves exactly when the state does", () => {
    each((before, _, now) => expect(now.sinceMs === before.sinceMs).toBe(now.tag === before.tag));
  });
});
