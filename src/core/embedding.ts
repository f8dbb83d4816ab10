/** Models that make vectors of texts, or judge them, instead of writing: what their headers say, and how they are run. Pure. */
import { SynapticError } from "./errors.ts";
import type { ModelKeys } from "./model-keys.ts";

/** How the vectors of a text's tokens become one; `rank` is a number that says how well a text fits a question. */
export type Pooling = "mean" | "cls" | "last" | "rank";

export interface EmbeddingFacts {
  readonly pooling: Pooling;
  /** Each token sees all others, so that a text is computed in one piece, and nothing is kept of it. */
  readonly isEncoder: boolean;
}

/** What a request wants of a model. */
export type ModelTask = "text" | "embed" | "rank";

const DOES: Readonly<Record<ModelTask, string>> = { text: "write", embed: "embed", rank: "rerank" };
const KINDS: Readonly<Record<ModelTask, string>> = {
  text: "a model that writes",
  embed: "an embedding model",
  rank: "a model that ranks",
};

/** Why a coordinator of this model cannot do the task: each is started for one of them. Null when it can. */
export function refuseTask(model: string, pooling: Pooling | null, task: ModelTask): SynapticError | null {
  const own: ModelTask = pooling === null ? "text" : pooling === "rank" ? "rank" : "embed";
  if (own === task) return null;
  return new SynapticError("unsupported_parameter", `Cannot ${DOES[task]} with ${model}: it is ${KINDS[own]}`, {
    param: "model",
    hint: `ask ${KINDS[task]} instead${task === "embed" ? "; `ollama pull` one to a node, or put its GGUF beside the others" : ""}`,
  });
}

/** llama.cpp's `enum llama_pooling_type`; 0 is none. */
const POOLINGS: Readonly<Record<number, Pooling>> = { 1: "mean", 2: "cls", 3: "last", 4: "rank" };

/** Architectures for which llama.cpp makes no memory (`llama_model::create_memory`). */
const ENCODERS: ReadonlySet<string> = new Set([
  "bert",
  "modern-bert",
  "nomic-bert",
  "nomic-bert-moe",
  "neo-bert",
  "jina-bert-v2",
  "jina-bert-v3",
  "eurobert",
  "gemma-embedding",
  "llama-embed",
]);

export function isEncoder(architecture: string): boolean {
  return ENCODERS.has(architecture);
}

/** Null for models that write. An encoder that does not say how it pools does so by the mean, as most were trained. */
export function embeddingOf(keys: ModelKeys): EmbeddingFacts | null {
  const pooling = POOLINGS[keys.number("pooling_type") ?? 0];
  if (isEncoder(keys.architecture)) return { pooling: pooling ?? "mean", isEncoder: true };
  return pooling ? { pooling, isEncoder: false } : null;
}

/** Tokens. Longer texts are rare, and what an encoder needs grows with the square. */
const LONGEST_TEXT = 8_192;
/** What llama.cpp computes at once of a text that it may split. */
const SPLIT = 512;

/** Tokens of context of an encoder: never more than it was trained for, since it has no positions beyond. */
export function encoderContext(asked: number | null, trainedContext: number): number {
  return Math.min(asked ?? LONGEST_TEXT, trainedContext);
}

/** Tokens that are computed at once: a text is not split unless only its last token counts, and a cache keeps the others
 *  (llama-server: `input is too large to process. increase the physical batch size`). */
export function embeddingBatch({ pooling, isEncoder: encodes }: EmbeddingFacts, contextSize: number): number {
  return pooling === "last" && !encodes ? Math.min(SPLIT, contextSize) : Math.min(LONGEST_TEXT, contextSize);
}

/** What makes llama-server embed or rank; nothing where the owner has said it. */
export function embeddingArgs(pooling: Pooling | undefined, own: readonly string[]): readonly string[] {
  if (!pooling || own.some((arg) => /^--(?:embeddings?|rerank(?:ing)?|pooling)(?:=|$)/.test(arg))) return [];
  return pooling === "rank" ? ["--rerank"] : ["--embeddings", "--pooling", pooling];
}
