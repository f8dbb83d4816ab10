/** An OpenAI chat of our own making put to either kind of upstream, for dialects that are translated on both. */
import type { AnswerEvent, AnswerReader } from "../core/translate/answer-events.ts";
import { firstCallOf, firstCallReader } from "../core/translate/first-call.ts";
import { readOpenAiAnswer } from "../core/translate/gathered-answer.ts";
import type { JsonObject } from "../core/translate/json.ts";
import { toNodeChat } from "../core/translate/node-chat.ts";
import { fromOllama } from "../core/translate/node-error.ts";
import { createNodeLines, createNodeReader } from "../core/translate/node-events.ts";
import type { WholeAnswer } from "../core/translate/ollama-answer.ts";
import { createOpenAiReader } from "../core/translate/openai-events.ts";
import type { StreamTranslator } from "../core/translate/types.ts";
import { fromUpstream } from "../core/upstream-error.ts";
import type { Asked, Exchange, NodeAsked } from "./exchange.ts";

export interface ChatAsked {
  /** As the client named it. */
  readonly model: string;
  readonly body: JsonObject;
  stream(reader: AnswerReader): StreamTranslator;
  /** `by` is who answered: only llama-server repeats what it was to go on from. */
  whole(events: readonly AnswerEvent[], by: "coordinator" | "node"): WholeAnswer;
}

export function chatUpstream(asked: ChatAsked): Pick<Exchange, "toCoordinator" | "toNode"> {
  return { toCoordinator: () => toCoordinator(asked), toNode: (node) => toNode(asked, node) };
}

function toCoordinator({ body, stream, whole }: ChatAsked): Asked {
  return {
    path: "/v1/chat/completions",
    body: JSON.stringify(body),
    refusal: fromUpstream,
    resumable: { dialect: "chat", fields: body },
    translation: {
      stream: () => stream(createOpenAiReader()),
      whole: (answer) => whole(readOpenAiAnswer(answer), "coordinator"),
    },
  };
}

/** @throws SynapticError for what an Ollama node cannot do. */
function toNode({ model, body, stream, whole }: ChatAsked, node: NodeAsked): Asked {
  const request = toNodeChat(body, { ...node, canThink: null });
  if (!request.ok) throw request.error;
  const { oneToolCall } = request.wants;
  const context = { model, contextSize: node.contextSize, param: "messages" };
  return {
    path: request.path,
    body: JSON.stringify(request.body),
    refusal: (status, text) => fromOllama(status, text, context),
    translation: {
      stream() {
        const reader = createNodeReader(context);
        return stream(oneToolCall ? firstCallReader(reader) : reader);
      },
      whole(answer) {
        const events = createNodeLines(context)(answer);
        return whole(oneToolCall ? firstCallOf(events) : events, "node");
      },
    },
  };
}
