/** OpenAI's Responses API: translated for either kind of upstream, since llama-server's own fails the strict clients. */
import { createTail } from "../core/stream-end.ts";
import type { AnswerIdentity } from "../core/translate/answer-identity.ts";
import { isObject, type JsonObject } from "../core/translate/json.ts";
import { createLateReader } from "../core/translate/late-reader.ts";
import type { WholeAnswer } from "../core/translate/ollama-answer.ts";
import { toResponse } from "../core/translate/responses-answer.ts";
import type { ChatFromResponses } from "../core/translate/responses-request.ts";
import { createResponsesStream } from "../core/translate/responses-stream.ts";
import { chatUpstream } from "./chat-upstream.ts";
import type { Exchange } from "./exchange.ts";

export interface ResponsesAsked {
  readonly request: ChatFromResponses;
  readonly identity: AnswerIdentity;
  /** Gets each item of the answer when it is whole. */
  readonly remember: (item: JsonObject) => void;
}

/** Its events are numbered from the first one, which may be due before it is known who answers: so one translator tells
 *  the client all of it, and gets its reader late. */
export function responsesExchange({ request: { body, echo }, identity, remember }: ResponsesAsked): Exchange {
  const late = createLateReader();
  const translator = createResponsesStream(late, { identity, echo, remember });
  return {
    client: {
      contentType: "text/event-stream",
      waiting: translator.keepAlive,
      failure: translator.fail,
      tail: createTail,
    },
    ...chatUpstream({
      ...{ model: identity.model, body },
      stream(reader) {
        late.attach(reader);
        return translator;
      },
      whole: (events) => remembered(toResponse(events, { identity, echo }), remember),
    }),
  };
}

function remembered(answer: WholeAnswer, remember: (item: JsonObject) => void): WholeAnswer {
  const items = answer.ok && Array.isArray(answer.body.output) ? answer.body.output : [];
  for (const item of items) if (isObject(item)) remember(item);
  return answer;
}
