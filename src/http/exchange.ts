/** A request between its client's dialect and that of whoever answers it. Types only. */
import type { Resumable } from "../core/continuation.ts";
import type { ModelTask } from "../core/embedding.ts";
import type { SynapticError } from "../core/errors.ts";
import type { Ending, Tail } from "../core/stream-end.ts";
import type { WholeAnswer } from "../core/translate/ollama-answer.ts";
import type { StreamTranslator } from "../core/translate/types.ts";

/** What an upstream is asked, and how its answer is read. */
export interface Asked {
  /** Such as `/v1/chat/completions`. */
  readonly path: string;
  readonly body: Uint8Array | string;
  /** What it says instead of an answer, as an error of ours. */
  readonly refusal: (status: number, text: string) => SynapticError;
  /** Null where the upstream speaks the client's dialect: then its bytes pass as they are. */
  readonly translation: Translation | null;
  /** The answer, in the client's dialect, where nothing is wanted but that the model is ready: then nobody is asked. */
  readonly ready?: () => string;
  /** What its stream, once it broke, would be gone on with; left out where nothing could. */
  readonly resumable?: Resumable;
}

export interface Translation {
  stream(): StreamTranslator;
  /** Of the parsed body. */
  whole(body: unknown): WholeAnswer;
}

/** A node of the pool, as a request to it needs it. */
export interface NodeAsked {
  /** The model as that node calls it. */
  readonly model: string;
  /** Tokens. */
  readonly contextSize: number;
}

/** One client's request: it can be put to either kind of upstream. Both throw SynapticError for what one cannot do. */
export interface Exchange {
  readonly client: ClientSide;
  /** What the model is to do; text when absent. */
  readonly task?: ModelTask;
  toCoordinator(): Asked;
  toNode(node: NodeAsked): Asked;
  /** How long the model is to stay loaded after it, in milliseconds; null or absent where the client does not say. */
  readonly keepAliveMs?: number | null;
  /** Tokens that the client asks for; used only where nothing else says how many, since another number would reload. */
  readonly contextSize?: number | null;
  /** Called when a coordinator has let it in. */
  letIn?(): void;
}

/** What a client is told outside of the answer, in its own dialect. */
export interface ClientSide {
  /** Of its streams. */
  readonly contentType: string;
  /** Keeps it waiting, with words such as `queued 3` where the dialect has a place for them. */
  waiting(words: string): string;
  /** Ends a stream that broke off; nothing follows it. */
  failure(error: SynapticError, ending: Ending): string;
  /** How a stream ended that passed as it was. */
  tail(): Tail;
}
