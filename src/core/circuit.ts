/** Whether a node that failed requests may be asked again: closed, open for a while, then one at a time. Pure. */

export interface Circuit {
  /** Requests in a row that failed by the node's fault. */
  readonly failures: number;
  /** Nobody is sent there before; 0 when it never opened. */
  readonly openUntilMs: number;
}

export type CircuitState = "closed" | "open" | "half-open";

export const CLOSED_CIRCUIT: Circuit = { failures: 0, openUntilMs: 0 };

const OPENS_AT = 2;
const FIRST_MS = 2_000;
const LONGEST_MS = 60_000;

/** `half-open`: one request may try. */
export function circuitState({ failures, openUntilMs }: Circuit, nowMs: number): CircuitState {
  if (failures < OPENS_AT) return "closed";
  return nowMs < openUntilMs ? "open" : "half-open";
}

/** Opens at the second failure in a row, for twice as long at each further one. */
export function afterFailure({ failures }: Circuit, nowMs: number): Circuit {
  const count = failures + 1;
  const pause = count < OPENS_AT ? 0 : Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(10, count - OPENS_AT));
  return { failures: count, openUntilMs: nowMs + pause };
}
