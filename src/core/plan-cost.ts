/** What a run of layers costs a device: weights, KV cache and a compute reserve, in bytes. Pure. */
import type { LayerFacts, ModelFacts } from "./model.ts";
import type { KvType } from "./plan-types.ts";
import { MIB } from "./units.ts";

/** Bytes per KV element: f16 is 2; the quantised types are blocks of 32 (facts/llamacpp.md section i). */
const KV_ELEMENT_BYTES: Readonly<Record<KvType, number>> = { f16: 2, q8_0: 34 / 32, q4_0: 18 / 32 };

/** llama.cpp pads the cache to a multiple of 256 tokens. */
const CONTEXT_STEP = 256;
/** Head sizes for which every accelerator's flash attention kernel exists; others run it on the CPU or not at all. */
const FLASH_HEAD_SIZES = new Set([32, 40, 64, 72, 80, 96, 112, 128, 192, 256, 512, 576]);

/** Tokens that llama.cpp really makes room for. */
export function padContext(tokens: number): number {
  return Math.ceil(tokens / CONTEXT_STEP) * CONTEXT_STEP;
}

export interface Sizing {
  readonly contextSize: number;
  readonly kvType: KvType;
  readonly microBatchSize: number;
  readonly flashAttention: boolean;
}

/** Whether attention runs in one kernel: a quantised V cache that, so it is on then whatever the head size. */
export function wantsFlashAttention(facts: ModelFacts, kvType: KvType): boolean {
  return kvType !== "f16" || FLASH_HEAD_SIZES.has(facts.headSize);
}

/** KV cache bytes of one layer for the whole context (all slots share it). */
export function kvBytes(layer: LayerFacts, { contextSize, kvType }: Sizing): number {
  return contextSize * (layer.keyElements + layer.valueElements) * KV_ELEMENT_BYTES[kvType];
}

/** Copies of the graph's inputs that the scheduler keeps for pipelining once a model lies on several devices. */
const PIPELINE_COPIES = 4;
/** What no term below covers: alignment, and the small tensors of a graph. */
const SLACK_BYTES = 8 * MIB;

/** The attention mask over the whole cache: f16 with flash attention, else f32. */
function maskBytes({ contextSize, microBatchSize, flashAttention }: Sizing): number {
  return PIPELINE_COPIES * contextSize * Math.min(microBatchSize, contextSize) * (flashAttention ? 2 : 4);
}

/**
 * Upper bound of a device's compute buffer, in bytes. No closed formula is published: the terms are the graph's inputs
 * and its widest activations, with factors that held for every model measured (docs/performance.md).
 */
export function computeReserve(facts: ModelFacts, sizing: Sizing, holdsOutput: boolean): number {
  const tokens = Math.min(sizing.microBatchSize, sizing.contextSize);
  const activations = tokens * 4 * (16 * facts.embeddingLength + 3 * facts.feedForwardLength);
  const scores = sizing.flashAttention ? 0 : facts.headCount * sizing.contextSize * tokens * 4;
  const logits = holdsOutput ? tokens * facts.vocabularySize * 4 : 0;
  return Math.ceil(activations + maskBytes(sizing) + scores + logits) + SLACK_BYTES;
}

/** Upper bound of the head node's compute buffer: the graph's inputs and the embedding rows of one micro-batch. */
function headReserve(facts: ModelFacts, sizing: Sizing): number {
  const tokens = Math.min(sizing.microBatchSize, sizing.contextSize);
  return tokens * 4 * (12 * facts.embeddingLength + facts.vocabularySize) + maskBytes(sizing) + SLACK_BYTES;
}

export interface RunCost {
  readonly modelBytes: number;
  readonly kvBytes: number;
  readonly computeBytes: number;
}

/** Prefix sums over the layers, so that any contiguous run costs O(1). Index `layers.length` is the output head. */
export class LayerCosts {
  readonly totalLayers: number;
  readonly #facts: ModelFacts;
  readonly #sizing: Sizing;
  readonly #weights: number[] = [0];
  readonly #kv: number[] = [0];
  readonly #compute: number;
  readonly #computeWithOutput: number;

  constructor(facts: ModelFacts, sizing: Sizing) {
    this.#facts = facts;
    this.#sizing = sizing;
    this.totalLayers = facts.layers.length + 1;
    let weights = 0;
    let kv = 0;
    for (const layer of facts.layers) {
      weights += layer.weightBytes;
      kv += kvBytes(layer, sizing);
      this.#weights.push(weights);
      this.#kv.push(kv);
    }
    this.#weights.push(weights + facts.outputBytes);
    this.#kv.push(kv);
    this.#compute = computeReserve(facts, sizing, false);
    this.#computeWithOutput = computeReserve(facts, sizing, true);
  }

  /** Cost of layers `from` (inclusive) to `to` (exclusive) on one device; nothing when the run is empty. */
  run(from: number, to: number): RunCost {
    if (to <= from) return { modelBytes: 0, kvBytes: 0, computeBytes: 0 };
    const modelBytes = at(this.#weights, to) - at(this.#weights, from) + this.#facts.perDeviceBytes;
    return {
      modelBytes,
      kvBytes: at(this.#kv, to) - at(this.#kv, from),
      computeBytes: to === this.totalLayers ? this.#computeWithOutput : this.#compute,
    };
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
    return { modelBytes: this.#facts.inputBytes, kvBytes: 0, computeBytes: headReserve(this.#facts, this.#sizing) };
  }
}

function at(sums: readonly number[], index: number): number {
  return sums[index] ?? 0;
}
