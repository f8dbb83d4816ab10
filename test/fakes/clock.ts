/** A clock that stands still until told to advance. */
import type { Clock } from "../../src/engine/ports.ts";

export interface FakeClock extends Clock {
  /** Moves on by `ms`, runs what falls due in order, and lets promises settle after each. */
  advance(ms: number): Promise<void>;
  /** Timers that have neither run nor been cancelled. */
  pending(): number;
}

interface Timer {
  readonly dueMs: number;
  readonly run: () => void;
}

/** Starts at 2026-11-24T18:00:00Z unless told otherwise. */
export function createFakeClock(startMs = Date.UTC(2026, 10, 24, 18)): FakeClock {
  let nowMs = startMs;
  const timers = new Set<Timer>();
  const settle = async () => {
    // Deep promise chains need several turns.
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  };
  return {
    now: () => nowMs,
    after(ms, run) {
      const timer = { dueMs: nowMs + ms, run };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    async advance(ms) {
      const untilMs = nowMs + ms;
      // What was started just now may be about to set its timer.
      await settle();
      for (;;) {
        const [next] = [...timers].filter((timer) => timer.dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs);
        if (!next) break;
        timers.delete(next);
        nowMs = Math.max(nowMs, next.dueMs);
        next.run();
        await settle();
      }
      nowMs = untilMs;
      await settle();
    },
    pending: () => timers.size,
  };
}
