/** The fewest backends that hold a model, among the fast ones; or the one machine that is faster alone. Pure. */
import type { LayerCosts } from "./plan-cost.ts";
import { countsByTurnOfSpeed, fillUp, mayHold } from "./plan-fill.ts";
import {
  HEAD_CPU,
  inListedOrder,
  type Park,
  parkWith,
  type Rated,
  type Slot,
  slotsOf,
  withinLimits,
} from "./plan-slots.ts";
import { EQUAL_SPEED, secondsPerToken } from "./plan-speed.ts";

/** Layers per slot, in slot order, and the backends that the slots belong to. */
export interface Placed {
  readonly backends: readonly Rated[];
  readonly slots: readonly Slot[];
  readonly counts: readonly number[];
}

/** Takes the fewest of the fast backends, unless one backend or the head node alone is estimated faster, or the fastest
 *  ones are by more than measurements vary. Null when nothing holds the model. */
export function placeFewest(park: Park, costs: LayerCosts): Placed | null {
  const fast = fastEnough(park, costs);
  const few = fast && firstThatHold(park, costs, fast.byMemory);
  const seconds = (placed: Placed) => secondsPerToken(placed, costs);
  const faster = (a: Placed | null, b: Placed | null) => (a && b ? (seconds(b) < seconds(a) ? b : a) : (a ?? b));
  const priority = Math.max(...(few?.backends ?? []).map((backend) => backend.priority), Number.NEGATIVE_INFINITY);
  const single = few && few.backends.length === 1 ? null : bestSingle(park, costs, priority);
  const head = priority > 0 ? null : placeOnHead(park, costs);
  const best = faster(head, faster(few, single));
  const quick = fast && firstThatHold(park, costs, fast.bySpeed);
  return best && quick && seconds(quick) * EQUAL_SPEED < seconds(best) ? quick : (best ?? quick);
}

/** Whether the model fits on the park at all. */
export function isHeld(park: Park, costs: LayerCosts): boolean {
  return holdsOn(park, costs, park.byMemory) || placeOnHead(park, costs) !== null;
}

/** The head node's CPU alone, without any backend; only when it was measured, since what it is worth is not known else. */
export function placeOnHead({ headCpu, memory }: Park, costs: LayerCosts): Placed | null {
  const bytes = memory.headBytes;
  if (headCpu === null || bytes === null) return null;
  const neededBytes = costs.among(1).total(0, costs.totalLayers);
  const usableBytes = Math.max(0, bytes - memory.staysBytes);
  if (neededBytes > usableBytes) return null;
  const slot: Slot = {
    backend: HEAD_CPU,
    index: 0,
    kind: "cpu",
    freeBytes: bytes,
    usableBytes,
    bytesPerSecond: headCpu,
  };
  return { backends: [], slots: [slot], counts: [costs.totalLayers] };
}

interface Fast {
  readonly byMemory: readonly Rated[];
  /** In classes of speed, the fastest first; in each the most memory first. */
  readonly bySpeed: readonly Rated[];
}

/** Those at or above the highest threshold of speed at which they hold the model, and those whose speed is equal to it.
 *  More backends hold more, so the threshold is found by halving. The owner's priority is the coarser threshold. */
function fastEnough(park: Park, costs: LayerCosts): Fast | null {
  const { bySpeed, byMemory, localDevices } = park;
  const rank = new Map(bySpeed.map((backend, position) => [backend, position]));
  const among = (count: number) => byMemory.filter((backend) => (rank.get(backend) ?? 0) < count);
  let low = localDevices.length > 0 ? 0 : Math.min(1, bySpeed.length);
  let high = bySpeed.length;
  if (!holdsOn(park, costs, byMemory)) return null;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (holdsOn(park, costs, among(middle))) high = middle;
    else low = middle + 1;
  }
  const last = bySpeed[high - 1];
  if (!last) return { byMemory: [], bySpeed: [] };
  const isFast = ({ priority, bytesPerSecond }: Rated) =>
    priority > last.priority || (priority === last.priority && bytesPerSecond * EQUAL_SPEED >= last.bytesPerSecond);
  const fast = byMemory.filter(isFast);
  return {
    byMemory: fast,
    bySpeed: fast.toSorted((a, b) => b.priority - a.priority || a.speedClass - b.speedClass),
  };
}

function holdsOn(park: Park, costs: LayerCosts, ranked: readonly Rated[]): boolean {
  const slots = slotsOf(park, inListedOrder(park, withinLimits(ranked, park.localDevices)));
  if (!mayHold(slots, costs)) return false;
  return fillUp(slots, costs).leftLayers === 0 || firstThatHold(park, costs, ranked) !== null;
}

/** The shortest start of the list that holds the model, none first where the head node has devices. */
function firstThatHold(park: Park, costs: LayerCosts, ranked: readonly Rated[]): Placed | null {
  const taken = withinLimits(ranked, park.localDevices);
  for (let count = park.localDevices.length > 0 ? 0 : 1; count <= taken.length; count++) {
    const placed = placeOn(park, costs, taken.slice(0, count));
    if (placed) return placed;
  }
  return null;
}

function placeOn(park: Park, costs: LayerCosts, chosen: readonly Rated[]): Placed | null {
  const backends = inListedOrder(park, chosen);
  const slots = slotsOf(park, backends);
  const counts = countsByTurnOfSpeed(slots, costs);
  return counts && { backends, slots, counts };
}

/** The fastest backend that holds the model alone, of those that the owner does not rank below `priority`. */
function bestSingle(park: Park, costs: LayerCosts, priority: number): Placed | null {
  const { modelBytes, kvBytes } = costs.run(0, costs.totalLayers);
  const large = park.bySpeed.filter((each) => each.priority >= priority && each.usableBytes >= modelBytes + kvBytes);
  for (const backend of large.toSorted((a, b) => b.bytesPerSecond - a.bytesPerSecond)) {
    const placed = withinLimits([backend], park.localDevices).length > 0 ? placeOn(park, costs, [backend]) : null;
    if (placed) return placed;
  }
  return null;
}

/** As `fewest`, but only on backends whose single loss the others survive. Null when none hold the model so. */
export function placeResilient(park: Park, costs: LayerCosts): Placed | null {
  // Who is not among the best of all is not needed: the best hold the model without it.
  const needed = new Set(withinLimits(park.byMemory, park.localDevices));
  if (!holdsOn(park, costs, park.byMemory)) return null;
  const isSpare = (backend: Rated): boolean => {
    if (!needed.has(backend)) return true;
    return holdsOn(
      park,
      costs,
      park.byMemory.filter((other) => other !== backend),
    );
  };
  return placeFewest({ ...parkWith(park, isSpare), headCpu: null }, costs);
}
