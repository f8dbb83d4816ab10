/** OpenAI's chat and completions: through to a coordinator as they are, translated for an Ollama node. */
import { type SynapticError, toOpenAi } from "../core/errors.ts";
import type { Dialect } from "../core/openai-request.ts";
import { createTail, type Ending } from "../core/stream-end.ts";
import { isObject } from "../core/translate/json.ts";
import { toNodeChat } from "../core/translate/node-chat.ts";
import { toNodeCompletion } from "../core/translate/node-completion.ts";
import { fromOllama } from "../core/translate/node-error.ts";
import { createOpenAiStream, toOpenAiAnswer } from "../core/translate/openai-stream.ts";
import { fromUpstream } from "../core/upstream-error.ts";
import type { Asked, ClientSide, Exchange, NodeAsked } from "./exchange.ts";

export interface OpenAiAsked {
  /** Of the request; ids of the answer are made from it. */
  readonly id: string;
  /** As the client named it. */
  readonly model: string;
  readonly dialect: Dialect;
  /** Seconds since 1970. */
  readonly created: number;
  /** The client's own bytes, and what they hold. */
  readonly body: Uint8Array;
  readonly fields: unknown;
}

export const OPENAI_PATHS: Readonly<Record<Dialect, string>> = {
  chat: "/v1/chat/completions",
  completion: "/v1/completions",
};

export function openAiExchange(asked: OpenAiAsked): Exchange {
  const { dialect, body, fields } = asked;
  const resumable = isObject(fields) ? { resumable: { dialect, fields } } : {};
  return {
    client: OPENAI_CLIENT,
    toCoordinator: () => ({
      path: OPENAI_PATHS[dialect],
      body,
      refusal: fromUpstream,
      translation: null,
      ...resumable,
    }),
    toNode: (node) => toNode(asked, node),
  };
}

/** @throws SynapticError for what an Ollama node cannot do. */
function toNode({ id, model, dialect, created, fields }: OpenAiAsked, node: NodeAsked): Asked {
  const target = { ...node, canThink: null };
  const request = dialect === "chat" ? toNodeChat(fields, target) : toNodeCompletion(fields, target);
  if (!request.ok) throw request.error;
  const { contextSize } = node;
  const prefix = dialect === "chat" ? "chatcmpl" : "cmpl";
  const options = { ...request.wants, kind: dialect, id: `${prefix}-${id}`, created, model, contextSize };
  const context = { model, contextSize, param: dialect === "chat" ? "messages" : "prompt" };
  return {
    path: request.path,
    body: JSON.stringify(request.body),
    refusal: (status, text) => fromOllama(status, text, context),
    translation: {
      stream: () => createOpenAiStream(options),
      whole: (answer) => toOpenAiAnswer(answer, options),
    },
  };
}

/** What every SDK raises as an error, and passes over as a comment (facts/clients.md 2a). */
export const OPENAI_CLIENT: ClientSide = {
  contentType: "text/event-stream",
  waiting: (words) => `: ${words}\n\n`,
  failure: errorFrame,
  tail: createTail,
};

/** An event that broke off is ended first. */
function errorFrame(error: SynapticError, ending: Ending): string {
  const gap = ending === "broken" ? "\n\n" : "";
  return `${gap}data: ${JSON.stringify(toOpenAi(error).body)}\n\n`;
}
