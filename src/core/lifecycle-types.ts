/** The states, events, effects and limits of a coordinator's life. Types and constants only. */
import type { SynapticError } from "./errors.ts";
import type { Cause } from "./llama-failure.ts";

/** What `starting` waits for: a plan and leases, the first word of the child, its load, the check of what it loaded. */
export type Phase = "planning" | "greeting" | "loading" | "checking";

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
  | { readonly tag: "draining"; readonly launch: number; readonly deadline: number; readonly after: "idle" | "closed" }
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
  | { readonly tag: "planned"; readonly launch: number }
  | { readonly tag: "refused"; readonly launch: number; readonly error: SynapticError }
  | { readonly tag: "greeted"; readonly launch: number; readonly loadMs: number }
  | { readonly tag: "loaded"; readonly launch: number }
  | { readonly tag: "checked"; readonly launch: number; readonly error: SynapticError | null }
  | { readonly tag: "exited"; readonly launch: number; readonly cause: Cause }
  | { readonly tag: "lost"; readonly launch: number; readonly error: SynapticError }
  | { readonly tag: "unload" }
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
  readonly planMs: number;
  /** Until the first line: a backend that accepts and never answers keeps llama-server silent for good. */
  readonly greetMs: number;
  readonly checkMs: number;
  readonly drainMs: number;
  readonly termMs: number;
  readonly killMs: number;
  readonly attempts: number;
  readonly backoffMs: number;
  readonly longestBackoffMs: number;
  /** Ready for this long wipes earlier failures out. */
  readonly stableMs: number;
}

export const LIMITS: Limits = {
  planMs: 30_000,
  greetMs: 20_000,
  checkMs: 300_000,
  drainMs: 30_000,
  termMs: 3_000,
  killMs: 5_000,
  attempts: 3,
  backoffMs: 1_000,
  longestBackoffMs: 60_000,
  stableMs: 60_000,
};

export type In<Tag extends Lifecycle["tag"]> = Extract<Lifecycle, { tag: Tag }>;
