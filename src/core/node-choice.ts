/** Which of the nodes that have a model gets a request. Pure. */
import type { CircuitState } from "./circuit.ts";

export interface NodeCandidate {
  readonly url: string;
  /** Larger is used earlier. */
  readonly priority: number;
  /** How much of the work it is to get in relation to others; above 0. */
  readonly weight: number;
  readonly isLoaded: boolean;
  /** Requests of ours that it works on. */
  readonly inFlight: number;
  /** Lately, on average, until the first token; null before it has answered any. */
  readonly firstTokenMs: number | null;
  /** It answered an earlier turn of this conversation, so its cache holds the start of the prompt. */
  readonly holdsPrefix: boolean;
  readonly circuit: CircuitState;
}

export interface NodeChoice {
  readonly url: string;
  /** Why this one, as a clause. */
  readonly why: string;
}

/** A conversation stays with its node unless that has so many requests more than the idlest one. */
const MUCH_BUSIER = 2;

/** Best first; nodes whose circuit is open are left out, those that are to be tried again come last. */
export function rankNodes(candidates: readonly NodeCandidate[]): readonly NodeChoice[] {
  const usable = candidates.filter(
    ({ circuit, inFlight }) => circuit !== "open" && !(circuit === "half-open" && inFlight > 0),
  );
  const least = Math.min(...usable.map(busy));
  const stays = (node: NodeCandidate): boolean => node.holdsPrefix && busy(node) - least < MUCH_BUSIER;
  const sorted = usable.toSorted(
    (a, b) =>
      order(a.circuit === "half-open", b.circuit === "half-open") ||
      b.priority - a.priority ||
      order(stays(b), stays(a)) ||
      order(b.isLoaded, a.isLoaded) ||
      busy(a) - busy(b) ||
      (a.firstTokenMs ?? 0) - (b.firstTokenMs ?? 0) ||
      order(a.url > b.url, a.url < b.url),
  );
  return sorted.map((node) => ({ url: node.url, why: whyThis(node, stays(node), usable.length) }));
}

function busy({ inFlight, weight }: NodeCandidate): number {
  return inFlight / weight;
}

/** False before true. */
function order(a: boolean, b: boolean): number {
  return Number(a) - Number(b);
}

function whyThis({ isLoaded, inFlight }: NodeCandidate, stays: boolean, count: number): string {
  if (count === 1) return isLoaded ? "the one node with it, loaded" : "the one node with it";
  if (stays) return "holds this conversation's start";
  const work = inFlight === 0 ? "idle" : `${inFlight} in flight`;
  return `${isLoaded ? "loaded" : "has it"}, ${work}`;
}
