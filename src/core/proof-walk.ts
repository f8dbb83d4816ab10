/** How many layers a device holds, from its bytes: llama.cpp's log does not say at `-lv 4`. Pure. */
import type { ModelFacts } from "./model.ts";
import { layerKvBytes } from "./plan-kv.ts";
import type { Plan } from "./plan-types.ts";
import type { Bytes } from "./proof-observe.ts";
import { KIB } from "./units.ts";

/** The log gives MiB with two decimals: a layer must be more than that can hide. */
const LEAST_BYTES = 64 * KIB;

/** Layers are contiguous, so what one device holds tells where the next one begins: counted by KV cache where it is
 *  exact, else by weights; the output head by the bytes that are left over. */
export class LayerWalk {
  readonly #facts: ModelFacts;
  readonly #byWeight: boolean;
  readonly #sizes: readonly number[];
  #position = 0;

  constructor(plan: Plan, facts: ModelFacts) {
    const kv = layerKvBytes(facts, plan);
    this.#facts = facts;
    this.#byWeight = plan.kvInexact !== null || kv.some((bytes) => bytes < LEAST_BYTES);
    this.#sizes = this.#byWeight ? facts.layers.map((layer) => layer.weightBytes) : kv;
  }

  /** Layers of the next device in the plan's order, the output head being one. `planned` decides only about layers
   *  without bytes (some architectures skip their last ones), which leave no trace. */
  take(bytes: Bytes, planned: number): number {
    const { layers, perDeviceBytes, outputBytes } = this.#facts;
    const copies = bytes.model > 0 ? perDeviceBytes : 0;
    const target = this.#byWeight ? bytes.model - copies : bytes.kv + bytes.state;
    const start = this.#position;
    let sum = 0;
    let weights = copies;
    let next = start;
    // A mapping's size is only an upper bound of the weights.
    const most = this.#byWeight && bytes.mapped > 0 ? planned : layers.length;
    const isTraceless = () => this.#sizes[next] === 0 && next - start < planned;
    const isHeld = () => sum + (this.#sizes[next] ?? 0) / 2 < target && next - start < most;
    while (next < layers.length && (isHeld() || isTraceless())) {
      sum += this.#sizes[next] ?? 0;
      weights += layers[next]?.weightBytes ?? 0;
      next++;
    }
    this.#position = next;
    const holdsOutput = next === layers.length && bytes.model - weights > outputBytes / 2;
    return next - start + (holdsOutput ? 1 : 0);
  }
}
