/** Upper bounds of compute buffers, in bytes. Pure. No closed formula is published: the terms are what llama.cpp's graphs
 *  keep alive at once, with factors that held for every class of model measured (docs/performance.md). */
import type { ModelFacts } from "./model.ts";
import { cacheCells, type Sizing } from "./plan-kv.ts";
import { MIB } from "./units.ts";

/** What a device does in the graph. */
export interface DeviceRole {
  /** The model lies on several devices, which then work on several micro-batches at once. */
  readonly pipelined: boolean;
  /** Holds the first layer: gets the embeddings. */
  readonly first: boolean;
  /** Holds the output head. */
  readonly last: boolean;
  /** It has layers that see the whole context, and layers that see a window. */
  readonly full: boolean;
  readonly windowed: boolean;
}

/** Copies of the graph's inputs that the scheduler keeps once a model lies on several devices. */
const PIPELINE_COPIES = 4;
/** What no term covers: alignment, and the small tensors of a graph. */
const SLACK_BYTES = MIB;
const SLACK_SHARE = 1.02;
const F32 = 4;
const F16 = 2;
/** Of per-layer inputs, where a pipelined device keeps them. */
const INPUT_COPIES = PIPELINE_COPIES + 1;
/** Where values go in a cache that is not in rows (without flash attention): one i64 for each. */
const INDEX = 8;

/** Embedding rows of one micro-batch that a device keeps beside its widest step: measured for each class and role. */
const ROWS = {
  alone: 5,
  pipelined: { attention: 13, hybrid: 19, recurrent: 37 },
  /** More of them where the embeddings come in. */
  first: { attention: 5, hybrid: 1, recurrent: 0 },
  /** Beside the logits. */
  logits: { alone: 5, pipelined: { attention: 10, hybrid: 14, recurrent: 10 } },
  head: { alone: 4, pipelined: 10 },
} as const;

function tokensOf({ microBatchSize, contextSize }: Sizing): number {
  return Math.min(microBatchSize, contextSize);
}

type LayerKind = "attention" | "hybrid" | "recurrent";

function kindOf({ layers }: ModelFacts): LayerKind {
  if (!layers.some((layer) => layer.stateBytes > 0)) return "attention";
  return layers.some((layer) => layer.keyElements > 0) ? "hybrid" : "recurrent";
}

/** Inputs that depend on the cache: the attention mask, and without flash attention where to put the values. */
function cacheInputs(facts: ModelFacts, sizing: Sizing, role: Pick<DeviceRole, "full" | "windowed" | "pipelined">) {
  const { window, values } = facts.layers.reduce(
    (most, layer) => ({
      window: Math.max(most.window, layer.window ?? 0),
      values: Math.max(most.values, layer.valueElements),
    }),
    { window: 0, values: 0 },
  );
  const cells = [
    ...(role.full ? [cacheCells(sizing, null)] : []),
    ...(role.windowed ? [cacheCells(sizing, window)] : []),
  ];
  const perToken = cells.reduce(
    (sum, count) => sum + (sizing.flashAttention ? count * F16 : count * F32 + values * INDEX),
    0,
  );
  // A quantised cache is rotated by a matrix for keys and one for values.
  const rotation = sizing.kvType === "f16" ? 0 : 2 * facts.headSize ** 2 * F32;
  return (role.pipelined ? PIPELINE_COPIES : 1) * (tokensOf(sizing) * perToken + rotation * cells.length);
}

/** An encoder has no cache: its mask is as wide as its texts are long, and there is one in each type. */
function encoderInputs({ embedding }: ModelFacts, sizing: Sizing): number {
  return embedding?.isEncoder ? tokensOf(sizing) ** 2 * (F16 + F32) : 0;
}

function withSlack(bytes: number): number {
  return Math.ceil(bytes * SLACK_SHARE) + SLACK_BYTES;
}

/** Of one device that holds layers. */
export function computeReserve(facts: ModelFacts, sizing: Sizing, role: DeviceRole): number {
  const { embeddingLength: width, activationElements, headCount, headSize, vocabularySize } = facts;
  const kind = kindOf(facts);
  const { pipelined } = role;
  const rows = pipelined ? ROWS.pipelined[kind] + (role.first ? ROWS.first[kind] : 0) : ROWS.alone;
  const encodes = facts.embedding?.isEncoder === true;
  const attends = role.full || role.windowed || encodes;
  const scores = attends && !sizing.flashAttention ? headCount * (sizing.contextSize + 2 * headSize) : 0;
  const logitRows = pipelined ? ROWS.logits.pipelined[kind] : ROWS.logits.alone;
  const logits = role.last && !encodes ? vocabularySize + width * logitRows : 0;
  const inputs = facts.perLayerInputs * (pipelined ? INPUT_COPIES : 1);
  const perToken = Math.max(rows * width + Math.max(activationElements, scores), logits) + inputs;
  const own = cacheInputs(facts, sizing, role) + encoderInputs(facts, sizing);
  return withSlack(tokensOf(sizing) * perToken * F32 + own);
}

/** Of layers that look into caches on another device, `bytes` of them in all. */
export function lentReserve(bytes: number): number {
  return Math.ceil(PIPELINE_COPIES * bytes * SLACK_SHARE);
}

/** Of the head node: the graph's inputs, and the embeddings of one micro-batch. */
export function headReserve(facts: ModelFacts, sizing: Sizing, pipelined: boolean): number {
  const rows = pipelined ? ROWS.head.pipelined : ROWS.head.alone;
  const full = facts.layers.some(({ keyElements, window }) => keyElements > 0 && window === null);
  const windowed = facts.layers.some(({ window }) => window !== null);
  const inputs = cacheInputs(facts, sizing, { full, windowed, pipelined });
  const perToken = rows * facts.embeddingLength + facts.perLayerInputs;
  return withSlack(tokensOf(sizing) * perToken * F32 + inputs);
}
