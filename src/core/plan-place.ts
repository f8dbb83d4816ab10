/** How many layers go on which device, for each placement. Pure. */
import type { LayerCosts } from "./plan-cost.ts";
import { rankBackends, type Slot, slotsOf, withinLimits } from "./plan-slots.ts";
import type { BackendFacts, LocalDevice, Placement } from "./plan-types.ts";

/** Layers per slot, in slot order. */
export type Counts = readonly number[];

export interface Placed {
  readonly backends: readonly BackendFacts[];
  readonly slots: readonly Slot[];
  readonly counts: Counts;
}

export interface Candidates {
  readonly backends: readonly BackendFacts[];
  readonly localDevices: readonly LocalDevice[];
}

/** Null when the layers do not fit (or, pinned, when the pins do not add up to the model). */
export function placeLayers(candidates: Candidates, costs: LayerCosts, placement: Placement): Placed | null {
  switch (placement) {
    case "fewest":
      return placeFewest(candidates, costs);
    case "spread":
      return placeSpread(candidates, costs);
    case "pinned":
      return placePinned(candidates, costs);
  }
}

/** As few as fit: the head node's own devices first, then with the best backend, the best two, and so on. */
function placeFewest({ backends, localDevices }: Candidates, costs: LayerCosts): Placed | null {
  const ranked = withinLimits(rankBackends(backends), localDevices);
  for (let count = localDevices.length > 0 ? 0 : 1; count <= ranked.length; count++) {
    const chosen = inListedOrder(backends, ranked.slice(0, count));
    const slots = slotsOf(chosen, localDevices);
    const counts = countsByLevel(slots, costs);
    if (counts) return { backends: chosen, slots, counts };
  }
  return null;
}

/** All usable backends in proportion to free memory; evened out only where that would overfill one of them. */
function placeSpread({ backends, localDevices }: Candidates, costs: LayerCosts): Placed | null {
  const chosen = inListedOrder(backends, withinLimits(rankBackends(backends), localDevices));
  const slots = slotsOf(chosen, localDevices);
  const even = countsByFreeMemory(slots, costs.totalLayers);
  const counts = findOverfull({ slots, counts: even }, costs) ? countsByLevel(slots, costs) : even;
  return counts && { backends: chosen, slots, counts };
}

function placePinned(candidates: Candidates, costs: LayerCosts): Placed | null {
  const placed = asPinned(candidates);
  if (placed.counts.reduce((sum, count) => sum + count, 0) !== costs.totalLayers) return null;
  return findOverfull(placed, costs) ? null : placed;
}

/** Exactly the layers that the owner gave each backend, whether they fit or not; the head node's own devices hold none. */
export function asPinned({ backends, localDevices }: Candidates): Placed {
  const chosen = withinLimits(
    backends.filter((backend) => (backend.layers ?? 0) > 0),
    localDevices,
  );
  const slots = slotsOf(chosen, localDevices);
  const counts = chosen.flatMap((backend, position) =>
    countsByFreeMemory(
      slots.filter((slot) => slot.backend === position),
      backend.layers ?? 0,
    ),
  );
  return { backends: chosen, slots, counts: slots.map((_, index) => counts[index] ?? 0) };
}

function inListedOrder(backends: readonly BackendFacts[], chosen: readonly BackendFacts[]): readonly BackendFacts[] {
  const kept = new Set(chosen);
  return backends.filter((backend) => kept.has(backend));
}

/** llama.cpp's own default: layer `il` goes to the first device whose cumulated share of free memory exceeds `il / total`
 *  (llama-model.cpp, in single precision; facts/llamacpp.md section f). */
export function countsByFreeMemory(slots: readonly Slot[], totalLayers: number): Counts {
  let sum = 0;
  const cumulated: number[] = [];
  for (const slot of slots) {
    sum = Math.fround(sum + Math.fround(slot.freeBytes));
    cumulated.push(sum);
  }
  const shares = cumulated.map((value) => Math.fround(value / sum));
  const counts = slots.map(() => 0);
  for (let layer = 0; layer < totalLayers; layer++) {
    const position = Math.fround(layer / totalLayers);
    const found = shares.findIndex((share) => share > position);
    const slot = found === -1 ? slots.length - 1 : found;
    counts[slot] = (counts[slot] ?? 0) + 1;
  }
  return counts;
}

export interface Overfull {
  readonly slot: Slot;
  readonly layers: number;
  readonly neededBytes: number;
}

/** The first device that its layers do not fit on; null when all do. */
export function findOverfull({ slots, counts }: Pick<Placed, "slots" | "counts">, costs: LayerCosts): Overfull | null {
  const own = costs.among(slots.length);
  let from = 0;
  for (const [index, slot] of slots.entries()) {
    const layers = counts[index] ?? 0;
    const neededBytes = own.total(from, from + layers);
    if (neededBytes > slot.usableBytes) return { slot, layers, neededBytes };
    from += layers;
  }
  return null;
}

/** Steps of the search for the lowest common fill level: 2^-20 of a device's memory is below any layer's size. */
const LEVEL_STEPS = 20;

/** Fills every device to the same fraction of what it may use, the lowest that holds all layers; null when none does. */
function countsByLevel(slots: readonly Slot[], costs: LayerCosts): Counts | null {
  let best = countsAtLevel(slots, costs, 1);
  if (best === null) return null;
  let low = 0;
  let high = 1;
  for (let step = 0; step < LEVEL_STEPS; step++) {
    const level = (low + high) / 2;
    const counts = countsAtLevel(slots, costs, level);
    if (counts === null) low = level;
    else {
      best = counts;
      high = level;
    }
  }
  return best;
}

function countsAtLevel(slots: readonly Slot[], costs: LayerCosts, level: number): Counts | null {
  const own = costs.among(slots.length);
  let from = 0;
  const counts = slots.map((slot) => {
    const to = own.fill(from, slot.usableBytes * level);
    const count = to - from;
    from = to;
    return count;
  });
  return from === own.totalLayers ? counts : null;
}
