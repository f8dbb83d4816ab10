/** How many layers each device gets: as llama.cpp splits by memory, or the fastest first. Pure. */
import type { LayerCosts } from "./plan-cost.ts";
import type { Slot } from "./plan-slots.ts";
import { speedClasses } from "./plan-speed.ts";

/** Layers per slot, in slot order. */
export type Counts = readonly number[];

/** llama.cpp's own default: layer `il` goes to the first device whose cumulated share of free memory exceeds `il / total`
 *  (llama-model.cpp, in single precision; facts/llamacpp.md section f). */
export function countsByFreeMemory(slots: readonly Pick<Slot, "freeBytes">[], totalLayers: number): Counts {
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

interface Filled {
  readonly slots: readonly Slot[];
  readonly counts: Counts;
}

/** The first device that its layers do not fit on; null when all do. */
export function findOverfull({ slots, counts }: Filled, costs: LayerCosts): Overfull | null {
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

/** Each device filled as far as it goes, in slot order: where that does not hold the model, nothing does. `leftLayers` is
 *  what is over, `leftBytes` what one more device would need for it. */
export function fillUp(slots: readonly Slot[], costs: LayerCosts): { leftLayers: number; leftBytes: number } {
  const own = costs.among(slots.length);
  const from = slots.reduce((start, slot) => own.fill(start, slot.usableBytes), 0);
  const leftBytes = costs.among(slots.length + 1).total(from, own.totalLayers);
  return { leftLayers: own.totalLayers - from, leftBytes };
}

/** Whether the devices together have room for the weights and the cache: much cheaper to ask than to fill them. */
export function mayHold(slots: readonly Slot[], costs: LayerCosts): boolean {
  const { modelBytes, kvBytes } = costs.run(0, costs.totalLayers);
  return slots.reduce((sum, slot) => sum + slot.usableBytes, 0) >= modelBytes + kvBytes;
}

/** Steps of the search for the lowest common fill level: 2^-20 of a device's memory is below any layer's size. */
const LEVEL_STEPS = 20;

/** All devices to the same fraction of what they may use, the lowest that holds all layers; null when none does. */
export function countsEvenly(slots: readonly Slot[], costs: LayerCosts): Counts | null {
  return countsInTurn(slots, costs, () => 0);
}

/** The fastest devices first; those of the last class that is needed to a common level. Null when not all layers fit. */
export function countsByTurnOfSpeed(slots: readonly Slot[], costs: LayerCosts): Counts | null {
  const classes = speedClasses(slots.map((slot) => slot.bytesPerSecond));
  return countsInTurn(slots, costs, (index) => classes[index] ?? 0);
}

function countsInTurn(slots: readonly Slot[], costs: LayerCosts, turnOf: (index: number) => number): Counts | null {
  if (!mayHold(slots, costs)) return null;
  const turns = slots.map((_, index) => turnOf(index));
  const fill = (turn: number, level: number): Counts | null =>
    countsAt(slots, costs, (index) => {
      const own = turns[index] ?? 0;
      return own === turn ? level : own < turn ? 1 : 0;
    });
  const last = Math.max(0, ...turns);
  for (let turn = 0; turn <= last; turn++) {
    let best = fill(turn, 1);
    if (best === null) continue;
    let low = 0;
    let high = 1;
    for (let step = 0; step < LEVEL_STEPS; step++) {
      const level = (low + high) / 2;
      const counts = fill(turn, level);
      if (counts === null) low = level;
      else {
        best = counts;
        high = level;
      }
    }
    return best;
  }
  return null;
}

function countsAt(slots: readonly Slot[], costs: LayerCosts, levelOf: (index: number) => number): Counts | null {
  const own = costs.among(slots.length);
  let from = 0;
  const counts = slots.map((slot, index) => {
    const to = own.fill(from, slot.usableBytes * levelOf(index));
    const count = to - from;
    from = to;
    return count;
  });
  return from === own.totalLayers ? counts : null;
}
