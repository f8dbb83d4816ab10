/** Published models of each class, by their sizes: what plans are held against llama.cpp's own with. */
import type { SampleShape } from "./sample-shape.ts";

export interface OracleModel {
  readonly name: string;
  /** What makes it plan otherwise than others. */
  readonly kind: string;
  readonly shape: SampleShape;
}

const Q8 = { type: "Q8_0" } as const;

export const ORACLE_MODELS: readonly OracleModel[] = [
  {
    name: "Llama 2 7B",
    kind: "dense",
    shape: {
      ...Q8,
      ...{ architecture: "llama", layers: 32, width: 4_096, heads: 32, kvHeads: 32, headSize: 128 },
      ...{ feedForward: 11_008, vocabulary: 32_000 },
    },
  },
  {
    // No flash attention kernel is sure to exist for its heads.
    name: "OpenLLaMA 3B",
    kind: "dense, heads of 100",
    shape: {
      ...Q8,
      ...{ architecture: "llama", layers: 26, width: 3_200, heads: 32, kvHeads: 32, headSize: 100 },
      ...{ feedForward: 8_640, vocabulary: 32_000 },
    },
  },
  {
    name: "Llama 3.3 70B",
    kind: "grouped queries",
    shape: {
      ...Q8,
      ...{ architecture: "llama", layers: 80, width: 8_192, heads: 64, kvHeads: 8, headSize: 128 },
      ...{ feedForward: 28_672, vocabulary: 128_256 },
    },
  },
  {
    name: "Llama 3.2 1B",
    kind: "tied head",
    shape: {
      ...Q8,
      ...{ architecture: "llama", layers: 16, width: 2_048, heads: 32, kvHeads: 8, headSize: 64 },
      ...{ feedForward: 8_192, vocabulary: 128_256, tied: true },
    },
  },
  {
    name: "Qwen 2.5 7B",
    kind: "grouped queries",
    shape: {
      ...Q8,
      ...{ architecture: "qwen2", layers: 28, width: 3_584, heads: 28, kvHeads: 4, headSize: 128 },
      ...{ feedForward: 18_944, vocabulary: 152_064 },
    },
  },
  {
    name: "Qwen 3 30B A3B",
    kind: "experts",
    shape: {
      ...Q8,
      ...{ architecture: "qwen3moe", layers: 48, width: 2_048, heads: 32, kvHeads: 4, headSize: 128 },
      ...{ feedForward: 6_144, vocabulary: 151_936, experts: { count: 128, used: 8, feedForward: 768 } },
    },
  },
  {
    name: "Gemma 3 27B",
    kind: "sliding window",
    shape: {
      ...Q8,
      ...{ architecture: "gemma3", layers: 62, width: 5_376, heads: 32, kvHeads: 16, headSize: 128 },
      ...{ feedForward: 21_504, vocabulary: 262_208, tied: true, window: 1_024 },
    },
  },
  {
    name: "Gemma 4 E4B",
    kind: "sliding window, borrowed caches",
    shape: {
      ...Q8,
      ...{ architecture: "gemma4", layers: 42, width: 2_560, heads: 8, kvHeads: 2, headSize: 512 },
      ...{ feedForward: 10_240, vocabulary: 262_144, tied: true, window: 512 },
      perLayer: { windowHeadSize: 256, inputs: 256, borrowing: 18 },
    },
  },
  {
    name: "gpt-oss 20B",
    kind: "sliding window, experts",
    shape: {
      ...Q8,
      ...{ architecture: "gpt-oss", layers: 24, width: 2_880, heads: 64, kvHeads: 8, headSize: 64 },
      ...{ feedForward: 2_880, vocabulary: 201_088, window: 128 },
      experts: { count: 32, used: 4, feedForward: 2_880 },
    },
  },
  {
    name: "DeepSeek V3 671B",
    kind: "latent attention (MLA), experts",
    shape: {
      ...Q8,
      ...{ architecture: "deepseek2", layers: 61, width: 7_168, heads: 128, kvHeads: 1, headSize: 0 },
      ...{ feedForward: 18_432, vocabulary: 129_280 },
      experts: { count: 256, used: 8, feedForward: 2_048 },
      latent: { queryRank: 1_536, rank: 512, plain: 128, rope: 64, value: 128 },
    },
  },
  {
    name: "Mamba 2.8B",
    kind: "recurrent",
    shape: {
      ...{ architecture: "mamba", layers: 64, width: 2_560, heads: 0, kvHeads: 0, headSize: 0, type: "F16" },
      ...{ feedForward: 0, vocabulary: 50_280, tied: true },
      recurrent: { kernel: 4, state: 16, attentionLayers: [] },
    },
  },
  {
    name: "LFM2 1.2B",
    kind: "hybrid: convolutions",
    shape: {
      ...Q8,
      ...{ architecture: "lfm2", layers: 16, width: 2_048, heads: 32, kvHeads: 8, headSize: 64 },
      ...{ feedForward: 8_192, vocabulary: 65_536, tied: true },
      recurrent: { kernel: 3, state: 0, attentionLayers: [2, 5, 8, 10, 12, 14] },
    },
  },
  {
    name: "Qwen 3.5 9B",
    kind: "hybrid: linear attention",
    shape: {
      ...Q8,
      ...{ architecture: "qwen35", layers: 32, width: 4_096, heads: 16, kvHeads: 4, headSize: 256 },
      ...{ feedForward: 12_288, vocabulary: 248_320 },
      recurrent: {
        ...{ kernel: 4, state: 128, keyHeads: 16, valueHeads: 32 },
        attentionLayers: [3, 7, 11, 15, 19, 23, 27, 31],
      },
    },
  },
];
