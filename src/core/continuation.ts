/** How a stream that broke goes on: what its next request is, from the request and the bytes so far, or why there can be
 *  none. For chat the text so far is the beginning of the assistant's message (facts/llamacpp.md j), for completions it is
 *  added to the prompt. Pure. */
import { type Piece, readSaid, type Said } from "./continuation-said.ts";
import type { Dialect } from "./openai-request.ts";
import { isObject, type JsonObject } from "./translate/json.ts";

/** A request to a coordinator whose stream can go on elsewhere. */
export interface Resumable {
  readonly dialect: Dialect;
  readonly fields: JsonObject;
}

/** From where the next request goes on. */
export interface Seam {
  readonly reasoning: string;
  readonly text: string;
  /** Events that held it: at least so many tokens. */
  readonly pieces: number;
  /** What the client has beyond it, and is said again. */
  readonly dropped: readonly Piece[];
}

export type Continuation =
  /** First without the last word, since half of one is other tokens than the whole; `whole` is for when that word does not
   *  come again (null where it would be the same). */
  | { readonly kind: "go"; readonly said: Said; readonly first: Seam; readonly whole: Seam | null }
  /** All is said; only this is missing. */
  | { readonly kind: "over"; readonly rest: string }
  | { readonly kind: "impossible"; readonly why: string };

/** The classes that cannot: what their tokens may be depends on more than the text before them. Null when it can. */
export function whyNotResumable({ dialect, fields }: Resumable): string | null {
  for (const [why, has] of CLASSES) if (has(fields)) return why;
  return dialect === "chat" ? whyNotChat(fields) : whyNotCompletion(fields);
}

type Test = (fields: JsonObject) => boolean;

const isOn = (value: unknown): boolean => value !== undefined && value !== null && value !== false && value !== 0;
const isFilled = (value: unknown): boolean => Array.isArray(value) && value.length > 0;

const CLASSES: readonly (readonly [why: string, Test])[] = [
  [
    "it may call tools",
    ({ tools, functions, tool_choice }) => (isFilled(tools) && tool_choice !== "none") || isFilled(functions),
  ],
  ["its form is prescribed (response_format, json_schema or grammar)", hasForm],
  ["it has several answers (n or best_of)", ({ n, best_of }) => isMany(n) || isMany(best_of)],
  [
    "its probabilities go with each token (logprobs)",
    ({ logprobs, top_logprobs, n_probs }) => [logprobs, top_logprobs, n_probs].some(isOn),
  ],
  ["its sampling depends on all tokens before (mirostat)", ({ mirostat }) => isOn(mirostat)],
  ["its tokens go with it (return_tokens)", ({ return_tokens }) => isOn(return_tokens)],
];

function isMany(value: unknown): boolean {
  return typeof value === "number" && value > 1;
}

function hasForm({ response_format, json_schema, grammar }: JsonObject): boolean {
  const isText = isObject(response_format) && response_format.type === "text";
  return (isOn(response_format) && !isText) || isOn(json_schema) || (isOn(grammar) && grammar !== "");
}

function whyNotChat({
  messages,
  reasoning_format,
  continue_final_message,
  add_generation_prompt,
}: JsonObject): string | null {
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : undefined;
  if (!isObject(last)) return "it has no messages";
  if (last.role === "assistant" && typeof last.content !== "string") return "its own last message is no plain text";
  if (reasoning_format === "none") return "its thinking is part of its text (reasoning_format)";
  if (isOn(continue_final_message) || add_generation_prompt === false) return "it says itself how its prompt ends";
  return null;
}

function whyNotCompletion({ prompt, echo, suffix }: JsonObject): string | null {
  if (isOn(echo)) return "its prompt is part of its answer (echo)";
  if (isOn(suffix) && suffix !== "") return "its text stands before another one (suffix)";
  return joinPrompt(prompt, "") === null ? "it has several prompts, or one that is no text" : null;
}

/** What a request needs after these bytes went out; `chunks` null when they are too many. */
export function continuationOf(request: Resumable, chunks: readonly Uint8Array[] | null): Continuation {
  const impossible = (why: string) => ({ kind: "impossible", why }) as const;
  const why = whyNotResumable(request);
  if (why !== null) return impossible(why);
  if (chunks === null) return impossible("too much of it was sent to go on from");
  const said = readSaid(chunks);
  if ("why" in said) return impossible(said.why);
  if (said.isDone) return { kind: "over", rest: "" };
  if (said.finish !== null && (said.hasUsage || !wantsUsage(request)))
    return { kind: "over", rest: "data: [DONE]\n\n" };
  const text = textOf(said.pieces);
  if (RAW_THINKING.test(text)) return impossible("its thinking is part of its text");
  const dropped = said.finish === null ? lastWord(said.pieces) : 0;
  const whole = seamBefore(said.pieces, 0);
  return { kind: "go", said, first: seamBefore(said.pieces, dropped), whole: dropped === 0 ? null : whole };
}

