/** What an answer consists of, whatever dialect it comes in. Types only. */
import type { SynapticError } from "../errors.ts";

/** A piece of a call; whole ones have their name and all their arguments in one piece. */
export interface ToolCallPart {
  /** Which call of the answer it belongs to. */
  readonly index: number;
  readonly id: string | null;
  readonly name: string | null;
  /** Text of a JSON object, or a part of it. */
  readonly argumentsText: string;
}

export interface TokenLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[] | null;
}

export interface Logprob extends TokenLogprob {
  readonly top: readonly TokenLogprob[];
}

/** Tokens and times of an answer, as far as the upstream tells them. */
export interface Counts {
  /** Those of the cache included. */
  readonly promptTokens: number;
  readonly answerTokens: number;
  readonly cachedTokens: number | null;
  readonly promptMs: number | null;
  readonly answerMs: number | null;
}

export type AnswerEvent =
  | {
      readonly tag: "delta";
      readonly text: string;
      readonly reasoning: string;
      readonly toolCalls: readonly ToolCallPart[];
      readonly logprobs: readonly Logprob[];
    }
  /** Why the text ends, in OpenAI's words; counts may come with it, later or never. The stop sequence that was met is
   *  told by llama-server alone, and only to who asks with `verbose`. */
  | { readonly tag: "finish"; readonly reason: string; readonly stopWord?: string }
  | { readonly tag: "counts"; readonly counts: Counts }
  /** The answer is whole. The last event, as `failed` is. */
  | { readonly tag: "done" }
  | { readonly tag: "failed"; readonly error: SynapticError };

export interface AnswerReader {
  push(bytes: Uint8Array): readonly AnswerEvent[];
  /** After the last byte: ends in `done` or `failed`, unless one of them came before. */
  end(): readonly AnswerEvent[];
}
