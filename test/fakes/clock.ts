/** A clock that stands still until told to advance. */
import type { Clock } from "../../src/engine/ports.ts";

export interface FakeClock extends Clock {
  /** Moves on by `ms`, runs what falls due in order, and lets promises settle after each. */
  advance(ms: number): Promise<void>;
  /** Resolves as soon as somebody waits for exactly so long, counted from the setting of the timer. */
  armed(ms: number): Promise<void>;
  /** Timers that have neither run nor been cancelled. */
  pending(): number;
}

interface Timer {
  readonly dueMs: number;
  readonly ms: number;
  readonly run: () => void;
}

/** Starts at 2026-11-24T18:00:00Z unless told otherwise. */
export function createFakeClock(startMs = Date.UTC(2026, 10, 24, 18)): FakeClock {
  let nowMs = startMs;
  const timers = new Set<Timer>();
  const watchers = new Map<number, PromiseWithResolvers<void>>();
  const settle = async () => {
    // Deep promise chains need several turns.
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  };
  return {
    now: () => nowMs,
    after(ms, run) {
      const timer = { dueMs: nowMs + ms, ms, run };
      timers.add(timer);
      watchers.get(ms)?.resolve();
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
    armed(ms) {
      if ([...timers].some((timer) => timer.ms === ms)) return Promise.resolve();
      const watcher = Promise.withResolvers<void>();
      watchers.set(ms, watcher);
      return watcher.promise;
    },
    pending: () => timers.size,
  };
}

/** Advances step by step, with time for sockets in between, until the promise has settled. */
export async function advanceUntil<T>(clock: FakeClock, promise: Promise<T>, stepMs = 20): Promise<T> {
  let settled = false;
  const settle = () => {
    settled = true;
  };
  promise.then(settle, settle);
  while (!settled) {
    await new Promise(setImmediate);
    await clock.advance(stepMs);
  }
  return await promise;
}
