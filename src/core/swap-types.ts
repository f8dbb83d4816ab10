/** What the scheduler of swaps is given and what it decides. Types and constants only. */

/** A model that waits for room, holds some, or gives some back; one that does neither is not told of. Times in ms. */
export type SwapModel =
  | {
      readonly tag: "queued";
      readonly name: string;
      /** When the oldest of its requests came. */
      readonly since: number;
      /** Its header has been read, so that `fits` can tell of it. */
      readonly known: boolean;
    }
  | { readonly tag: "loading"; readonly name: string; readonly pinned: boolean }
  | LoadedModel
  /** No new request is let in; running ones end. `to`: for whom, null when its owner unloads it. */
  | { readonly tag: "draining"; readonly name: string; readonly pinned: boolean; readonly to: string | null }
  /** Its process ends: room within seconds. */
  | { readonly tag: "stopping"; readonly name: string; readonly pinned: boolean };

export interface LoadedModel {
  readonly tag: "loaded";
  readonly name: string;
  readonly pinned: boolean;
  /** When it became ready. */
  readonly since: number;
  /** Nobody is answered by it or waits for it. */
  readonly idle: boolean;
  /** When its last answer ended; when it became ready, if there was none. */
  readonly usedAt: number;
  /** When it is ended if it is idle by then; null keeps it for ever. */
  readonly keepUntil: number | null;
}

/** Whether all of these find room together, placed in this order, once those in `without` have given back what they hold. */
export type Fits = (models: readonly string[], without: readonly string[]) => boolean;

export interface SwapRules {
  /** Once somebody has waited for this long, a model in use makes room. */
  readonly longestWaitMs: number;
  /** A model in use is left for at least this long after it became ready. */
  readonly leastResidencyMs: number;
  /** An idle model is left for this long after its last answer, as a client that talks in turns asks again at once:
   *  without it two such clients swap their models at every turn. */
  readonly lingerMs: number;
}

export const SWAP_RULES: SwapRules = { longestWaitMs: 10_000, leastResidencyMs: 30_000, lingerMs: 500 };

export interface SwapWorld {
  readonly now: number;
  readonly models: readonly SwapModel[];
  readonly fits: Fits;
  readonly rules: SwapRules;
}

export interface Leave {
  readonly model: string;
  /** For whom; null when its time is up. */
  readonly to: string | null;
  /** What to log. */
  readonly why: string;
}

export interface SwapDecision {
  /** Models that let nobody in any more: idle ones end at once, those in use with their last answer. */
  readonly leave: readonly Leave[];
  /** Models that go on after all, since the room they were to make is needed no longer. */
  readonly stay: readonly string[];
  /** The model that may be planned and leased for now; one at a time, as two must not count on the same room. */
  readonly turn: string | null;
  /** Queued models that find no room even if all others went that may go; and the pinned ones whose room would do. */
  readonly hopeless: readonly { readonly model: string; readonly pinned: readonly string[] }[];
  /** When to decide again though nothing has happened; null when only an event can change anything. */
  readonly lookAt: number | null;
}
