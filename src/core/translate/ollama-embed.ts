/** `/api/embed` and `/api/embeddings` as `/v1/embeddings`, and its answer back. Pure. */
import { z } from "zod";
import type { JsonObject } from "./json.ts";
import { type AnswerTimes, totalsOf, type WholeAnswer } from "./ollama-answer.ts";
import { readKeepAlive } from "./ollama-keep-alive.ts";
import { translateOptions } from "./ollama-options.ts";
import { type OllamaRequest, type OllamaWants, withoutPrompt } from "./ollama-request.ts";
import { unreadable } from "./openai-events.ts";
import { checkBody } from "./refusal.ts";

const COMMON = { model: z.string().min(1), options: z.unknown().optional(), keep_alive: z.unknown().optional() };

const embedSchema = z.looseObject({
  ...COMMON,
  input: z.union([z.string(), z.array(z.string())], { error: "expected a text or a list of texts" }).nullish(),
  truncate: z.boolean().nullish(),
  dimensions: z.int().min(0).nullish(),
});
const oldSchema = z.looseObject({ ...COMMON, prompt: z.string().nullish() });

/** `/api/embed`. */
export function translateOllamaEmbed(body: unknown): OllamaRequest {
  const checked = checkBody(embedSchema, body);
  if (!checked.ok) return checked;
  const { input, truncate, dimensions, ...said } = checked.value;
  const texts = typeof input === "string" ? (input === "" ? [] : [input]) : (input ?? []);
  return ask(said, texts, { truncate: truncate ?? true, dimensions: dimensions || null });
}

/** `/api/embeddings`, the old one: a single text. */
export function translateOllamaEmbeddings(body: unknown): OllamaRequest {
  const checked = checkBody(oldSchema, body);
  if (!checked.ok) return checked;
  const { prompt, ...said } = checked.value;
  return ask(said, prompt ? [prompt] : [], { truncate: true, dimensions: null });
}

interface Said {
  readonly model: string;
  readonly options?: unknown;
  readonly keep_alive?: unknown;
}

function ask(said: Said, texts: readonly string[], own: Pick<OllamaWants, "truncate" | "dimensions">): OllamaRequest {
  const keepAlive = readKeepAlive(said.keep_alive);
  if (!keepAlive.ok) return keepAlive;
  const options = translateOptions(said.options);
  if (!options.ok) return options;
  const wants: OllamaWants = {
    model: said.model,
    stream: false,
    keepAliveMs: keepAlive.value,
    contextSize: options.value.contextSize,
    topLogprobs: false,
    ...own,
  };
  if (texts.length === 0) return withoutPrompt(wants);
  const body = { model: said.model, input: texts, encoding_format: "float" };
  return { ok: true, action: "ask", wants, path: "/v1/embeddings", body };
}

const answerSchema = z.object({
  data: z.array(z.object({ index: z.int().nullish(), embedding: z.array(z.number()) })),
  usage: z.object({ prompt_tokens: z.number().nullish() }).nullish(),
});

/** Vectors in the order of their texts, of length one as Ollama gives them, and their tokens. */
function readVectors(body: unknown, dimensions: number | null) {
  const checked = answerSchema.safeParse(body);
  if (!checked.success) return null;
  const { data, usage } = checked.data;
  const inOrder = data
    .map(({ index, embedding }, at) => ({ at: index ?? at, embedding }))
    .toSorted((a, b) => a.at - b.at);
  return { vectors: inOrder.map(({ embedding }) => shorten(embedding, dimensions)), tokens: usage?.prompt_tokens ?? 0 };
}

/** The first `dimensions` of a vector, of length one again: llama-server takes no notice of how many are asked for
 *  (facts/clients.md 3), and Ollama does it so. */
export function shorten(vector: readonly number[], dimensions: number | null): readonly number[] {
  if (dimensions === null || dimensions >= vector.length) return vector;
  const kept = vector.slice(0, dimensions);
  const norm = Math.sqrt(kept.reduce((sum, value) => sum + value ** 2, 0));
  return norm > 0 ? kept.map((value) => value / norm) : kept;
}

export interface EmbedAnswerOptions extends AnswerTimes {
  readonly model: string;
  readonly dimensions: number | null;
}

/** The answer of `/v1/embeddings` as that of `/api/embed`. */
export function toOllamaEmbed(body: unknown, { model, dimensions, ...times }: EmbedAnswerOptions): WholeAnswer {
  const read = readVectors(body, dimensions);
  if (!read) return { ok: false, error: unreadable("it holds no embeddings") };
  const { totalNs, loadNs } = totalsOf(times, times.nowMs());
  const answer = { model, embeddings: read.vectors, total_duration: totalNs, load_duration: loadNs };
  return { ok: true, body: { ...answer, prompt_eval_count: read.tokens } };
}

/** The answer to nothing to embed. */
export function ollamaNoEmbeddings(model: string): JsonObject {
  return { model, embeddings: [] };
}

/** The answer of `/v1/embeddings` as that of `/api/embeddings`; that to no text is `{ embedding: [] }`. */
export function toOllamaEmbeddings(body: unknown): WholeAnswer {
  const read = readVectors(body, null);
  const [embedding] = read?.vectors ?? [];
  return embedding ? { ok: true, body: { embedding } } : { ok: false, error: unreadable("it holds no embedding") };
}
