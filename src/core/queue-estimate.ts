/** How long a wait for a slot may take, from how long slots were held of late. Pure. */

/** Weight of the newest: what was held before the last ten or so hardly counts. */
const NEWEST = 0.2;

/** The moving average with one more slot given back; null before the first. Milliseconds. */
export function averageHold(beforeMs: number | null, heldMs: number): number {
  return beforeMs === null ? heldMs : beforeMs + NEWEST * (heldMs - beforeMs);
}

export interface SlotsInUse {
  /** All of them, and all are taken. */
  readonly slots: number;
  /** How long a slot was held of late, from taken to given back; null when none was given back yet. */
  readonly averageMs: number | null;
  /** For how long those that are taken now have been held, on average. */
  readonly ageMs: number;
}

/** Milliseconds until the turn at this position comes (1 is the next); null when unknown. */
export function estimateWaitMs(position: number, { slots, averageMs, ageMs }: SlotsInUse): number | null {
  if (averageMs === null || slots < 1) return null;
  // Answers that run longer than those before them will not have been shorter in the end.
  return Math.ceil((position * Math.max(averageMs, ageMs)) / slots);
}
