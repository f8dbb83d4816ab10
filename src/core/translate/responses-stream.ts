/** An answer as the Responses API's stream of events: numbered, items one after the other, each done before the next. Pure. */
import { type SynapticError, toOpenAi } from "../errors.ts";
import type { AnswerReader } from "./answer-events.ts";
import type { AnswerIdentity } from "./answer-identity.ts";
import { namedEvent } from "./event-stream.ts";
import type { JsonObject } from "./json.ts";
import { createMessageTranslator } from "./message-translator.ts";
import { unreadable } from "./openai-events.ts";
import { isCut, type ResponseState, responseObject } from "./responses-items.ts";
import { createOutput } from "./responses-output.ts";
import type { StreamTranslator } from "./types.ts";

export interface ResponsesStreamOptions {
  readonly identity: AnswerIdentity;
  /** From `fromResponsesRequest`. */
  readonly echo: JsonObject;
  /** Gets each item when it is whole, for clients that will refer to it. */
  readonly remember?: (item: JsonObject) => void;
}

/** Writes what `reader` makes of the upstream's bytes. */
export function createResponsesStream(
  reader: AnswerReader,
  { identity, echo, remember = () => {} }: ResponsesStreamOptions,
): StreamTranslator {
  let sequence = 0;
  const event = (type: string, fields: JsonObject): string =>
    namedEvent({ type, sequence_number: sequence++, ...fields });
  const output = createOutput(identity.id, { event, remember });
  let isCreated = false;

  const state = (type: string, now: ResponseState): string =>
    event(type, { response: responseObject(identity, echo, now) });
  const create = (): string => {
    if (isCreated) return "";
    isCreated = true;
    const now: ResponseState = { status: "in_progress", output: [] };
    return state("response.created", now) + state("response.in_progress", now);
  };

  return createMessageTranslator(reader, {
    start: create,
    delta: output.add,
    complete(finish, counts) {
      if (output.hasHalfCall()) return unreadable("a tool call has no name");
      const status = isCut(finish) ? "incomplete" : "completed";
      const closed = output.close(status);
      return closed + state(`response.${status}`, { status, output: output.items(), counts, finish });
    },
    // The SDKs throw at the first; the second is what Codex reads the code from (facts/clients.md 2a).
    error(error) {
      const { code, message, param } = errorFields(error);
      const said = create() + event("error", { code, message, param });
      return said + state("response.failed", { status: "failed", output: output.items(), error: { code, message } });
    },
    // Codex counts events, not comments. Whoever reads it takes the output from it anew: so all of it is there.
    keepAlive: () =>
      isCreated ? state("response.in_progress", { status: "in_progress", output: output.items() }) : create(),
  });
}

function errorFields(error: SynapticError): { code: string; message: string; param: string | null } {
  const { code, type, message, param } = toOpenAi(error).body.error;
  return { code: code ?? type, message, param };
}
