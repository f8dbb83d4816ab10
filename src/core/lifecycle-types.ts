/** The states, events, effects and limits of a coordinator's life. Types and constants only. */
import type { SynapticError } from "./errors.ts";
import type { Cause } from "./llama-failure.ts";

/** What `starting` waits for: its turn, as others may be in the way; a plan and leases; the first word of the child; its
 *  memory on all backends; its load; the check of what it loaded. */
export type Phase = "queued" | "planning" | "greeting" | "placing" | "loading" | "checking";

/** Where a stop leads to. */
export type After = "idle" | "failed" | "closed";

export type Lifecycle =
  | { readonly tag: "idle"; readonly launch: number }
  | {
      readonly tag: "starting";
      readonly launch: number;
      readonly phase: Phase;
      readonly deadline: number;
      /** Launches in a row since somebody asked, this one included. */
      readonly attempt: number;
      readonly failures: number;
    }
  | { readonly tag: "ready"; readonly launch: number; readonly since: number; readonly failures: number }
  | {
      readonly tag: "draining";
      readonly launch: number;
      readonly deadline: number;
      readonly after: "idle" | "closed";
      /** The model that it makes room for; null when its owner unloads it, which a new request calls off. */
      readonly to: string | null;
      /** Somebody waits for its next launch. */
      readonly wanted: boolean;
    }
  | {
      readonly tag: "stopping";
      readonly launch: number;
      readonly deadline: number;
      readonly killed: boolean;
      readonly after: After;
      readonly cause: SynapticError | null;
      readonly failures: number;
      /** Attempt to start again at once, when a backend was to blame. */
      readonly retry: number | null;
    }
  | {
      readonly tag: "failed";
      readonly launch: number;
      readonly cause: SynapticError;
      readonly retryAt: number;
      readonly failures: number;
    }
  | { readonly tag: "closed"; readonly launch: number };

export type LifecycleEvent =
  | { readonly tag: "wanted" }
  /** Nobody waits for it any more. */
  | { readonly tag: "unwanted" }
  /** It may be planned now. */
  | { readonly tag: "turn" }
  /** There is no room for it yet. */
  | { readonly tag: "crowded"; readonly launch: number }
  | { readonly tag: "planned"; readonly launch: number }
  | { readonly tag: "refused"; readonly launch: number; readonly error: SynapticError }
  | { readonly tag: "greeted"; readonly launch: number; readonly placeMs: number }
  /** It has its memory on all backends, and so a connection to each. */
  | { readonly tag: "placed"; readonly launch: number; readonly loadMs: number }
  | { readonly tag: "loaded"; readonly launch: number }
  | { readonly tag: "checked"; readonly launch: number; readonly error: SynapticError | null }
  | { readonly tag: "exited"; readonly launch: number; readonly cause: Cause }
  | { readonly tag: "lost"; readonly launch: number; readonly error: SynapticError }
  | { readonly tag: "unload" }
  /** Make room for another model. */
  | { readonly tag: "yield"; readonly to: string }
  /** The room is needed no longer. */
  | { readonly tag: "stay" }
  | { readonly tag: "close" }
  | { readonly tag: "drained"; readonly launch: number }
  | { readonly tag: "tick" };

export type Effect =
  | { readonly tag: "plan" }
  | { readonly tag: "spawn" }
  | { readonly tag: "check" }
  | { readonly tag: "grant" }
  | { readonly tag: "reject"; readonly error: SynapticError }
  | { readonly tag: "terminate" }
  | { readonly tag: "kill" }
  /** The child is gone: give the leases back. */
  | { readonly tag: "release" }
  /** It failed by itself; where the engine named an endpoint, hold that one down. */
  | { readonly tag: "blame"; readonly cause: Cause };

export type Step = readonly [Lifecycle, readonly Effect[]];

export interface Limits {
  /** For its turn: longer than a few models in a row are answering for. */
  readonly queueMs: number;
  readonly planMs: number;
  /** Until the first line: a backend that accepts and never answers keeps llama-server silent for good. */
  readonly greetMs: number;
  readonly checkMs: number;
  /** Of an unload by its owner: running answers are cut then. */
  readonly drainMs: number;
  /** To make room for another: answers are never cut for that, it goes on then and is asked again later. */
  readonly yieldMs: number;
  readonly termMs: number;
  readonly killMs: number;
  readonly attempts: number;
  readonly backoffMs: number;
  readonly longestBackoffMs: number;
  /** Ready for this long wipes earlier failures out. */
  readonly stableMs: number;
}

export const LIMITS: Limits = {
  queueMs: 600_000,
  planMs: 30_000,
  greetMs: 20_000,
  checkMs: 300_000,
  drainMs: 30_000,
  yieldMs: 300_000,
  termMs: 3_000,
  killMs: 5_000,
  attempts: 3,
  backoffMs: 1_000,
  longestBackoffMs: 60_000,
  stableMs: 60_000,
};

export type In<Tag extends Lifecycle["tag"]> = Extract<Lifecycle, { tag: Tag }>;
