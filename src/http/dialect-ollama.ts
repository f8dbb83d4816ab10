/** Ollama's clients: through to a node as they are, but for the context that is pinned; translated for a coordinator. */
import type { SynapticError } from "../core/errors.ts";
import { createLineTail } from "../core/line-tail.ts";
import type { OllamaBody, OllamaEndpoint } from "../core/ollama-body.ts";
import type { JsonObject } from "../core/translate/json.ts";
import { fromOllama } from "../core/translate/node-error.ts";
import { pinContext } from "../core/translate/node-request.ts";
import { EMPTY_PIECE, ollamaLoaded, ollamaPiece, toOllamaAnswer } from "../core/translate/ollama-answer.ts";
import {
  ollamaNoEmbeddings,
  toOllamaEmbed,
  toOllamaEmbeddings,
  translateOllamaEmbed,
  translateOllamaEmbeddings,
} from "../core/translate/ollama-embed.ts";
import { toOllama } from "../core/translate/ollama-error.ts";
import { translateOllamaGenerate } from "../core/translate/ollama-generate.ts";
import { type OllamaWants, translateOllamaChat } from "../core/translate/ollama-request.ts";
import { createOllamaStream } from "../core/translate/ollama-stream.ts";
import { fromUpstream } from "../core/upstream-error.ts";
import { OPENAI_PATHS } from "./dialect-openai.ts";
import type { Asked, ClientSide, Exchange, NodeAsked } from "./exchange.ts";

export interface OllamaAsked extends OllamaBody {
  readonly endpoint: OllamaEndpoint;
  /** Milliseconds since 1970. */
  nowMs(): number;
}

/** One request's exchange; made when the request has come, since its durations count from then. */
export function ollamaExchange(asked: OllamaAsked): Exchange {
  const { model, fields, endpoint, keepAliveMs, contextSize, nowMs } = asked;
  const startedAtMs = nowMs();
  let letInAtMs = startedAtMs;
  /** As the node that was asked last was told. */
  let toldContext = 0;
  const refusal = (status: number, text: string) => fromOllama(status, text, { model, contextSize: toldContext });
  return {
    task: endpoint === "embed" || endpoint === "embeddings" ? "embed" : "text",
    client: clientSide(asked, (line) => refusal(500, line)),
    keepAliveMs,
    contextSize,
    letIn() {
      letInAtMs = nowMs();
    },
    toNode(node: NodeAsked): Asked {
      toldContext = node.contextSize;
      const body = JSON.stringify(pinContext(withModel(fields, model), toldContext));
      return { path: `/api/${endpoint}`, body, refusal, translation: null };
    },
    toCoordinator(): Asked {
      return toCoordinator(asked, { startedAtMs, nowMs, loadMs: () => letInAtMs - startedAtMs });
    },
  };
}

/** Ollama finds a model under any spelling of its name, and answers with the one that was used. */
function withModel({ name: _, ...fields }: JsonObject, model: string): JsonObject {
  return { ...fields, model };
}

interface Times {
  readonly startedAtMs: number;
  nowMs(): number;
  loadMs(): number;
}

/** @throws SynapticError for what llama-server cannot do. */
function toCoordinator(asked: OllamaAsked, times: Times): Asked {
  const { endpoint, model, fields, action, nowMs } = asked;
  if (endpoint === "embed" || endpoint === "embeddings") return toEmbedder(asked, endpoint, times);
  if (action !== "ask") {
    const ready = () => `${JSON.stringify(ollamaLoaded({ kind: endpoint, model }, { action, nowMs: nowMs() }))}\n`;
    return { path: "", body: "", refusal: fromUpstream, translation: null, ready };
  }
  const said = withModel(fields, model);
  const request = endpoint === "chat" ? translateOllamaChat(said) : translateOllamaGenerate(said);
  if (!request.ok) throw request.error;
  if (request.action !== "ask") throw new Error(`a request for ${request.action} was taken for one for an answer`);
  const { topLogprobs }: OllamaWants = request.wants;
  const options = { kind: endpoint, model, topLogprobs, ...times };
  return {
    path: request.path,
    body: JSON.stringify(request.body),
    refusal: fromUpstream,
    resumable: { dialect: request.path === OPENAI_PATHS.chat ? "chat" : "completion", fields: request.body },
    translation: {
      stream: () => createOllamaStream(options),
      whole: (answer) => toOllamaAnswer(answer, options),
    },
  };
}

type EmbedEndpoint = Extract<OllamaEndpoint, "embed" | "embeddings">;

/** Nothing to embed has an answer of its own, once the model is there. */
function toEmbedder({ model, fields }: OllamaAsked, endpoint: EmbedEndpoint, times: Times): Asked {
  const said = withModel(fields, model);
  const request = endpoint === "embed" ? translateOllamaEmbed(said) : translateOllamaEmbeddings(said);
  if (!request.ok) throw request.error;
  if (request.action !== "ask") {
    const nothing = endpoint === "embed" ? ollamaNoEmbeddings(model) : { embedding: [] };
    return { path: "", body: "", refusal: fromUpstream, translation: null, ready: () => JSON.stringify(nothing) };
  }
  const { dimensions } = request.wants;
  return {
    path: request.path,
    body: JSON.stringify(request.body),
    refusal: fromUpstream,
    translation: {
      stream: () => {
        throw new Error("embeddings were to be streamed");
      },
      whole: (answer) =>
        endpoint === "embed" ? toOllamaEmbed(answer, { model, dimensions, ...times }) : toOllamaEmbeddings(answer),
    },
  };
}

/** A blank line would be fatal for most clients, a piece without text is nothing to all (facts/clients.md 0.4). */
function clientSide({ endpoint, model, nowMs }: OllamaAsked, toError: (line: string) => SynapticError): ClientSide {
  const kind = endpoint === "generate" ? "generate" : "chat";
  return {
    contentType: "application/x-ndjson",
    waiting: () => `${JSON.stringify(ollamaPiece({ kind, model, topLogprobs: false }, EMPTY_PIECE, nowMs()))}\n`,
    // Half a line is ended first: what follows it would be a part of it.
    failure: (error, ending) => `${ending === "broken" ? "\n" : ""}${JSON.stringify(toOllama(error, model).body)}\n`,
    tail: () => createLineTail(toError),
  };
}
