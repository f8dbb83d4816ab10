/** A coordinator without an engine: it knows its tokens by heart, and goes on from any of their boundaries. */
import { type Continuation, continuationOf, nextBody, type Resumable } from "../../src/core/continuation.ts";
import { createResumedStream } from "../../src/core/continuation-stream.ts";
import { createSentEvents, type SentEvents } from "../../src/core/sent-events.ts";
import { isObject } from "../../src/core/translate/json.ts";
import { DONE, event } from "../fakes/llama-answers.ts";

export interface Token {
  readonly kind: "reasoning" | "text";
  readonly text: string;
}

export interface Reciter {
  readonly tokens: readonly Token[];
  readonly promptTokens: number;
}

/** A word of several tokens, a character of several bytes, line ends and quotes, and some that repeat. */
export const TEXT: readonly Token[] = [
  ...'Un|believ|ably| long| long| words|,| "quoted"|\n\n|é|t|é| 🎉🎉| 日|本|語| a|\\| b|\tend|.'.split("|"),
].map((text) => ({ kind: "text", text }));

export const THOUGHT: readonly Token[] = ["Let", " me", " th", "ink", "."].map((text) => ({ kind: "reasoning", text }));

let streams = 0;

/** What it streams for a request: the rest of its tokens after those that the request ends with. @throws when the request
 *  ends within a token: then a real model would say something else. */
export function streamOf({ tokens, promptTokens }: Reciter, { dialect, fields }: Resumable): string {
  const id = `chatcmpl-${++streams}`;
  const base = { created: 1_795_558_690 + streams, id, model: `m${streams}`, system_fingerprint: "b1" };
  const isChat = dialect === "chat";
  const at = boundary(tokens, saidIn(fields, isChat));
  const limit = typeof fields.max_tokens === "number" ? fields.max_tokens : Number.POSITIVE_INFINITY;
  const said = tokens.slice(at, at + limit);
  const finish = said.length < limit ? "stop" : "length";
  // Like llama-server, it counts the mark at the end.
  const count = said.length + (finish === "stop" ? 1 : 0);
  const usage = {
    completion_tokens: count,
    prompt_tokens: promptTokens + at,
    total_tokens: promptTokens + at + count,
    prompt_tokens_details: { cached_tokens: promptTokens + at - 1 },
  };
  const timings = { cache_n: promptTokens + at - 1, prompt_n: 1, prompt_ms: 1, predicted_n: count, predicted_ms: 1 };
  const chunk = (choice: object, more: object = {}) =>
    event({ choices: [{ finish_reason: null, index: 0, ...choice }], ...base, object: "x", ...more });
  if (!isChat) {
    const words = said.map(({ text }) => chunk({ text, logprobs: null }));
    return [...words, chunk({ text: "", logprobs: null, finish_reason: finish }, { usage }), DONE].join("");
  }
  const words = said.map(({ kind, text }) => {
    return chunk({ delta: kind === "text" ? { content: text } : { reasoning_content: text } });
  });
  const wants = isObject(fields.stream_options) && fields.stream_options.include_usage === true;
  return [
    chunk({ delta: { role: "assistant", content: null } }),
    ...words,
    chunk({ delta: {}, finish_reason: finish }),
    ...(wants ? [event({ choices: [], ...base, object: "x", usage, timings })] : []),
    DONE,
  ].join("");
}

function saidIn({ messages, prompt }: Resumable["fields"], isChat: boolean): string {
  if (!isChat) return String(prompt).slice(PROMPT.length);
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : null;
  if (!isObject(last) || last.role !== "assistant") return "";
  return `${last.reasoning_content ?? ""}${last.content}`;
}

export const PROMPT = "Say: ";

function boundary(tokens: readonly Token[], said: string): number {
  for (let at = 0, text = ""; at <= tokens.length; at++) {
    if (text === said) return at;
    text += tokens[at]?.text ?? "";
  }
  throw new Error(`Not at the end of a token: ${JSON.stringify(said)}`);
}

