/** What Gemma 4 has beside Gemma 3's tensors. Pure. */
import { meta } from "../src/core/gguf-encode.ts";
import { matrix, type TensorSpec, vector } from "../src/core/made-up-model.ts";
import type { Keys, SampleShape } from "./sample-shape.ts";

const FULL_EVERY = 6;
const isWindowed = (layer: number) => layer % FULL_EVERY !== FULL_EVERY - 1;

/** The shape that one layer has. */
export function gemma4Shape(s: SampleShape, layer: number): SampleShape {
  return s.perLayer && isWindowed(layer) ? { ...s, headSize: s.perLayer.windowHeadSize } : s;
}

/** How a layer takes its own input in. */
export function perLayerInput(s: SampleShape): TensorSpec[] {
  const { inputs = 0 } = s.perLayer ?? {};
  return [
    vector("layer_output_scale.weight", 1),
    matrix(s, "inp_gate", s.width, inputs),
    matrix(s, "proj", inputs, s.width),
    vector("post_norm.weight", s.width),
  ];
}

/** Where the inputs of all layers come from; nothing for other architectures. */
export function gemma4Shared(s: SampleShape): TensorSpec[] {
  if (!s.perLayer) return [];
  const all = s.perLayer.inputs * s.layers;
  return [
    vector("rope_freqs.weight", s.headSize / 2),
    matrix(s, "per_layer_token_embd", all, s.vocabulary),
    matrix(s, "per_layer_model_proj", s.width, all),
    vector("per_layer_proj_norm.weight", s.perLayer.inputs),
  ];
}

/** Its keys; none for other architectures. */
export function gemma4Keys({ perLayer, layers, headSize }: SampleShape): Keys {
  if (!perLayer) return {};
  return {
    "attention.key_length_swa": meta.u32(perLayer.windowHeadSize),
    "attention.value_length_swa": meta.u32(perLayer.windowHeadSize),
    "attention.sliding_window_pattern": meta.bools(Array.from({ length: layers }, (_, i) => isWindowed(i))),
    "attention.shared_kv_layers": meta.u32(perLayer.borrowing),
    "rope.dimension_count": meta.u32(headSize),
    "rope.dimension_count_swa": meta.u32(perLayer.windowHeadSize),
    embedding_length_per_layer_input: meta.u32(perLayer.inputs),
  };
}
