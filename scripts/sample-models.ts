/** Small models with random weights, one of each class that plans tell apart: llama.cpp loads them; they say nothing. */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { encodeHeader, type GgufFile, ggufBytes, meta } from "../src/core/gguf-encode.ts";
import { createNoise, TOKEN, tokenizerKeys } from "../src/core/made-up-model.ts";
import { formatBytes } from "../src/core/units.ts";
import { writeGguf } from "../src/io/gguf-write.ts";
import { RECITATION, vocabularyOf } from "./recitation.ts";
import { keysOf, tensorsOf } from "./sample-layers.ts";
import type { SampleShape } from "./sample-shape.ts";

const SMALL = { layers: 6, width: 256, heads: 4, kvHeads: 4, headSize: 64, feedForward: 512, type: "F16" } as const;
const EXPERTS = { count: 8, used: 2, feedForward: 128 };

/** One of each class, a few MB each. */
export const SAMPLES = {
  dense: { ...SMALL, architecture: "llama", vocabulary: 1_024 },
  grouped: { ...SMALL, architecture: "qwen2", vocabulary: 1_024, kvHeads: 2 },
  tied: { ...SMALL, architecture: "llama", vocabulary: 16_384, kvHeads: 2, tied: true },
  experts: { ...SMALL, architecture: "qwen3moe", vocabulary: 1_024, kvHeads: 2, experts: EXPERTS },
  windowed: { ...SMALL, architecture: "gemma3", vocabulary: 1_024, kvHeads: 2, tied: true, window: 512 },
  borrowing: {
    ...SMALL,
    architecture: "gemma4",
    layers: 12,
    vocabulary: 1_024,
    kvHeads: 2,
    tied: true,
    window: 512,
    perLayer: { windowHeadSize: 32, inputs: 32, borrowing: 6 },
  },
  windowedExperts: { ...SMALL, architecture: "gpt-oss", vocabulary: 1_024, kvHeads: 2, window: 128, experts: EXPERTS },
  latent: {
    ...SMALL,
    architecture: "deepseek2",
    vocabulary: 1_024,
    kvHeads: 1,
    experts: EXPERTS,
    latent: { queryRank: 128, rank: 512, plain: 128, rope: 64, value: 128 },
  },
  recurrent: {
    ...SMALL,
    architecture: "mamba",
    vocabulary: 1_024,
    heads: 0,
    kvHeads: 0,
    headSize: 0,
    feedForward: 0,
    recurrent: { kernel: 4, state: 16, attentionLayers: [] },
  },
  hybrid: {
    ...SMALL,
    architecture: "lfm2",
    vocabulary: 1_024,
    kvHeads: 2,
    tied: true,
    recurrent: { kernel: 3, state: 0, attentionLayers: [2, 5] },
  },
  linear: {
    ...SMALL,
    architecture: "qwen35",
    vocabulary: 1_024,
    kvHeads: 2,
    recurrent: { kernel: 4, state: 64, attentionLayers: [2, 5], keyHeads: 2, valueHeads: 4 },
  },
} as const satisfies Readonly<Record<string, SampleShape>>;

export type SampleName = keyof typeof SAMPLES;

/** The recitation's vocabulary, and made-up words up to the size that was asked for. */
function tokenizerOf({ vocabulary: size }: SampleShape) {
  const { tokens } = vocabularyOf(RECITATION);
  return tokenizerKeys(
    Array.from({ length: size }, (_, i) => tokens[i] ?? { text: ` word${i}`, type: TOKEN.userDefined }),
  );
}

function fileOf(shape: SampleShape, tokenizer: GgufFile["metadata"]): GgufFile {
  const keys = Object.entries(keysOf(shape)).map(([key, value]) => [`${shape.architecture}.${key}`, value] as const);
  return {
    metadata: [["general.architecture", meta.string(shape.architecture)], ...keys, ...tokenizer],
    tensors: tensorsOf(shape).map(createNoise()),
  };
}

/** Writes the model; the same shape gives the same bytes.
 *  @returns the file's bytes */
export async function writeSampleModel(path: string, shape: SampleShape): Promise<number> {
  return await writeGguf(path, fileOf(shape, tokenizerOf(shape)));
}

/** Writes a model of any size as a header and a hole that takes no room on the disk, without a tokeniser: enough for who
 *  reads no weights, such as `llama-fit-params`. */
export async function writeHollowModel(path: string, shape: SampleShape): Promise<void> {
  const file = fileOf(shape, [["tokenizer.ggml.model", meta.string("no_vocab")]]);
  const handle = await open(path, "w");
  try {
    await handle.writeFile(encodeHeader(file));
    await handle.truncate(ggufBytes(file));
  } finally {
    await handle.close();
  }
}

if (import.meta.main) {
  const [folder = "."] = process.argv.slice(2);
  for (const [name, shape] of Object.entries(SAMPLES)) {
    const path = join(folder, `${name}.gguf`);
    console.log(`${path}: ${formatBytes(await writeSampleModel(path, shape))}`);
  }
}
