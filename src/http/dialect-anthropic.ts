/** Anthropic's Messages API: translated for either kind of upstream, since llama-server's own fails the strict clients. */
import type { SynapticError } from "../core/errors.ts";
import { createTail } from "../core/stream-end.ts";
import type { AnswerIdentity } from "../core/translate/answer-identity.ts";
import { countOnNode, toAnthropicCount, toAnthropicMessage } from "../core/translate/anthropic-answer.ts";
import { anthropicErrorEvent } from "../core/translate/anthropic-error.ts";
import type { ChatFromAnthropic, CountFromAnthropic } from "../core/translate/anthropic-request.ts";
import { ANTHROPIC_PING, createAnthropicStream } from "../core/translate/anthropic-stream.ts";
import { fromUpstream } from "../core/upstream-error.ts";
import { chatUpstream } from "./chat-upstream.ts";
import type { ClientSide, Exchange } from "./exchange.ts";

/** A stream says its whole error in an event of its own, and waits with the dialect's own pings. */
const ANTHROPIC_CLIENT: ClientSide = {
  contentType: "text/event-stream",
  waiting: () => ANTHROPIC_PING,
  failure: (error: SynapticError) => anthropicErrorEvent(error),
  tail: createTail,
};

export function anthropicExchange({ body, prefill }: ChatFromAnthropic, identity: AnswerIdentity): Exchange {
  return {
    client: ANTHROPIC_CLIENT,
    ...chatUpstream({
      ...{ model: identity.model, body },
      stream: (reader) => createAnthropicStream(reader, identity),
      whole: (events, by) => toAnthropicMessage(events, { identity, prefill: by === "coordinator" ? prefill : "" }),
    }),
  };
}

/** What a request would take, in tokens. */
export function anthropicCountExchange({ path, body }: CountFromAnthropic): Exchange {
  return {
    client: ANTHROPIC_CLIENT,
    toCoordinator: () => ({
      ...{ path, body: JSON.stringify(body), refusal: fromUpstream },
      translation: { stream: neverStreamed, whole: toAnthropicCount },
    }),
    toNode() {
      throw countOnNode();
    },
  };
}

function neverStreamed(): never {
  throw new Error("a count of tokens was to be streamed");
}
