/** transition(): the main paths of a coordinator's life, step by step. The laws: lifecycle-laws.test.ts. */
import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { deadlineOf, INITIAL, transition } from "../../src/core/lifecycle.ts";
import { type Effect, LIMITS, type Lifecycle, type LifecycleEvent } from "../../src/core/lifecycle-types.ts";
import type { Cause } from "../../src/core/llama-failure.ts";

const ERROR = new SynapticError("coordinator_failed", "Cannot load m: it broke");

/** The launch of the state it is sent to is filled in. */
type Told = LifecycleEvent extends infer Event
  ? Event extends { launch: number }
    ? Omit<Event, "launch">
    : Event
  : never;

const WANTED: Told = { tag: "wanted" };
const PLANNED: Told = { tag: "planned" };
const GREETED: Told = { tag: "greeted", loadMs: 60_000 };
const LOADED: Told = { tag: "loaded" };
const CHECKED: Told = { tag: "checked", error: null };
const UNLOAD: Told = { tag: "unload" };
const CLOSE: Told = { tag: "close" };
const DRAINED: Told = { tag: "drained" };
const LOST: Told = { tag: "lost", error: ERROR };
const LIVE = [WANTED, PLANNED, GREETED, LOADED, CHECKED];

function exited(again = false): Told {
  const cause: Cause = { error: ERROR, endpoint: again ? "10.0.0.1:50052" : null, again };
  return { tag: "exited", cause };
}

/** Lets the deadline pass. */
const LATE = "late";

/** Tells a story from the start; returns the state it ends in and the effects of each of its steps. */
function tell(...story: readonly (Told | typeof LATE)[]) {
  let state: Lifecycle = INITIAL;
  let now = 0;
  const steps: (readonly Effect["tag"][])[] = [];
  for (const told of story) {
    if (told === LATE) now = deadlineOf(state) ?? now;
    // Events without a launch don't mind one.
    const event = (told === LATE ? { tag: "tick" } : { ...told, launch: state.launch }) as LifecycleEvent;
    const [next, effects] = transition(state, event, now);
    state = next;
    steps.push(effects.map(({ tag }) => tag));
  }
  return { state, now, last: steps.at(-1), steps };
}

describe("from idle to ready", () => {
  test("plans, spawns, checks, then lets in whoever waits", () => {
    const { state, steps } = tell(...LIVE);
    expect(state).toMatchObject({ tag: "ready", launch: 1, failures: 0 });
    expect(steps).toEqual([["plan"], ["spawn"], [], ["check"], ["grant"]]);
  });

  test("waits with a deadline of its own for each phase", () => {
    const waits = LIVE.slice(0, -1).map((_, i) => deadlineOf(tell(...LIVE.slice(0, i + 1)).state));
    expect(waits).toEqual([LIMITS.planMs, LIMITS.greetMs, 60_000, LIMITS.checkMs]);
  });

  test("a second request starts nothing, and a late one is let in at once", () => {
    expect(tell(WANTED, WANTED).last).toEqual([]);
    expect(tell(...LIVE, WANTED).last).toEqual(["grant"]);
  });

  test("a child that is healthy before its first line is seen is loaded all the same", () => {
    expect(tell(WANTED, PLANNED, LOADED).state).toMatchObject({ phase: "checking" });
    expect(tell(WANTED, PLANNED, LOADED, GREETED).state).toMatchObject({ phase: "checking" });
  });
});

describe("a start that fails", () => {
  test("a refused plan goes back to idle, so that the next request asks again", () => {
    const { state, last } = tell(WANTED, { tag: "refused", error: ERROR });
    expect(state.tag).toBe("idle");
    expect(last).toEqual(["release", "reject"]);
  });

  test("an exit fails it, with the cause for all, and a back-off", () => {
    const { state, last, now } = tell(WANTED, PLANNED, GREETED, exited());
    expect(state).toMatchObject({ tag: "failed", cause: ERROR, retryAt: now + LIMITS.backoffMs, failures: 1 });
    expect(last).toEqual(["blame", "release", "reject"]);
    expect(tell(WANTED, PLANNED, exited(), WANTED).last).toEqual(["reject"]);
  });

  test("an exit that another plan may avoid is tried again at once, three times in all", () => {
    const attempt = [PLANNED, exited(true)];
    expect(tell(WANTED, ...attempt).state).toMatchObject({ tag: "starting", phase: "planning", launch: 2, attempt: 2 });
    expect(tell(WANTED, ...attempt).last).toEqual(["blame", "release", "plan"]);
    expect(tell(WANTED, ...attempt, ...attempt).state).toMatchObject({ launch: 3, attempt: 3 });
    expect(tell(WANTED, ...attempt, ...attempt, ...attempt).state).toMatchObject({ tag: "failed", cause: ERROR });
  });

  test("a failed check ends the child, tells the waiters at once, and waits for its end", () => {
    const story = [WANTED, PLANNED, LOADED, { tag: "checked", error: ERROR } as const];
    expect(tell(...story).last).toEqual(["terminate", "reject"]);
    expect(tell(...story).state).toMatchObject({ tag: "stopping", after: "failed", retry: null });
    expect(tell(...story, exited()).state).toMatchObject({ tag: "failed", cause: ERROR });
  });

  test("a backend that is lost while it loads: another start, once the child has gone", () => {
    expect(tell(WANTED, PLANNED, GREETED, LOST).last).toEqual(["terminate"]);
    expect(tell(WANTED, PLANNED, GREETED, LOST, exited()).last).toEqual(["release", "plan"]);
  });

  test("each phase that takes too long says what it waited for", () => {
    const silent = [PLANNED, LATE, exited()] as const;
    const stories = [
      [WANTED, LATE],
      // A silent child is tried again.
      [WANTED, ...silent, ...silent, ...silent],
      [WANTED, PLANNED, GREETED, LATE, exited()],
      [WANTED, PLANNED, GREETED, LOADED, LATE, exited()],
    ] as const;
    const messages = stories.map((story) => {
      const { state } = tell(...story);
      return state.tag === "failed" ? [state.cause.code, state.cause.message] : [state.tag];
    });
    expect(messages).toEqual([
      ["coordinator_timeout", expect.stringContaining("probed and leased in time")],
      ["coordinator_timeout", expect.stringContaining("accepts connections but does not answer")],
      ["coordinator_timeout", expect.stringContaining("the load did not end in time")],
      ["coordinator_timeout", expect.stringContaining("the first completion did not end in time")],
    ]);
  });

  test("may be asked for again once its back-off is over", () => {
    const failed = tell(WANTED, PLANNED, exited()).state;
    if (failed.tag !== "failed") throw new Error(failed.tag);
    expect(transition(failed, { tag: "wanted" }, failed.retryAt - 1)[0]).toBe(failed);
    expect(transition(failed, { tag: "wanted" }, failed.retryAt)[0]).toMatchObject({ tag: "starting", failures: 1 });
  });
});

