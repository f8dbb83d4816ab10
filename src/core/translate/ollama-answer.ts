/** Answers in Ollama's dialect: a piece, the last one with its figures, and a whole one. Pure. Shapes: facts/clients.md 3a. */
import type { SynapticError } from "../errors.ts";
import type { AnswerEvent, Counts, Logprob } from "./answer-events.ts";
import { defined, isObject, type JsonObject } from "./json.ts";
import { readOpenAiChunk } from "./openai-chunk.ts";
import { endedEarly, failureOf, unreadable } from "./openai-events.ts";
import { createCallCollector, type WholeCall } from "./whole-calls.ts";

export type OllamaKind = "chat" | "generate";

export type WholeAnswer =
  | { readonly ok: true; readonly body: JsonObject }
  | { readonly ok: false; readonly error: SynapticError };

/** The clock, and when what began; all in milliseconds since 1970. */
export interface AnswerTimes {
  readonly startedAtMs: number;
  nowMs(): number;
  /** How long the request waited for its model to load. */
  loadMs(): number;
}

export interface OllamaAnswerOptions extends AnswerTimes {
  readonly kind: OllamaKind;
  /** As the client named it. */
  readonly model: string;
  /** Whether the likeliest other tokens were asked for. */
  readonly topLogprobs: boolean;
}

export interface Piece {
  readonly text: string;
  readonly reasoning: string;
  readonly calls: readonly WholeCall[];
  readonly logprobs: readonly Logprob[];
}

export const EMPTY_PIECE: Piece = { text: "", reasoning: "", calls: [], logprobs: [] };

type Named = Pick<OllamaAnswerOptions, "kind" | "model" | "topLogprobs">;

/** A line that is not the last; without text it only keeps the client waiting. */
export function ollamaPiece(named: Named, piece: Piece, atMs: number): JsonObject {
  return { ...contentOf(named, piece, atMs), done: false };
}

function contentOf({ kind, model, topLogprobs }: Named, piece: Piece, atMs: number): JsonObject {
  const { text, reasoning, calls, logprobs } = piece;
  const thinking = reasoning === "" ? undefined : reasoning;
  const tool_calls = calls.length === 0 ? undefined : calls.map(toCall);
  const content =
    kind === "chat"
      ? { message: defined({ role: "assistant", content: text, thinking, tool_calls }) }
      : { response: text, thinking, tool_calls };
  return defined({
    model,
    created_at: new Date(atMs).toISOString(),
    ...content,
    logprobs: logprobs.length === 0 ? undefined : logprobs.map((each) => toLogprob(each, topLogprobs)),
  });
}

function toCall({ index, id, name, arguments: args }: WholeCall): JsonObject {
  return defined({ id: id ?? undefined, function: { index, name, arguments: args } });
}

function toLogprob({ token, logprob, bytes, top }: Logprob, withTop: boolean): JsonObject {
  const said = { token, logprob, bytes: bytes ?? undefined };
  return defined({
    ...said,
    top_logprobs: withTop
      ? top.map(({ bytes, ...each }) => defined({ ...each, bytes: bytes ?? undefined }))
      : undefined,
  });
}

/** How an answer ended. `firstAtMs` is when its first token came. */
export interface Ended {
  readonly reason: string;
  readonly counts: Counts | null;
  readonly firstAtMs: number | null;
}

/** The end of an answer, with all six figures; durations in nanoseconds. */
export function ollamaEnd(options: OllamaAnswerOptions, piece: Piece, ended: Ended): JsonObject {
  const atMs = options.nowMs();
  return { ...contentOf(options, piece, atMs), ...figures(options, ended, atMs) };
}

function figures(times: AnswerTimes, { reason, counts, firstAtMs }: Ended, atMs: number): JsonObject {
  const { totalNs, loadNs } = totalsOf(times, atMs);
  const firstAt = firstAtMs ?? atMs;
  // Where the upstream does not tell: up to its first token it read the prompt.
  const promptMs = counts?.promptMs ?? firstAt - times.startedAtMs - times.loadMs();
  return {
    done: true,
    done_reason: reason === "length" ? "length" : "stop",
    total_duration: totalNs,
    load_duration: loadNs,
    prompt_eval_count: counts?.promptTokens ?? 0,
    prompt_eval_duration: toNs(promptMs),
    eval_count: counts?.answerTokens ?? 0,
    eval_duration: toNs(counts?.answerMs ?? atMs - firstAt),
  };
}

/** From the request's start until now, and its wait for the load, in nanoseconds. */
export function totalsOf(times: AnswerTimes, atMs: number): { readonly totalNs: number; readonly loadNs: number } {
  return { totalNs: toNs(atMs - times.startedAtMs), loadNs: toNs(times.loadMs()) };
}

function toNs(ms: number): number {
  return Math.round(Math.max(0, ms) * 1e6);
}

/** The answer to a request without a prompt: it has neither text nor figures (server/routes.go). */
export function ollamaLoaded(
  { kind, model }: Pick<OllamaAnswerOptions, "kind" | "model">,
  { action, nowMs }: { readonly action: "load" | "unload"; readonly nowMs: number },
): JsonObject {
  const content = contentOf({ kind, model, topLogprobs: false }, EMPTY_PIECE, nowMs);
  return { ...content, done: true, done_reason: action };
}

/** The whole answer of an OpenAI-speaking upstream, as the client is owed it when it did not ask for a stream. */
export function toOllamaAnswer(body: unknown, options: OllamaAnswerOptions): WholeAnswer {
  if (isObject(body) && body.error) return { ok: false, error: failureOf(body) };
  const events = readOpenAiChunk(body);
  if (!events) return { ok: false, error: unreadable("it is no answer") };
  const finish = events.find((event) => event.tag === "finish");
  if (!finish) return { ok: false, error: endedEarly() };
  const piece = joined(events, finish.reason);
  if (!piece) return { ok: false, error: brokenCalls() };
  const counts = events.find((event) => event.tag === "counts")?.counts ?? null;
  return { ok: true, body: ollamaEnd(options, piece, { reason: finish.reason, counts, firstAtMs: null }) };
}

function joined(events: readonly AnswerEvent[], reason: string): Piece | null {
  const deltas = events.filter((event) => event.tag === "delta");
  const collector = createCallCollector();
  const fits = deltas.every(({ toolCalls }) => collector.add(toolCalls));
  const { calls, broken } = collector.finish();
  if (!fits || (broken.length > 0 && reason !== "length")) return null;
  return {
    text: deltas.map(({ text }) => text).join(""),
    reasoning: deltas.map(({ reasoning }) => reasoning).join(""),
    calls,
    logprobs: deltas.flatMap(({ logprobs }) => logprobs),
  };
}

/** A call that the limit of tokens cut is left out; the reason says why. Any other must be whole. */
export function brokenCalls(): SynapticError {
  return unreadable("the arguments of a tool call are no JSON object");
}
