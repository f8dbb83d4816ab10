/** The `starting` state of a coordinator's life: queued, planning, greeting, placing, loading, checking, and every way to fail. Pure. */
import { SynapticError } from "./errors.ts";
import type { After, Effect, In, Lifecycle, LifecycleEvent, Limits, Phase, Step } from "./lifecycle-types.ts";
import type { Cause } from "./llama-failure.ts";

export const CLOSED = new SynapticError("shutting_down", "Cannot serve the request: synaptic is shutting down");
export const UNLOADED = new SynapticError(
  "model_loading",
  "Cannot serve the request: the model was unloaded while it loaded",
);

/** The next launch: it waits for its turn first. */
export function begin(launch: number, attempt: number, failures: number, now: number, limits: Limits): Step {
  const deadline = now + limits.queueMs;
  return [{ tag: "starting", launch: launch + 1, phase: "queued", deadline, attempt, failures }, []];
}

/** Failed, with a back-off that doubles with each failure in a row. */
export function fail(launch: number, cause: SynapticError, failures: number, now: number, limits: Limits): Lifecycle {
  const wait = Math.min(limits.backoffMs * 2 ** failures, limits.longestBackoffMs);
  return { tag: "failed", launch, cause, retryAt: now + wait, failures: failures + 1 };
}

export function whenStarting(state: In<"starting">, event: LifecycleEvent, now: number, limits: Limits): Step {
  switch (event.tag) {
    case "turn":
      if (state.phase !== "queued") return [state, []];
      return [{ ...state, phase: "planning", deadline: now + limits.planMs }, [{ tag: "plan" }]];
    case "crowded":
      if (state.phase !== "planning") return [state, []];
      return [begin(state.launch, state.attempt, state.failures, now, limits)[0], [{ tag: "release" }]];
    case "unwanted":
      return state.phase === "queued" ? [{ tag: "idle", launch: state.launch }, []] : [state, []];
    case "planned":
      if (state.phase !== "planning") return [state, []];
      return [{ ...state, phase: "greeting", deadline: now + limits.greetMs }, [{ tag: "spawn" }]];
    case "refused":
      return [{ tag: "idle", launch: state.launch }, [{ tag: "release" }, { tag: "reject", error: event.error }]];
    case "greeted":
      if (state.phase !== "greeting") return [state, []];
      return [{ ...state, phase: "placing", deadline: now + event.placeMs }, []];
    case "placed":
      if (state.phase !== "greeting" && state.phase !== "placing") return [state, []];
      return [{ ...state, phase: "loading", deadline: now + event.loadMs }, []];
    case "loaded":
      if (!IN_CHILD.has(state.phase)) return [state, []];
      return [{ ...state, phase: "checking", deadline: now + limits.checkMs }, [{ tag: "check" }]];
    case "checked":
      if (event.error) return stopStarting(state, "failed", event.error, now, limits);
      return [{ tag: "ready", launch: state.launch, since: now, failures: state.failures }, [{ tag: "grant" }]];
    case "exited":
      return afterExit(state, event.cause, now, limits);
    case "lost":
      return stopStarting(state, "failed", event.error, now, limits, true);
    case "tick":
      if (now < state.deadline) return [state, []];
      return stopStarting(state, "failed", timeOut(state.phase), now, limits, MAY_RETRY.has(state.phase));
    case "unload":
      return stopStarting(state, "idle", UNLOADED, now, limits);
    case "close":
      return stopStarting(state, "closed", CLOSED, now, limits);
    case "wanted":
    case "drained":
    case "yield":
    case "stay":
      return [state, []];
  }
}

/** The child has not said yet that it is loaded. */
const IN_CHILD: ReadonlySet<Phase> = new Set(["greeting", "placing", "loading"]);
/** A backend that does not answer it: another plan does without. */
const MAY_RETRY: ReadonlySet<Phase> = new Set(["greeting", "placing"]);

const WAITED: Readonly<Record<Phase, string>> = {
  queued: "its turn did not come in time, as other models were in use",
  planning: "the backends could not be probed and leased in time",
  greeting: "llama-server printed nothing: a backend accepts connections but does not answer",
  placing: "llama-server waits for a backend: another client has perhaps taken it just before",
  loading: "the load did not end in time",
  checking: "the first completion did not end in time",
};

function timeOut(phase: Phase): SynapticError {
  return new SynapticError("coordinator_timeout", `Cannot load the model: ${WAITED[phase]}`, {
    hint: phase === "planning" || MAY_RETRY.has(phase) ? "see `synaptic backends`" : "see `synaptic status`",
  });
}

/** Ends a start that has or has not spawned yet. Waiters hear the cause now; the child is waited for. */
function stopStarting(
  state: In<"starting">,
  after: After,
  cause: SynapticError,
  now: number,
  limits: Limits,
  mayRetry = false,
): Step {
  const { launch, failures } = state;
  if (state.phase === "queued" || state.phase === "planning") {
    const next: Lifecycle = after === "failed" ? fail(launch, cause, failures, now, limits) : { tag: after, launch };
    return [next, [{ tag: "release" }, { tag: "reject", error: cause }]];
  }
  const retry = mayRetry && state.attempt < limits.attempts ? state.attempt + 1 : null;
  const deadline = now + limits.termMs;
  const stopping: Lifecycle = { tag: "stopping", launch, deadline, killed: false, after, cause, failures, retry };
  return [stopping, [{ tag: "terminate" }, ...(retry === null ? [{ tag: "reject", error: cause } as const] : [])]];
}

/** A child that ended while starting: tried again at once where another plan may help. */
function afterExit(state: In<"starting">, cause: Cause, now: number, limits: Limits): Step {
  const blame: Effect = { tag: "blame", cause };
  if (cause.again && state.attempt < limits.attempts) {
    const [next, effects] = begin(state.launch, state.attempt + 1, state.failures, now, limits);
    return [next, [blame, { tag: "release" }, ...effects]];
  }
  const failed = fail(state.launch, cause.error, state.failures, now, limits);
  return [failed, [blame, { tag: "release" }, { tag: "reject", error: cause.error }]];
}