/** A template that knows thinking would put another, empty one before it. */
const RAW_THINKING = /^\s*(?:<think|<\|channel|<seed:think|\[THINK\])/i;

/** Whether the stream ends with its tokens counted. */
export function wantsUsage({ dialect, fields }: Resumable): boolean {
  if (dialect === "completion") return true;
  return isObject(fields.stream_options) && fields.stream_options.include_usage === true;
}

/** Tokens of one word, at most. */
const LONGEST_WORD = 8;

/** Pieces of the last word: back to one that begins with a space, since words are split into tokens each by itself. Of a
 *  language without spaces it is the last piece alone. */
function lastWord(pieces: readonly Piece[]): number {
  const kind = pieces.at(-1)?.kind;
  for (let count = 1; count <= Math.min(LONGEST_WORD, pieces.length); count++) {
    const piece = pieces.at(-count);
    if (piece?.kind !== kind) break;
    if (/^\s/.test(piece?.text ?? "")) return count;
  }
  return Math.min(1, pieces.length);
}

function seamBefore(pieces: readonly Piece[], dropped: number): Seam {
  const kept = pieces.slice(0, pieces.length - dropped);
  const reasoning = kept.filter(({ kind }) => kind === "reasoning");
  const text = kept.filter(({ kind }) => kind === "text");
  return {
    reasoning: textOf(reasoning),
    text: textOf(text),
    pieces: kept.length,
    dropped: pieces.slice(pieces.length - dropped),
  };
}

function textOf(pieces: readonly Piece[]): string {
  return pieces.map(({ text }) => text).join("");
}

const LIMITS = ["max_tokens", "max_completion_tokens", "n_predict"] as const;

export interface NextOptions {
  /** That were sent of what it goes on from. */
  readonly tokens: number;
  /** All was said, and only the count of it is wanted. */
  readonly hasFinished: boolean;
}

/** The body of the next request. */
export function nextBody({ dialect, fields }: Resumable, seam: Seam, { tokens, hasFinished }: NextOptions): JsonObject {
  const limits = LIMITS.flatMap((name): [string, number][] => {
    const limit = fields[name];
    if (typeof limit !== "number" || limit <= 0) return [];
    return [[name, hasFinished ? 1 : Math.max(1, limit - tokens)]];
  });
  const shortest = hasFinished ? { max_tokens: 1 } : {};
  const next = { ...fields, ...shortest, ...Object.fromEntries(limits), return_progress: false };
  if (dialect === "completion") return { ...next, prompt: joinPrompt(fields.prompt, seam.text) };
  return { ...next, messages: joinMessages(fields.messages, seam) };
}

/** A thought is streamed with the line end before its end mark, and llama-server 0.7.0 puts that mark behind it with another
 *  one: the prompt then has two, which the model did not write. */
export function withoutDoubledEnd(seam: Seam, prompt: string): Seam {
  const { reasoning, text } = seam;
  const isDoubled = text !== "" && reasoning.endsWith("\n") && prompt.includes(`${reasoning}\n`);
  return isDoubled ? { ...seam, reasoning: reasoning.slice(0, -1) } : seam;
}

/** The prompt of a completion without and with what was sent; null for a chat, whose template makes it. */
export function textsAround({ dialect, fields }: Resumable, { text }: Seam): readonly [string, string] | null {
  if (dialect === "chat") return null;
  const prompt = joinPrompt(fields.prompt, "");
  const before = typeof prompt === "string" ? prompt : "";
  return [before, before + text];
}

/** Null when the prompt is not one text. Token ids and texts may stand in one list (llama-server's own form). */
function joinPrompt(prompt: unknown, text: string): string | readonly unknown[] | null {
  if (typeof prompt === "string") return prompt + text;
  if (!Array.isArray(prompt)) return null;
  const [only] = prompt;
  if (prompt.length === 1 && typeof only === "string") return only + text;
  if (!prompt.every((part) => typeof part === "number")) return null;
  return text === "" ? prompt : [...prompt, text];
}

function joinMessages(messages: unknown, { reasoning, text }: Seam): readonly unknown[] {
  const all: readonly unknown[] = Array.isArray(messages) ? messages : [];
  if (reasoning === "" && text === "") return all;
  const last = all.at(-1);
  const isTheirs = isObject(last) && last.role === "assistant";
  const before = isTheirs && typeof last.content === "string" ? last.content : "";
  const message = {
    ...(isTheirs ? last : { role: "assistant" }),
    content: before + text,
    ...(reasoning !== "" && { reasoning_content: reasoning }),
  };
  return [...(isTheirs ? all.slice(0, -1) : all), message];
}
