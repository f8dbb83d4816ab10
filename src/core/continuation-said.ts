/** What a client has got of a stream that broke: read from the bytes that went out. Pure. */
import { createSseReader } from "./sse.ts";
import { isObject, type JsonObject, readJson } from "./translate/json.ts";

/** What one event added; mostly one token. */
export interface Piece {
  readonly kind: "reasoning" | "text";
  readonly text: string;
}

/** The same in each event of one stream. */
export type Head = Readonly<Record<"id" | "created" | "model", unknown>>;

export interface Said {
  /** Null before the first event. */
  readonly head: Head | null;
  readonly pieces: readonly Piece[];
  /** The client knows who speaks. */
  readonly hasRole: boolean;
  /** Why it ended, where it had. */
  readonly finish: string | null;
  readonly hasUsage: boolean;
  readonly isDone: boolean;
}

/** What the bytes say, or why they are no text that could be gone on with. */
export function readSaid(chunks: readonly Uint8Array[]): Said | { readonly why: string } {
  const read = createSseReader();
  const decoder = new TextDecoder();
  const reading = new Reading();
  try {
    for (const chunk of chunks) {
      for (const event of read(decoder.decode(chunk, { stream: true }))) {
        const why = reading.take(event);
        if (why !== null) return { why };
      }
    }
  } catch {
    return { why: UNREADABLE };
  }
  return reading;
}

const UNREADABLE = "what was sent of it cannot be read";

class Reading implements Said {
  head: Head | null = null;
  readonly pieces: Piece[] = [];
  hasRole = false;
  finish: string | null = null;
  hasUsage = false;
  isDone = false;

  /** Null when it could be taken. */
  take(data: string): string | null {
    if (data === "[DONE]") {
      this.isDone = true;
      return null;
    }
    const event = readJson(data);
    if (!isObject(event) || !Array.isArray(event.choices)) return UNREADABLE;
    const { choices, id, created, model } = event;
    this.head ??= { id, created, model };
    this.hasUsage ||= isObject(event.usage);
    if (choices.length > 1) return "it has several answers";
    const choice: unknown = choices[0];
    return choice === undefined ? null : this.#takeChoice(choice);
  }

  #takeChoice(choice: unknown): string | null {
    if (!isObject(choice)) return UNREADABLE;
    if (choice.index !== undefined && choice.index !== 0) return "it has several answers";
    if (choice.logprobs !== undefined && choice.logprobs !== null) return "its probabilities go with each token";
    if (typeof choice.finish_reason === "string") this.finish = choice.finish_reason;
    const pieces = piecesOf(choice);
    if (typeof pieces === "string") return pieces;
    this.hasRole ||= isObject(choice.delta) && choice.delta.role !== undefined;
    for (const piece of pieces) {
      const isLate = piece.kind === "reasoning" && this.pieces.at(-1)?.kind === "text";
      if (isLate) return "its reasoning goes on after its text";
      this.pieces.push(piece);
    }
    return null;
  }
}

const FIELDS: Readonly<Record<string, Piece["kind"]>> = { reasoning_content: "reasoning", content: "text" };

/** What a choice adds, or why it is more than text. Empty texts are left out. */
export function piecesOf(choice: JsonObject): readonly Piece[] | string {
  if (typeof choice.text === "string") return choice.text === "" ? [] : [{ kind: "text", text: choice.text }];
  if (!isObject(choice.delta)) return choice.delta === undefined ? [] : UNREADABLE;
  const pieces: Piece[] = [];
  for (const [name, text] of Object.entries(choice.delta)) {
    if (name === "role" || text === null || text === "") continue;
    const kind = FIELDS[name];
    if (kind === undefined || typeof text !== "string") return `it holds ${name}`;
    pieces.push({ kind, text });
  }
  // Whatever the order of the fields: who thinks does so first.
  return pieces.toSorted((a, b) => order(a) - order(b));
}

function order({ kind }: Piece): number {
  return kind === "reasoning" ? 0 : 1;
}