export const CHAT: Resumable = {
  dialect: "chat",
  fields: { messages: [{ role: "user", content: "hi" }], stream: true },
};
export const COMPLETION: Resumable = { dialect: "completion", fields: { prompt: PROMPT, stream: true } };

export function withFields({ dialect, fields }: Resumable, more: object): Resumable {
  return { dialect, fields: { ...fields, ...more } };
}

/** What a client gets in all where each stream breaks after so many bytes: the last one does not. */
export function play(reciter: Reciter, request: Resumable, cuts: readonly number[]): string {
  const sent = createSentEvents();
  const [first = 0, ...later] = cuts;
  let heard = take(sent, ENCODER.encode(streamOf(reciter, request)).subarray(0, first));
  for (const cut of [...later, Number.POSITIVE_INFINITY]) {
    sent.breakOff();
    const next = continuationOf(request, sent.chunks());
    if (next.kind === "impossible") throw new Error(next.why);
    if (next.kind === "over") return heard + next.rest;
    heard += goOn(reciter, request, { sent, next, cut });
  }
  return heard;
}

interface GoingOn {
  readonly sent: SentEvents;
  readonly next: Extract<Continuation, { readonly kind: "go" }>;
  readonly cut: number;
}

function goOn(reciter: Reciter, request: Resumable, { sent, next, cut }: GoingOn): string {
  const { said, first } = next;
  const body = nextBody(request, first, { tokens: first.pieces, hasFinished: said.finish !== null });
  const bytes = ENCODER.encode(streamOf(reciter, { ...request, fields: body })).subarray(0, cut);
  const stream = createResumedStream({ said, seam: first, tokens: first.pieces });
  let heard = "";
  // Some at a time, so that events and characters are cut.
  for (let at = 0; at < bytes.length; at += 97) {
    heard += take(sent, ENCODER.encode(stream.push(bytes.subarray(at, at + 97))));
  }
  if (stream.hasDiverged()) throw new Error("It diverged");
  return heard;
}

const ENCODER = new TextEncoder();

function take(sent: SentEvents, bytes: Uint8Array): string {
  return new TextDecoder().decode(sent.pass(bytes));
}

export interface Heard {
  readonly text: string;
  readonly reasoning: string;
  readonly roles: number;
  readonly names: number;
  readonly finishes: readonly unknown[];
  /** Tokens of the prompt, of the answer, and of both. */
  readonly usages: readonly (readonly number[])[];
  readonly dones: number;
}

interface Chunk {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly choices: readonly {
    readonly text?: string;
    readonly finish_reason: string | null;
    readonly delta?: { readonly role?: string; readonly content?: string | null; readonly reasoning_content?: string };
  }[];
  readonly usage?: Readonly<Record<(typeof COUNTS)[number], number>>;
}

const COUNTS = ["prompt_tokens", "completion_tokens", "total_tokens"] as const;

/** How many of them were cached depends on who counts. */
function countsOf(usage: Readonly<Record<(typeof COUNTS)[number], number>>): readonly number[] {
  return COUNTS.map((name) => usage[name]);
}

/** What a client makes of it; every event must be whole. */
export function hearAll(stream: string): Heard {
  const data = stream.split("\n\n").filter((block) => block !== "");
  const chunks = data
    .filter((block) => block !== "data: [DONE]")
    .map((block) => {
      if (!block.startsWith("data: ")) throw new Error(`No event: ${block}`);
      // The simulator's own shape.
      return JSON.parse(block.slice("data: ".length)) as Chunk;
    });
  const choices = chunks.flatMap((chunk) => chunk.choices);
  return {
    text: choices.map(({ text, delta }) => text ?? delta?.content ?? "").join(""),
    reasoning: choices.map(({ delta }) => delta?.reasoning_content ?? "").join(""),
    roles: choices.filter(({ delta }) => delta?.role !== undefined).length,
    names: new Set(chunks.map(({ id, created, model }) => `${id} ${created} ${model}`)).size,
    finishes: choices.flatMap(({ finish_reason }) => finish_reason ?? []),
    usages: chunks.flatMap(({ usage }) => (usage ? [countsOf(usage)] : [])),
    dones: data.length - chunks.length,
  };
}
