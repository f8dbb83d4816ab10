/** The rest of a stream that broke, as the client must see it: one answer, without a seam. Pure. */

import type { Seam } from "./continuation.ts";
import { type Head, type Piece, piecesOf, type Said } from "./continuation-said.ts";
import { isObject, type JsonObject, readJson } from "./translate/json.ts";

export interface ResumedStream {
  /** What the client gets for these bytes; empty when nothing yet. */
  push(bytes: Uint8Array): string;
  /** The new text does not begin with what the client has beyond the seam: nothing of it may be used. */
  hasDiverged(): boolean;
}

export interface ResumedOptions {
  readonly said: Said;
  readonly seam: Seam;
  /** Tokens that were sent of what it goes on from. */
  readonly tokens: number;
}

const MAX_EVENT_CHARACTERS = 1024 ** 2;

/** Reads the new coordinator's events: takes away what the client has, and gives the rest the name it began with. */
export function createResumedStream(options: ResumedOptions): ResumedStream {
  const decoder = new TextDecoder();
  const events = new ResumedEvents(options);
  let rest = "";
  return {
    push(bytes) {
      const blocks = (rest + decoder.decode(bytes, { stream: true })).split("\n\n");
      rest = blocks.pop() ?? "";
      if (rest.length > MAX_EVENT_CHARACTERS) throw new Error("an event has no end");
      let out = "";
      for (const block of blocks) out += events.take(block);
      return events.hasDiverged ? "" : out;
    },
    hasDiverged: () => events.hasDiverged,
  };
}

class ResumedEvents {
  hasDiverged = false;
  readonly #options: ResumedOptions;
  /** Given by the first event where the client had none. */
  #head: Head | null;
  #hasRole: boolean;
  /** What has still to come again. */
  #repeats: Piece[];

  constructor(options: ResumedOptions) {
    this.#options = options;
    this.#head = options.said.head;
    this.#hasRole = options.said.hasRole;
    this.#repeats = merged(options.seam.dropped);
  }

  /** One event without its empty line. */
  take(block: string): string {
    const event = block.startsWith("data:") ? readJson(block.slice("data:".length)) : undefined;
    if (isObject(event) && Array.isArray(event.choices)) {
      const rewritten = this.#rewrite(event, event.choices[0]);
      return rewritten === null ? "" : `data: ${JSON.stringify(rewritten)}\n\n`;
    }
    if (/^data: ?\[DONE\]/.test(block) && this.#repeats.length > 0) this.hasDiverged = true;
    return `${block}\n\n`;
  }

  /** Null for an event that tells the client nothing new. */
  #rewrite(event: JsonObject, choice: unknown): JsonObject | null {
    this.#head ??= { id: event.id, created: event.created, model: event.model };
    const usage = isObject(event.usage) && { usage: this.#wholeUsage(event.usage) };
    // Timings are of the rest alone, and who finds both counts by them: `usage` is what tells of the whole answer.
    const named = { ...event, ...this.#head, ...usage, timings: undefined };
    if (choice === undefined) return isObject(event.usage) ? named : null;
    // It had ended: only the count of its tokens was missing.
    if (this.#options.said.finish !== null || !isObject(choice)) return null;
    const pieces = piecesOf(choice);
    if (typeof pieces === "string") {
      this.hasDiverged = true;
      return null;
    }
    const fresh = pieces.flatMap((piece) => this.#withoutRepeated(piece));
    if (choice.finish_reason && this.#repeats.length > 0) this.hasDiverged = true;
    const role = this.#hasRole || !isObject(choice.delta) ? undefined : choice.delta.role;
    this.#hasRole ||= role !== undefined;
    if (fresh.length === 0 && !choice.finish_reason && role === undefined) return null;
    return { ...named, choices: [choiceOf(choice, fresh, role)] };
  }

  #withoutRepeated(piece: Piece): readonly Piece[] {
    const [next] = this.#repeats;
    if (!next) return [piece];
    if (next.kind === piece.kind && piece.text.startsWith(next.text)) {
      this.#repeats.shift();
      const text = piece.text.slice(next.text.length);
      return text === "" ? [] : [{ ...piece, text }];
    }
    if (next.kind === piece.kind && next.text.startsWith(piece.text)) {
      this.#repeats[0] = { ...next, text: next.text.slice(piece.text.length) };
    } else {
      this.hasDiverged = true;
    }
    return [];
  }

  /** As of one answer: the text that was sent is no prompt. */
  #wholeUsage(usage: JsonObject): JsonObject {
    const { tokens, said } = this.#options;
    const prompt = Math.max(0, count(usage.prompt_tokens) - tokens);
    // The mark that ends an answer counts as one of its tokens.
    const rest = said.finish === null ? count(usage.completion_tokens) : Number(said.finish === "stop");
    const completion = tokens + rest;
    const details = usage.prompt_tokens_details;
    const cached = isObject(details) ? Math.min(prompt, count(details.cached_tokens)) : 0;
    return {
      ...usage,
      completion_tokens: completion,
      prompt_tokens: prompt,
      total_tokens: prompt + completion,
      ...(isObject(details) && { prompt_tokens_details: { ...details, cached_tokens: cached } }),
    };
  }
}

/** One per kind, since they come again in other pieces. */
function merged(pieces: readonly Piece[]): Piece[] {
  const [first] = pieces;
  return first ? [{ kind: first.kind, text: pieces.map(({ text }) => text).join("") }] : [];
}

function count(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

function choiceOf(choice: JsonObject, pieces: readonly Piece[], role: unknown): JsonObject {
  const of = (kind: Piece["kind"]) => pieces.find((piece) => piece.kind === kind)?.text;
  if (!isObject(choice.delta)) return { ...choice, text: of("text") ?? "" };
  const [reasoning, text] = [of("reasoning"), of("text")];
  const delta = {
    ...(role !== undefined && { role, content: null }),
    ...(reasoning !== undefined && { reasoning_content: reasoning }),
    ...(text !== undefined && { content: text }),
  };
  return { ...choice, delta };
}
