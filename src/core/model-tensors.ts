/** Where llama.cpp puts each tensor: with its layer, with the output head, on the head node, or on every device. Pure. */
import { isEncoder } from "./embedding.ts";
import type { GgufHeader, GgufTensor } from "./gguf.ts";
import type { ModelKeys } from "./model-keys.ts";
import { nextnLayers } from "./model-kv.ts";

export interface WeightBytes {
  readonly layers: readonly number[];
  /** Of each layer, what is gone through for one token. */
  readonly read: readonly number[];
  readonly input: number;
  readonly output: number;
  readonly perDevice: number;
  readonly tiedOutput: boolean;
}

export type WeightResult =
  | { readonly ok: true; readonly bytes: WeightBytes }
  | { readonly ok: false; readonly reason: string };

const LAYER_NAME = /^blk\.(\d{1,6})\./;
/** LLM_TENSOR_LAYER_OUTPUT in llama.cpp's `llama-arch.cpp`. */
const OUTPUT_NAME = /^(output|cls|hc_head|altup_proj|altup_unembd_proj|dec\.output_norm|enc\.output_norm|dense_)/;
/** Needed by each layer, so each device gets one copy. */
const PER_DEVICE_NAME = /^(rope_freqs|rope_factors_long|rope_factors_short)\./;
/** Belong to all layers, and lie with the first. */
const FIRST_LAYER_NAME = /^(per_layer_model_proj|per_layer_proj_norm)\./;
/** All experts of a layer in one tensor. */
const EXPERTS_NAME = /_exps\./;
/** Architectures that read past their extra prediction layers (`TENSOR_SKIP`). */
const SKIPS_NEXTN: ReadonlySet<string> = new Set(["glm4moe"]);
/** These name the output norm like an input tensor (`LLM_TENSOR_OUTPUT_NORM_LFM2`). */
const NORM_IN_OUTPUT: ReadonlySet<string> = new Set(["lfm2", "lfm2moe"]);

type Place = number | "input" | "output" | "perDevice";

function placeOf({ name }: GgufTensor, architecture: string): Place {
  const layer = LAYER_NAME.exec(name)?.[1];
  if (layer !== undefined) return Number(layer);
  if (OUTPUT_NAME.test(name)) return "output";
  if (PER_DEVICE_NAME.test(name)) return "perDevice";
  if (FIRST_LAYER_NAME.test(name)) return 0;
  if (NORM_IN_OUTPUT.has(architecture) && name === "token_embd_norm.weight") return "output";
  return "input";
}

/** Sums the tensors' bytes by place; refuses a model whose layers don't match its layer count. */
export function weightBytes({ tensors }: GgufHeader, keys: ModelKeys, layerCount: number): WeightResult {
  const layers = Array.from({ length: layerCount }, () => 0);
  const idle = Array.from({ length: layerCount }, () => 0);
  const idleShare = 1 - Math.min(1, (keys.number("expert_used_count") ?? 1) / (keys.number("expert_count") ?? 1));
  const sums = { input: 0, output: 0, perDevice: 0 };
  for (const tensor of tensors) {
    const place = placeOf(tensor, keys.architecture);
    if (typeof place === "string") sums[place] += tensor.bytes;
    else if (place < layerCount) {
      layers[place] = (layers[place] ?? 0) + tensor.bytes;
      if (EXPERTS_NAME.test(tensor.name)) idle[place] = (idle[place] ?? 0) + tensor.bytes * idleShare;
    } else
      return {
        ok: false,
        reason: `tensor ${tensor.name} belongs to layer ${place}, but the model has ${layerCount} layers`,
      };
  }
  const empty = layers.indexOf(0);
  if (empty >= 0) return { ok: false, reason: `layer ${empty} of ${layerCount} has no tensors` };
  const embeddings = tensors.find((tensor) => tensor.name === "token_embd.weight");
  if (!embeddings) return { ok: false, reason: "token_embd.weight is missing" };
  const tiedOutput = !isEncoder(keys.architecture) && !tensors.some((tensor) => tensor.name === "output.weight");
  if (SKIPS_NEXTN.has(keys.architecture)) layers.fill(0, layerCount - nextnLayers(keys));
  const read = layers.map((bytes, i) => Math.max(0, Math.round(bytes - (idle[i] ?? 0))));
  const output = sums.output + (tiedOutput ? embeddings.bytes : 0);
  return { ok: true, bytes: { layers, read, input: sums.input, output, perDevice: sums.perDevice, tiedOutput } };
}
