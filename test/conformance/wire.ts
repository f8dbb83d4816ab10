/** What comes over the wire, for what no SDK here shows: raw answers, their bytes' times, and errors' forms. */
import { expect } from "bun:test";

export interface RawAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Longest time between two arrivals, the wait for the first one included, in ms. */
  readonly longestGapMs: number;
  /** Whether the body ended as HTTP says it must. */
  readonly clean: boolean;
}

export interface PostOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly onText?: (text: string) => void;
  readonly signal?: AbortSignal;
}

/** Posts JSON, or bytes as they are, and reads the answer to its end. */
export async function post(url: string, body: object | string, options: PostOptions = {}): Promise<RawAnswer> {
  const started = performance.now();
  let last = started;
  let longestGapMs = 0;
  const arrived = () => {
    longestGapMs = Math.max(longestGapMs, performance.now() - last);
    last = performance.now();
  };
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...options.headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...(options.signal && { signal: options.signal }),
  });
  arrived();
  const decoder = new TextDecoder();
  let text = "";
  let clean = true;
  try {
    for await (const bytes of response.body ?? []) {
      arrived();
      text += decoder.decode(bytes, { stream: true });
      options.onText?.(text);
    }
  } catch {
    clean = false;
  }
  return { status: response.status, headers: response.headers, text, longestGapMs, clean };
}

/** The fields that the checks look at; each may be missing. */
export interface Chunk {
  readonly id?: string;
  readonly created?: number;
  readonly model?: string;
  readonly object?: string;
  readonly usage?: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly total_tokens: number;
  } | null;
  readonly choices?: readonly {
    readonly finish_reason?: string | null;
    readonly delta?: {
      readonly role?: string;
      readonly content?: string | null;
      readonly reasoning?: string;
      readonly reasoning_content?: string;
    };
  }[];
  readonly error?: ErrorFields;
}

export interface ErrorFields {
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string | null;
}

export interface Sse {
  readonly events: readonly string[];
  readonly chunks: readonly Chunk[];
  readonly text: string;
  readonly done: boolean;
  readonly error: ErrorFields | null;
}

/**
 * Reads an event stream as openai-python does: it knows `data:` and comments, takes every event for JSON, and dies of
 * `id:`, `retry:` and events without data (facts/clients.md 2a, rows H3, I and J). Throws where it would.
 */
export function readSse(text: string): Sse {
  const events: string[] = [];
  for (const block of text.split(/\r?\n\r?\n/)) {
    const lines = block.split(/\r?\n/).filter((line) => line !== "");
    const told = lines.filter((line) => !line.startsWith(":"));
    if (told.length === 0) continue;
    const odd = told.find((line) => !line.startsWith("data:"));
    if (odd !== undefined) throw new Error(`openai-python cannot read ${JSON.stringify(odd)}`);
    events.push(told.map((line) => line.replace(/^data: ?/, "")).join("\n"));
  }
  // What came from the network: the checks look at each field that they use.
  const chunks = events.filter((event) => event !== "[DONE]").map((event) => JSON.parse(event) as Chunk);
  return {
    events,
    chunks,
    text: chunks.map(({ choices }) => choices?.[0]?.delta?.content ?? "").join(""),
    done: events.at(-1) === "[DONE]",
    error: chunks.find(({ error }) => error)?.error ?? null,
  };
}

/** Each line of an NDJSON stream; a blank one is fatal to half of its clients (facts/clients.md 0.4), and throws here. */
export function readLines(text: string): readonly Record<string, unknown>[] {
  const lines = text.split("\n");
  expect(lines.at(-1)).toBe("");
  return lines.slice(0, -1).map((line) => {
    if (line.trim() === "") throw new Error("a blank line in the stream");
    // Each line must be an object: what is in it, the checks look at.
    return JSON.parse(line) as Record<string, unknown>;
  });
}

/** Holds an error body of /v1 to OpenAI's schema: all four fields, string or null code (facts/clients.md 2). */
export function openAiErrorOf(text: string): ErrorFields {
  // Checked field by field right below.
  const { error } = JSON.parse(text) as { readonly error: ErrorFields };
  expect(Object.keys(error).toSorted()).toEqual(["code", "message", "param", "type"]);
  // Not toMatchObject(): Bun 1.4.5 puts its matchers into what it compares.
  for (const field of [error.message, error.type]) expect(typeof field).toBe("string");
  for (const field of [error.param, error.code]) expect(field === null || typeof field === "string").toBe(true);
  return error;
}

/** The error that work ends with. */
export async function failureOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error("It succeeded");
}

export function messages(content: string): { role: "user"; content: string }[] {
  return [{ role: "user", content }];
}

export const ASK = messages("Please recite.");
