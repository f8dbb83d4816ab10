/** What others see of a coordinator: the snapshot for people, and what the scheduler of swaps decides by. Pure. */
import type { Lifecycle } from "../core/lifecycle-types.ts";
import type { CoordinatorSnapshot } from "../core/snapshot.ts";
import type { SwapModel } from "../core/swap-types.ts";
import type { Admission } from "./admission.ts";
import type { Launch } from "./launch.ts";

export interface Viewed {
  readonly model: string;
  readonly state: Lifecycle;
  /** When it came into this state. */
  readonly since: number;
  /** When it was last wanted while it was not ready, or left `ready`. */
  readonly queuedSince: number;
  readonly now: number;
  readonly admission: Pick<Admission, "busy" | "waiting" | "oldestMs" | "lastUsed" | "load">;
  readonly pinned: boolean;
  /** How long it may be idle, in ms; `Infinity` for ever. */
  readonly keepMs: number;
}

type Shown = Pick<
  CoordinatorSnapshot,
  "model" | "state" | "since" | "phase" | "drainingFor" | "pinned" | "keepUntil" | "slots" | "queue" | LaunchPart
>;
type LaunchPart = "pid" | "progress" | "etaMs" | "tokensPerSecond" | "plan" | "proof";

const NO_LAUNCH: Pick<CoordinatorSnapshot, LaunchPart> = {
  pid: null,
  progress: null,
  etaMs: null,
  tokensPerSecond: null,
  plan: null,
  proof: null,
};

/** All of its snapshot but its failures. */
export function viewCoordinator(viewed: Viewed, of: Launch | null): Shown {
  const { model, state, since, admission, pinned } = viewed;
  const launch = of?.snapshot() ?? NO_LAUNCH;
  const keepUntil = isIdle(viewed) ? keptUntil(viewed) : null;
  return {
    model,
    state: state.tag,
    since: new Date(since).toISOString(),
    phase: state.tag === "starting" ? state.phase : null,
    drainingFor: state.tag === "draining" ? state.to : null,
    pinned,
    keepUntil: keepUntil === null ? null : new Date(keepUntil).toISOString(),
    ...launch,
    ...(state.tag !== "starting" && { progress: null, etaMs: null }),
    ...admission.load(launch.plan?.parallel ?? 0),
  };
}

/** Null when it neither holds room nor waits for any. `known`: its header has been read. */
export function viewSwap(viewed: Viewed, known: boolean): SwapModel | null {
  const { model: name, state, pinned, since } = viewed;
  switch (state.tag) {
    case "starting":
      // One that is being planned holds nothing yet.
      return state.phase === "queued" || state.phase === "planning"
        ? { tag: "queued", name, since: waitingSince(viewed), known }
        : { tag: "loading", name, pinned };
    case "ready": {
      const idle = isIdle(viewed);
      return { tag: "loaded", name, pinned, since, idle, usedAt: usedAt(viewed), keepUntil: keptUntil(viewed) };
    }
    case "draining":
      return { tag: "draining", name, pinned, to: state.to };
    case "stopping":
      return { tag: "stopping", name, pinned };
    default:
      return null;
  }
}

/** Loaded, and nobody uses it or waits for it. */
export function isIdle({ state, admission }: Pick<Viewed, "state" | "admission">): boolean {
  return state.tag === "ready" && admission.busy() + admission.waiting() === 0;
}

/** Whoever waits for a model that has just made room for another comes after that one, however long it has waited. */
function waitingSince({ admission, now, queuedSince }: Viewed): number {
  return Math.max(queuedSince, now - (admission.oldestMs() ?? 0));
}

function usedAt({ admission, since }: Viewed): number {
  return Math.max(since, admission.lastUsed());
}

function keptUntil(viewed: Viewed): number | null {
  return viewed.pinned || viewed.keepMs === Number.POSITIVE_INFINITY ? null : usedAt(viewed) + viewed.keepMs;
}
