/** OpenAI's embeddings, and rerankings: through to a coordinator, translated for an Ollama node. */
import { SynapticError } from "../core/errors.ts";
import { type EmbedRequest, shortenAnswer } from "../core/translate/embed-answer.ts";
import { isObject } from "../core/translate/json.ts";
import { fromNodeEmbed, toNodeEmbed } from "../core/translate/node-embed.ts";
import { fromOllama } from "../core/translate/node-error.ts";
import { fromUpstream } from "../core/upstream-error.ts";
import { OPENAI_CLIENT } from "./dialect-openai.ts";
import type { Asked, Exchange, NodeAsked } from "./exchange.ts";

export interface EmbedAsked {
  /** As the client named it. */
  readonly model: string;
  /** The client's own bytes, and what they hold. */
  readonly body: Uint8Array;
  readonly fields: unknown;
  readonly request: EmbedRequest;
}

export function embedExchange(asked: EmbedAsked): Exchange {
  return {
    task: "embed",
    client: OPENAI_CLIENT,
    toCoordinator: () => toCoordinator(asked),
    toNode: (node) => toNode(asked, node),
  };
}

function toCoordinator({ body, fields, request }: EmbedAsked): Asked {
  const path = "/v1/embeddings";
  if (request.dimensions === null) return { path, body, refusal: fromUpstream, translation: null };
  const asFloats = JSON.stringify({ ...(isObject(fields) && fields), encoding_format: "float" });
  const whole = (answer: unknown) => shortenAnswer(answer, request);
  return { path, body: asFloats, refusal: fromUpstream, translation: { stream: neverStreamed, whole } };
}

/** @throws SynapticError for what an Ollama node cannot do. */
function toNode({ model, fields }: EmbedAsked, { contextSize, model: name }: NodeAsked): Asked {
  const request = toNodeEmbed(fields, { model: name, contextSize, canThink: null });
  if (!request.ok) throw request.error;
  const { path, wants } = request;
  return {
    path,
    body: JSON.stringify(request.body),
    refusal: (status, text) => fromOllama(status, text, { model, contextSize, param: "input" }),
    translation: {
      stream: neverStreamed,
      whole: (answer) => fromNodeEmbed(answer, { model, contextSize, wants }),
    },
  };
}

/** How well texts fit a question. */
export function rankExchange(model: string, body: Uint8Array): Exchange {
  return {
    task: "rank",
    client: OPENAI_CLIENT,
    toCoordinator: () => ({ path: "/v1/rerank", body, refusal: fromUpstream, translation: null }),
    toNode() {
      throw new SynapticError("unsupported_parameter", `Cannot rerank with ${model} on an Ollama node: none can`, {
        param: "model",
        hint: "have its file on the head node too, where it runs by itself",
      });
    },
  };
}

function neverStreamed(): never {
  throw new Error("vectors were to be streamed");
}
