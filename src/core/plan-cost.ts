/** What a run of layers costs a device: weights, KV cache and a compute reserve, in bytes. Pure. */
import type { ModelFacts } from "./model.ts";
import { computeReserve, headReserve, lentReserve } from "./plan-compute.ts";
import { layerKvBytes, type Sizing } from "./plan-kv.ts";

export interface RunCost {
  readonly modelBytes: number;
  readonly kvBytes: number;
  readonly computeBytes: number;
}

/** Layers that borrow look into the last two that don't: one sees the whole context, one a window. */
const LENDERS = 2;

/** Prefix sums over the layers, so that any contiguous run costs O(1). Index `layers.length` is the output head. */
export class LayerCosts {
  readonly totalLayers: number;
  readonly #facts: ModelFacts;
  readonly #sizing: Sizing;
  readonly #pipelined: boolean;
  readonly #weights: number[] = [0];
  readonly #read: number[] = [0];
  readonly #kv: number[] = [0];
  readonly #full: number[] = [0];
  readonly #windowed: number[] = [0];
  /** The first layer that looks into other layers' caches; beyond the end when none does. */
  readonly #borrower: number;
  /** What each layer borrows, in bytes. */
  readonly #lent: number[] = [0];
  readonly #reserves = new Map<number, number>();
  #alone: LayerCosts | null = null;

  constructor(facts: ModelFacts, sizing: Sizing, pipelined = true) {
    this.#facts = facts;
    this.#sizing = sizing;
    this.#pipelined = pipelined;
    this.totalLayers = facts.layers.length + 1;
    const kv = layerKvBytes(facts, sizing);
    for (const [i, { weightBytes, readBytes, keyElements, borrows, window }] of facts.layers.entries()) {
      this.#weights.push(at(this.#weights, i) + weightBytes);
      this.#read.push(at(this.#read, i) + (readBytes ?? weightBytes));
      this.#kv.push(at(this.#kv, i) + at(kv, i));
      this.#full.push(at(this.#full, i) + (window === null && (keyElements > 0 || borrows) ? 1 : 0));
      this.#windowed.push(at(this.#windowed, i) + (window === null ? 0 : 1));
    }
    const last = facts.layers.length;
    const borrower = facts.layers.findIndex((layer) => layer.borrows);
    this.#borrower = borrower < 0 ? this.totalLayers : borrower;
    const lenders = facts.layers.slice(0, this.#borrower);
    for (const [i, { borrows, window }] of facts.layers.entries()) {
      const lender = borrows ? lenders.findLastIndex((layer) => layer.window === window) : -1;
      this.#lent.push(at(this.#lent, i) + at(kv, lender));
    }
    this.#weights.push(at(this.#weights, last) + facts.outputBytes);
    this.#read.push(at(this.#read, last) + facts.outputBytes);
    for (const sums of [this.#kv, this.#full, this.#windowed, this.#lent]) sums.push(at(sums, last));
  }

  /** The same among so many devices: a single one keeps no copies for pipelining. Devices without layers count, too. */
  among(devices: number): LayerCosts {
    if (devices > 1 || !this.#pipelined) return this;
    this.#alone ??= new LayerCosts(this.#facts, this.#sizing, false);
    return this.#alone;
  }

  /** Cost of layers `from` (inclusive) to `to` (exclusive) on one device; nothing when the run is empty. */
  run(from: number, to: number): RunCost {
    if (to <= from) return { modelBytes: 0, kvBytes: 0, computeBytes: 0 };
    return {
      modelBytes: at(this.#weights, to) - at(this.#weights, from) + this.#facts.perDeviceBytes,
      kvBytes: at(this.#kv, to) - at(this.#kv, from),
      computeBytes: this.#reserve(from, to) + this.#lentReserve(from, to) + this.#adapterReserve(from, to),
    };
  }

  /** Weights that are gone through for one token: of experts, only those that take part. */
  readBytes(from: number, to: number): number {
    return at(this.#read, to) - at(this.#read, from);
  }

  /** There are few roles, and a search asks often. */
  #reserve(from: number, to: number): number {
    const first = from === 0;
    const last = to === this.totalLayers;
    const full = at(this.#full, to) > at(this.#full, from);
    const windowed = at(this.#windowed, to) > at(this.#windowed, from);
    const key = (first ? 8 : 0) + (last ? 4 : 0) + (full ? 2 : 0) + (windowed ? 1 : 0);
    const known = this.#reserves.get(key);
    if (known !== undefined) return known;
    const role = { pipelined: this.#pipelined, first, last, full, windowed };
    const bytes = computeReserve(this.#facts, this.#sizing, role);
    this.#reserves.set(key, bytes);
    return bytes;
  }

  /** A cache that lies elsewhere is copied here for each layer that looks into it. */
  #lentReserve(from: number, to: number): number {
    if (from <= this.#borrower - LENDERS) return 0;
    return lentReserve(at(this.#lent, to) - at(this.#lent, from));
  }

  /** Adapters lie with the layers that they change, in even parts as a rule. */
  #adapterReserve(from: number, to: number): number {
    const layers = this.#facts.layers.length;
    const own = Math.min(to, layers) - Math.min(from, layers);
    return Math.ceil(((this.#sizing.adapterBytes ?? 0) * own) / layers);
  }

  total(from: number, to: number): number {
    const cost = this.run(from, to);
    return cost.modelBytes + cost.kvBytes + cost.computeBytes;
  }

  /** The largest `to` such that layers `from..to` fit in `bytes`; `from` itself when not even one does. */
  fill(from: number, bytes: number): number {
    let low = from;
    let high = this.totalLayers;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.total(from, middle) <= bytes) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  get contextSize(): number {
    return this.#sizing.contextSize;
  }

  /** What stays on the head node whatever the placement. */
  get head(): RunCost {
    const computeBytes = headReserve(this.#facts, this.#sizing, this.#pipelined);
    return { modelBytes: this.#facts.inputBytes, kvBytes: 0, computeBytes };
  }
}

function at(sums: readonly number[], index: number): number {
  return sums[index] ?? 0;
}
