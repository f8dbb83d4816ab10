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
const UNWANTED: Told = { tag: "unwanted" };
const TURN: Told = { tag: "turn" };
const CROWDED: Told = { tag: "crowded" };
const PLANNED: Told = { tag: "planned" };
const GREETED: Told = { tag: "greeted", placeMs: 20_000 };
const PLACED: Told = { tag: "placed", loadMs: 60_000 };
const LOADED: Told = { tag: "loaded" };
const CHECKED: Told = { tag: "checked", error: null };
const UNLOAD: Told = { tag: "unload" };
const CLOSE: Told = { tag: "close" };
const DRAINED: Told = { tag: "drained" };
const LOST: Told = { tag: "lost", error: ERROR };
const LIVE = [WANTED, TURN, PLANNED, GREETED, PLACED, LOADED, CHECKED];

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
    expect(steps).toEqual([[], ["plan"], ["spawn"], [], [], ["check"], ["grant"]]);
  });

  test("waits with a deadline of its own for each phase", () => {
    const waits = LIVE.slice(0, -1).map((_, i) => deadlineOf(tell(...LIVE.slice(0, i + 1)).state));
    expect(waits).toEqual([LIMITS.queueMs, LIMITS.planMs, LIMITS.greetMs, 20_000, 60_000, LIMITS.checkMs]);
  });

  test("a second request starts nothing, and a late one is let in at once", () => {
    expect(tell(WANTED, WANTED).last).toEqual([]);
    expect(tell(...LIVE, WANTED).last).toEqual(["grant"]);
  });

  test("a child that is healthy before its first line is seen is loaded all the same", () => {
    expect(tell(WANTED, TURN, PLANNED, LOADED).state).toMatchObject({ phase: "checking" });
    expect(tell(WANTED, TURN, PLANNED, LOADED, GREETED).state).toMatchObject({ phase: "checking" });
    expect(tell(WANTED, TURN, PLANNED, GREETED, LOADED, PLACED).state).toMatchObject({ phase: "checking" });
  });
});

describe("a start that fails", () => {
  test("a refused plan goes back to idle, so that the next request asks again", () => {
    const { state, last } = tell(WANTED, TURN, { tag: "refused", error: ERROR });
    expect(state.tag).toBe("idle");
    expect(last).toEqual(["release", "reject"]);
  });

  test("an exit fails it, with the cause for all, and a back-off", () => {
    const { state, last, now } = tell(WANTED, TURN, PLANNED, GREETED, exited());
    expect(state).toMatchObject({ tag: "failed", cause: ERROR, retryAt: now + LIMITS.backoffMs, failures: 1 });
    expect(last).toEqual(["blame", "release", "reject"]);
    expect(tell(WANTED, TURN, PLANNED, exited(), WANTED).last).toEqual(["reject"]);
  });

  test("an exit that another plan may avoid is tried again at once, three times in all", () => {
    const attempt = [TURN, PLANNED, exited(true)];
    expect(tell(WANTED, ...attempt).state).toMatchObject({ tag: "starting", phase: "queued", launch: 2, attempt: 2 });
    expect(tell(WANTED, ...attempt).last).toEqual(["blame", "release"]);
    expect(tell(WANTED, ...attempt, ...attempt).state).toMatchObject({ launch: 3, attempt: 3 });
    expect(tell(WANTED, ...attempt, ...attempt, ...attempt).state).toMatchObject({ tag: "failed", cause: ERROR });
  });

  test("a failed check ends the child, tells the waiters at once, and waits for its end", () => {
    const story = [WANTED, TURN, PLANNED, LOADED, { tag: "checked", error: ERROR } as const];
    expect(tell(...story).last).toEqual(["terminate", "reject"]);
    expect(tell(...story).state).toMatchObject({ tag: "stopping", after: "failed", retry: null });
    expect(tell(...story, exited()).state).toMatchObject({ tag: "failed", cause: ERROR });
  });

  test("a backend that is lost while it loads: another start, once the child has gone", () => {
    expect(tell(WANTED, TURN, PLANNED, GREETED, LOST).last).toEqual(["terminate"]);
    expect(tell(WANTED, TURN, PLANNED, GREETED, LOST, exited()).last).toEqual(["release"]);
    expect(tell(WANTED, TURN, PLANNED, GREETED, LOST, exited(), TURN).last).toEqual(["plan"]);
  });

  test("a backend that another client took while it started: another plan, since this one would hang", () => {
    const stuck = [TURN, PLANNED, GREETED, LATE, exited()] as const;
    expect(tell(WANTED, ...stuck).state).toMatchObject({ tag: "starting", phase: "queued", attempt: 2 });
    expect(tell(WANTED, ...stuck).steps.flat()).not.toContain("reject");
  });

  test("each phase that takes too long says what it waited for", () => {
    const silent = [TURN, PLANNED, LATE, exited()] as const;
    const stuck = [TURN, PLANNED, GREETED, LATE, exited()] as const;
    const stories = [
      [WANTED, LATE],
      [WANTED, TURN, LATE],
      // A silent child is tried again.
      [WANTED, ...silent, ...silent, ...silent],
      // So is one whose backend somebody else took while it started.
      [WANTED, ...stuck, ...stuck, ...stuck],
      [WANTED, TURN, PLANNED, GREETED, PLACED, LATE, exited()],
      [WANTED, TURN, PLANNED, GREETED, LOADED, LATE, exited()],
    ] as const;
    const messages = stories.map((story) => {
      const { state } = tell(...story);
      return state.tag === "failed" ? [state.cause.code, state.cause.message] : [state.tag];
    });
    expect(messages).toEqual([
      ["coordinator_timeout", expect.stringContaining("its turn did not come in time")],
      ["coordinator_timeout", expect.stringContaining("probed and leased in time")],
      ["coordinator_timeout", expect.stringContaining("accepts connections but does not answer")],
      ["coordinator_timeout", expect.stringContaining("another client has perhaps taken it")],
      ["coordinator_timeout", expect.stringContaining("the load did not end in time")],
      ["coordinator_timeout", expect.stringContaining("the first completion did not end in time")],
    ]);
  });

  test("may be asked for again once its back-off is over", () => {
    const failed = tell(WANTED, TURN, PLANNED, exited()).state;
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
    expect(tell(...LIVE, exited(), WANTED, TURN).last).toEqual(["plan"]);
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
    expect(tell(...LIVE, LOST, WANTED, exited(), TURN).last).toEqual(["plan"]);
  });
});

