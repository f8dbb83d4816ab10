/** A coordinator's life: (state, event, now) to [state, effects]. Pure; the laws stand in design.md section 7 and are
 *  property tests. Every event but a person's wish carries the launch that it belongs to, so that a late one of an
 *  earlier launch changes nothing. Deadlines are values in the state: the caller sends `tick` when one has passed. */
import { SynapticError } from "./errors.ts";
import { begin, CLOSED, fail, UNLOADED, whenStarting } from "./lifecycle-starting.ts";
import { type In, LIMITS, type Lifecycle, type LifecycleEvent, type Limits, type Step } from "./lifecycle-types.ts";

/** Nobody has asked for it yet. */
export const INITIAL: Lifecycle = { tag: "idle", launch: 0 };

/** The moment at which `tick` is due, or null where nothing is waited for. */
export function deadlineOf(state: Lifecycle): number | null {
  return "deadline" in state ? state.deadline : null;
}

/** What becomes of a coordinator, and what is to be done about it, in order. */
export function transition(state: Lifecycle, event: LifecycleEvent, now: number, limits: Limits = LIMITS): Step {
  if ("launch" in event && event.launch !== state.launch) return [state, []];
  switch (state.tag) {
    case "idle":
      return whenIdle(state, event, now, limits);
    case "starting":
      return whenStarting(state, event, now, limits);
    case "ready":
      return whenReady(state, event, now, limits);
    case "draining":
      return whenDraining(state, event, now, limits);
    case "stopping":
      return whenStopping(state, event, now, limits);
    case "failed":
      return whenFailed(state, event, now, limits);
    case "closed":
      return event.tag === "wanted" ? [state, [{ tag: "reject", error: CLOSED }]] : [state, []];
  }
}

function whenIdle(state: In<"idle">, event: LifecycleEvent, now: number, limits: Limits): Step {
  if (event.tag === "wanted") return begin(state.launch, 1, 0, now, limits);
  if (event.tag === "close") return [{ tag: "closed", launch: state.launch }, []];
  return [state, []];
}

function whenFailed(state: In<"failed">, event: LifecycleEvent, now: number, limits: Limits): Step {
  if (event.tag === "wanted") {
    if (now >= state.retryAt) return begin(state.launch, 1, state.failures, now, limits);
    return [state, [{ tag: "reject", error: state.cause }]];
  }
  if (event.tag === "unload") return [{ tag: "idle", launch: state.launch }, []];
  if (event.tag === "close") return [{ tag: "closed", launch: state.launch }, []];
  return [state, []];
}

function whenReady(state: In<"ready">, event: LifecycleEvent, now: number, limits: Limits): Step {
  const { launch } = state;
  switch (event.tag) {
    case "wanted":
      return [state, [{ tag: "grant" }]];
    case "exited":
      return [
        crashed(state, event.cause.error, now, limits),
        [{ tag: "blame", cause: event.cause }, { tag: "release" }],
      ];
    case "lost":
      return [
        stop(launch, "idle", now, limits),
        [{ tag: "terminate" }, { tag: "blame", cause: { error: event.error, endpoint: null, again: true } }],
      ];
    case "unload":
      return [drain(launch, "idle", now + limits.drainMs), []];
    case "close":
      return [drain(launch, "closed", now + limits.drainMs), []];
    case "yield":
      return [{ ...drain(launch, "idle", now + limits.yieldMs), to: event.to }, []];
    default:
      return [state, []];
  }
}

/** A coordinator that was stable may start again at once; one that keeps dying waits longer each time. */
function crashed(state: In<"ready">, cause: SynapticError, now: number, limits: Limits): Lifecycle {
  const stable = now - state.since >= limits.stableMs;
  if (stable || state.failures === 0) return { tag: "failed", launch: state.launch, cause, retryAt: now, failures: 1 };
  return fail(state.launch, cause, state.failures, now, limits);
}

function drain(launch: number, after: "idle" | "closed", deadline: number): In<"draining"> {
  return { tag: "draining", launch, deadline, after, to: null, wanted: false };
}

