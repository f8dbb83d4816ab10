/** The seven laws of a coordinator's life (design.md section 7), over thousands of random lives. */
import { describe, expect, test } from "bun:test";
import type { SynapticError } from "../../src/core/errors.ts";
import { deadlineOf, transition } from "../../src/core/lifecycle.ts";
import { LIMITS, type Lifecycle, type LifecycleEvent } from "../../src/core/lifecycle-types.ts";
import { CoordinatorWorld, type Happening } from "../fakes/coordinator-world.ts";
import { createRandom } from "../fixtures/random.ts";

const LIVES = 400;
const STEPS = 120;

/** Lives many lives; `look` may keep a memory of one life. */
function live<Memory>(
  start: () => Memory,
  look: (happening: Happening, world: CoordinatorWorld, memory: Memory) => void,
) {
  const visited = new Set<string>();
  for (let seed = 1; seed <= LIVES; seed++) {
    const world = new CoordinatorWorld(createRandom(seed));
    const memory = start();
    for (let step = 0; step < STEPS; step++) {
      const happening = world.step();
      visited.add(happening.after.tag);
      look(happening, world, memory);
    }
    world.rest();
    expect(world.crimes).toEqual([]);
  }
  // A law that was never put to the test proves nothing.
  expect([...visited].toSorted()).toEqual(["closed", "draining", "failed", "idle", "ready", "starting", "stopping"]);
}

function isRest({ tag }: Lifecycle): boolean {
  return tag === "idle" || tag === "failed" || tag === "closed";
}

describe("the laws of a coordinator's life", () => {
  test("1: in idle, ready, failed or closed nobody is left waiting", () => {
    live(
      () => null,
      ({ after, event }, { waiters }) => {
        if (isRest(after) || after.tag === "ready")
          expect({ after: after.tag, event: event.tag, waiters }).toMatchObject({ waiters: 0 });
      },
    );
  });

  test("2: a child is spawned only after the last one was seen to exit, and leases are held as long as it lives", () => {
    live(
      () => null,
      ({ after }, { child, leases }) => {
        if (isRest(after)) expect([child, leases]).toEqual([null, null]);
      },
    );
  });

  test("3: no state that waits is without a deadline", () => {
    live(
      () => null,
      ({ after, now }) => {
        if (isRest(after) || after.tag === "ready") return;
        const deadline = deadlineOf(after);
        expect(deadline === null ? Number.NaN : deadline - now).toBeLessThanOrEqual(LIMITS.queueMs);
      },
    );
  });

  test("4: an event of an old launch changes nothing", () => {
    let seen = 0;
    live(
      () => null,
      ({ before, event, after, effects }) => {
        if (!("launch" in event) || event.launch === before.launch) return;
        seen++;
        expect(after).toBe(before);
        expect(effects).toEqual([]);
      },
    );
    expect(seen).toBeGreaterThan(1_000);
  });

  test("5: closed is final", () => {
    live(
      () => null,
      ({ before, after, effects }) => {
        if (before.tag !== "closed") return;
        expect(after).toBe(before);
        expect(effects.filter(({ tag }) => tag !== "reject")).toEqual([]);
      },
    );
  });

  test("6: a start that times out ends in failed with a back-off, never in idle", () => {
    let seen = 0;
    live(
      () => ({ timedOut: false }),
      ({ before, event, after, now }, _, memory) => {
        if (after.tag === "starting") memory.timedOut = false;
        if (before.tag === "starting" && event.tag === "tick" && after !== before) memory.timedOut = true;
        if (!memory.timedOut || !isRest(after)) return;
        memory.timedOut = false;
        seen++;
        expect(after.tag).not.toBe("idle");
        if (after.tag === "failed") expect(after.retryAt).toBeGreaterThan(now);
      },
    );
    expect(seen).toBeGreaterThan(100);
  });

  test("7: the first cause wins", () => {
    let seen = 0;
    live(
      () => ({ first: null as SynapticError | null }),
      ({ before, event, after }, _, memory) => {
        if (before.tag !== "stopping" && before.tag !== "failed") memory.first = causeOf(event, before, after);
        if (after.tag !== "failed" || before.tag === "failed") return;
        seen++;
        if (memory.first) expect(after.cause.message).toBe(memory.first.message);
        else expect(after.cause.code).toBe("coordinator_timeout");
      },
    );
    expect(seen).toBeGreaterThan(100);
  });
});

describe("making room for another", () => {
  test("cuts no answer and forgets nobody: it ends with its last answer or goes on, and whoever came is waited for", () => {
    let ended = 0;
    let wentOn = 0;
    live(
      () => null,
      ({ before, event, after }, { waiters }) => {
        if (before.tag !== "draining" || before.to === null || after.tag === "draining") return;
        if (after.tag === "ready") {
          wentOn++;
          expect(["stay", "tick"]).toContain(event.tag);
          if (event.tag === "tick") expect(deadlineOf(before) ?? Number.NaN).toBeLessThanOrEqual(after.since);
          return;
        }
        ended++;
        expect(["drained", "lost", "exited"]).toContain(event.tag);
        if (waiters > 0) expect(after).toMatchObject(after.tag === "stopping" ? { retry: 1 } : { tag: "starting" });
      },
    );
    expect(ended).toBeGreaterThan(50);
    expect(wentOn).toBeGreaterThan(20);
  });
});

/** What made it leave its state, where the event says so; a time-out is the machine's own. */
function causeOf(event: LifecycleEvent, before: Lifecycle, after: Lifecycle): SynapticError | null {
  if (before === after) return null;
  if (event.tag === "exited") return event.cause.error;
  return "error" in event ? event.error : null;
}

describe("a back-off", () => {
  test("doubles with each failure in a row, up to a limit", () => {
    const waits: number[] = [];
    let state: Lifecycle = { tag: "idle", launch: 0 };
    let now = 0;
    for (let failure = 0; failure < 10; failure++) {
      [state] = transition(state, { tag: "wanted" }, now);
      now = deadlineOf(state) ?? now;
      [state] = transition(state, { tag: "tick" }, now);
      if (state.tag !== "failed") throw new Error(`a time-out led to ${state.tag}`);
      waits.push(state.retryAt - now);
      now = state.retryAt;
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60, 60].map((seconds) => seconds * 1_000));
  });
});