describe("its turn", () => {
  test("may come again when there was no room: each time it is a launch of its own", () => {
    const { state, last } = tell(WANTED, TURN, CROWDED);
    expect(state).toMatchObject({ tag: "starting", phase: "queued", launch: 2, attempt: 1 });
    expect(last).toEqual(["release"]);
    expect(tell(WANTED, TURN, CROWDED, TURN).last).toEqual(["plan"]);
  });

  test("is not waited for when nobody wants it any more; a load that has begun goes on", () => {
    expect(tell(WANTED, UNWANTED).state.tag).toBe("idle");
    expect(tell(WANTED, TURN, UNWANTED).state).toMatchObject({ phase: "planning" });
  });
});

describe("making room for another", () => {
  const YIELD: Told = { tag: "yield", to: "b" };
  const STAY: Told = { tag: "stay" };

  test("ends with the last answer; who came meanwhile waits for the next launch", () => {
    expect(tell(...LIVE, YIELD, WANTED).state).toMatchObject({ tag: "draining", to: "b", wanted: true });
    expect(tell(...LIVE, YIELD, WANTED).last).toEqual([]);
    expect(tell(...LIVE, YIELD, WANTED, DRAINED, exited()).state).toMatchObject({ tag: "starting", phase: "queued" });
    expect(tell(...LIVE, YIELD, DRAINED, exited()).state.tag).toBe("idle");
    expect(tell(...LIVE, YIELD, WANTED, UNWANTED, DRAINED, exited()).state.tag).toBe("idle");
    expect(tell(...LIVE, YIELD, WANTED, DRAINED, UNWANTED, exited()).state.tag).toBe("idle");
  });

  test("is called off when it is not needed any more, and when it takes too long", () => {
    expect(tell(...LIVE, YIELD, STAY).last).toEqual(["grant"]);
    expect(tell(...LIVE, YIELD, LATE)).toMatchObject({
      state: { tag: "ready", since: LIMITS.yieldMs },
      last: ["grant"],
    });
    expect(tell(...LIVE, UNLOAD, STAY).state.tag).toBe("draining");
  });

  test("for good, those who wait for the next launch are told", () => {
    expect(tell(...LIVE, YIELD, WANTED, CLOSE).last).toEqual(["reject"]);
    expect(tell(...LIVE, YIELD, WANTED, CLOSE, DRAINED, exited()).state.tag).toBe("closed");
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
    expect(tell(WANTED, TURN, PLANNED, UNLOAD).last).toEqual(["terminate", "reject"]);
    expect(tell(WANTED, TURN, PLANNED, UNLOAD, exited()).state.tag).toBe("idle");
  });

  test("for good refuses every later request", () => {
    expect(tell(CLOSE, WANTED).last).toEqual(["reject"]);
    expect(tell(...LIVE, CLOSE, WANTED).last).toEqual(["reject"]);
    expect(tell(...LIVE, CLOSE, DRAINED, WANTED).last).toEqual(["reject"]);
    expect(tell(...LIVE, CLOSE, DRAINED, exited(), WANTED).state.tag).toBe("closed");
    expect(tell(WANTED, TURN, PLANNED, exited(), CLOSE).state.tag).toBe("closed");
  });

  test("for good overrules an unload and a retry", () => {
    expect(tell(...LIVE, UNLOAD, CLOSE, DRAINED, exited()).state.tag).toBe("closed");
    expect(tell(WANTED, TURN, PLANNED, LOST, CLOSE, exited()).state.tag).toBe("closed");
  });

  test("an unload calls off a retry, and tells those who wait for it", () => {
    const { state, steps } = tell(WANTED, TURN, PLANNED, LOST, UNLOAD, exited());
    expect(steps.at(-2)).toEqual(["reject"]);
    expect(state.tag).toBe("failed");
    expect(tell(WANTED, TURN, PLANNED, exited(), UNLOAD).state.tag).toBe("idle");
  });
});