function stop(launch: number, after: "idle" | "closed", now: number, limits: Limits, wanted = false): Lifecycle {
  const deadline = now + limits.termMs;
  const retry = wanted ? 1 : null;
  return { tag: "stopping", launch, deadline, killed: false, after, cause: null, failures: 0, retry };
}

function whenDraining(state: In<"draining">, event: LifecycleEvent, now: number, limits: Limits): Step {
  const { launch, after, to, wanted } = state;
  const goOn: Step = [{ tag: "ready", launch, since: now, failures: 0 }, [{ tag: "grant" }]];
  switch (event.tag) {
    case "drained":
    case "lost":
      return [stop(launch, after, now, limits, wanted), [{ tag: "terminate" }]];
    case "tick":
      if (now < state.deadline) return [state, []];
      return to === null ? [stop(launch, after, now, limits), [{ tag: "terminate" }]] : goOn;
    case "exited":
      return settle({ launch, after, cause: null, failures: 0, retry: wanted ? 1 : null }, now, limits);
    case "close":
      return [
        drain(launch, "closed", Math.min(state.deadline, now + limits.drainMs)),
        wanted ? [{ tag: "reject", error: CLOSED }] : [],
      ];
    case "wanted":
      if (after === "closed") return [state, [{ tag: "reject", error: CLOSED }]];
      return to === null ? goOn : [{ ...state, wanted: true }, []];
    case "unwanted":
      return [{ ...state, wanted: false }, []];
    case "stay":
      return to === null ? [state, []] : goOn;
    default:
      return [state, []];
  }
}

const UNDYING = new SynapticError("coordinator_timeout", "Cannot start the model: its last llama-server does not end", {
  hint: "the kernel holds it (a stuck disk or driver?); see `synaptic status` for its pid",
});

function whenStopping(state: In<"stopping">, event: LifecycleEvent, now: number, limits: Limits): Step {
  switch (event.tag) {
    case "exited":
      return settle(state, now, limits);
    case "tick":
      if (now < state.deadline) return [state, []];
      if (!state.killed) return [{ ...state, killed: true, deadline: now + limits.killMs }, [{ tag: "kill" }]];
      return [
        { ...state, retry: null, deadline: now + limits.killMs },
        [{ tag: "kill" }, { tag: "reject", error: UNDYING }],
      ];
    case "close":
      return [{ ...state, after: "closed", retry: null }, [{ tag: "reject", error: CLOSED }]];
    case "unload":
      return [{ ...state, retry: null }, [{ tag: "reject", error: UNLOADED }]];
    case "unwanted":
      // One that was to be tried again because it failed is, whoever waits.
      return state.cause === null ? [{ ...state, retry: null }, []] : [state, []];
    case "wanted":
      // Whoever comes now waits for the next launch, which starts when this child is seen to be gone.
      if (state.after === "closed") return [state, [{ tag: "reject", error: CLOSED }]];
      if (state.retry !== null) return [state, []];
      if (state.after === "failed" && state.cause) return [state, [{ tag: "reject", error: state.cause }]];
      return [{ ...state, retry: 1 }, []];
    default:
      return [state, []];
  }
}

/** The child is gone: go where the stop was meant to lead, or start again for those who wait. */
function settle(
  stopped: Pick<In<"stopping">, "launch" | "after" | "cause" | "failures" | "retry">,
  now: number,
  limits: Limits,
): Step {
  const { launch, after, cause, failures, retry } = stopped;
  if (after === "closed") return [{ tag: "closed", launch }, [{ tag: "release" }, { tag: "reject", error: CLOSED }]];
  if (retry !== null) {
    const [next, effects] = begin(launch, retry, failures, now, limits);
    return [next, [{ tag: "release" }, ...effects]];
  }
  if (after === "failed" && cause) {
    return [fail(launch, cause, failures, now, limits), [{ tag: "release" }, { tag: "reject", error: cause }]];
  }
  return [{ tag: "idle", launch }, [{ tag: "release" }]];
}