describe("a coordinator that is lost", () => {
  test("by its exit: the next request starts it again at once", () => {
    const { state, last } = tell(...LIVE, exited());
    expect(state).toMatchObject({ tag: "failed", cause: ERROR });
    expect(last).toEqual(["blame", "release"]);
    expect(tell(...LIVE, exited(), WANTED).last).toEqual(["plan"]);
  });

  test("again and again, soon after it was ready: each start waits longer", () => {
    const again = [exited(), ...LIVE];
    const first = tell(...LIVE, ...again, exited());
    expect(first.state).toMatchObject({ tag: "failed", failures: 2, retryAt: first.now + 2 * LIMITS.backoffMs });
  });

  test("after a stable time: all is forgotten", () => {
    const ready = tell(...LIVE, exited(), ...LIVE).state;
    const event = {
      tag: "exited",
      launch: ready.launch,
      cause: { error: ERROR, endpoint: null, again: false },
    } as const;
    const now = LIMITS.stableMs;
    expect(transition(ready, event, now)[0]).toMatchObject({ tag: "failed", retryAt: now, failures: 1 });
  });

  test("by its sentinel: it is ended, and a request meanwhile waits for the next launch", () => {
    expect(tell(...LIVE, LOST).last).toEqual(["terminate", "blame"]);
    expect(tell(...LIVE, LOST, exited()).state.tag).toBe("idle");
    expect(tell(...LIVE, LOST, WANTED, exited()).last).toEqual(["release", "plan"]);
  });
});

describe("a stop", () => {
  test("waits for running requests, then for the end of the child", () => {
    const { state, steps } = tell(...LIVE, UNLOAD, DRAINED, exited());
    expect(state).toEqual({ tag: "idle", launch: 1 });
    expect(steps.slice(-3)).toEqual([[], ["terminate"], ["release"]]);
  });

  test("waits no longer than its deadlines: TERM, then KILL, then KILL again", () => {
    expect(tell(...LIVE, UNLOAD, LATE).last).toEqual(["terminate"]);
    expect(tell(...LIVE, UNLOAD, LATE, LATE).last).toEqual(["kill"]);
    const undying = tell(...LIVE, UNLOAD, LATE, WANTED, LATE, LATE);
    expect(undying.last).toEqual(["kill", "reject"]);
    expect(undying.state.tag).toBe("stopping");
  });

  test("is called off by a request that comes while others are still answered", () => {
    const { state, last } = tell(...LIVE, UNLOAD, WANTED);
    expect(state.tag).toBe("ready");
    expect(last).toEqual(["grant"]);
  });

  test("during a start tells the waiters, and waits for the child where there is one", () => {
    expect(tell(WANTED, UNLOAD).state.tag).toBe("idle");
    expect(tell(WANTED, UNLOAD).last).toEqual(["release", "reject"]);
    expect(tell(WANTED, PLANNED, UNLOAD).last).toEqual(["terminate", "reject"]);
    expect(tell(WANTED, PLANNED, UNLOAD, exited()).state.tag).toBe("idle");
  });

  test("for good refuses every later request", () => {
    expect(tell(CLOSE, WANTED).last).toEqual(["reject"]);
    expect(tell(...LIVE, CLOSE, WANTED).last).toEqual(["reject"]);
    expect(tell(...LIVE, CLOSE, DRAINED, WANTED).last).toEqual(["reject"]);
    expect(tell(...LIVE, CLOSE, DRAINED, exited(), WANTED).state.tag).toBe("closed");
    expect(tell(WANTED, PLANNED, exited(), CLOSE).state.tag).toBe("closed");
  });

  test("for good overrules an unload and a retry", () => {
    expect(tell(...LIVE, UNLOAD, CLOSE, DRAINED, exited()).state.tag).toBe("closed");
    expect(tell(WANTED, PLANNED, LOST, CLOSE, exited()).state.tag).toBe("closed");
  });

  test("an unload calls off a retry, and tells those who wait for it", () => {
    const { state, steps } = tell(WANTED, PLANNED, LOST, UNLOAD, exited());
    expect(steps.at(-2)).toEqual(["reject"]);
    expect(state.tag).toBe("failed");
    expect(tell(WANTED, PLANNED, exited(), UNLOAD).state.tag).toBe("idle");
  });
});
