/** Which quantisation of a model would fit where this one does not. Pure. */
import type { ModelFacts } from "./model.ts";

/** Bits per weight of a whole file, as llama.cpp's quantize prints them for Llama 2 7B (tools/quantize/README.md): names are
 *  mixtures, so that they are above their main type's (Q4_K alone has 4.5). Those that are published for most models. */
const QUANTISATIONS: readonly (readonly [name: string, bitsPerWeight: number])[] = [
  ["Q8_0", 8.5],
  ["Q6_K", 6.56],
  ["Q5_K_M", 5.68],
  ["Q4_K_M", 4.84],
  ["Q3_K_M", 3.91],
  ["Q2_K", 3.35],
];

/** More would be no weights, but facts made up. */
const MOST_BITS = 33;
/** A step that saves less is none: mixtures differ by as much from model to model. */
const LEAST_SAVING = 0.95;

/** Bits per weight of the file as it is; null when its header does not tell. */
export function bitsPerWeight({ layers, inputBytes, outputBytes, tiedOutput, parameters }: ModelFacts): number | null {
  const bytes = layers.reduce((sum, layer) => sum + layer.weightBytes, inputBytes) + (tiedOutput ? 0 : outputBytes);
  const bits = (8 * bytes) / parameters;
  return bits > 0 && bits <= MOST_BITS ? bits : null;
}

/** What to look for: a sentence part that names the largest smaller one that `fits`; null when none does or would help. */
export function smallerQuantisation(facts: ModelFacts, fits: (facts: ModelFacts) => boolean): string | null {
  const bits = bitsPerWeight(facts);
  if (bits === null) return null;
  const found = QUANTISATIONS.find(([, each]) => each < bits * LEAST_SAVING && fits(scaled(facts, each / bits)));
  if (!found) return null;
  const [name, each] = found;
  return `${name} (about ${each.toFixed(1)} bits a weight; this file has ${bits.toFixed(1)}) would fit`;
}

function scaled(facts: ModelFacts, factor: number): ModelFacts {
  const scale = (bytes: number) => Math.ceil(bytes * factor);
  return {
    ...facts,
    layers: facts.layers.map((layer) => ({ ...layer, weightBytes: scale(layer.weightBytes) })),
    inputBytes: scale(facts.inputBytes),
    outputBytes: scale(facts.outputBytes),
  };
}
