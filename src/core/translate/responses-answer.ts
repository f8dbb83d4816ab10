/** A whole answer as an object of the Responses API. Pure. */
import { SynapticError } from "../errors.ts";
import type { AnswerEvent } from "./answer-events.ts";
import type { AnswerIdentity } from "./answer-identity.ts";
import { gatherAnswer } from "./gathered-answer.ts";
import type { JsonObject } from "./json.ts";
import type { WholeAnswer } from "./ollama-answer.ts";
import { callItem, isCut, messageItem, reasoningItem, responseObject } from "./responses-items.ts";

export interface ResponseOptions {
  readonly identity: AnswerIdentity;
  /** From `fromResponsesRequest`. */
  readonly echo: JsonObject;
}

/** The response that these events make; clients may refer to the items of its output later. */
export function toResponse(events: readonly AnswerEvent[], { identity, echo }: ResponseOptions): WholeAnswer {
  const answer = gatherAnswer(events);
  if (answer instanceof SynapticError) return { ok: false, error: answer };
  const { reasoning, text, calls, finish, counts } = answer;
  const status = isCut(finish) ? "incomplete" : "completed";
  const output: JsonObject[] = [];
  const nextId = (): string => `${identity.id}_${output.length}`;
  if (reasoning !== "") output.push(reasoningItem(`rs_${nextId()}`, reasoning));
  if (text !== "") output.push(messageItem(`msg_${nextId()}`, text, calls.length === 0 ? status : "completed"));
  for (const [at, call] of calls.entries()) {
    const callStatus = at === calls.length - 1 ? status : "completed";
    const mark = nextId();
    const names = { id: `fc_${mark}`, callId: call.id ?? `call_${mark}`, name: call.name };
    output.push(callItem(names, call.argumentsText, callStatus));
  }
  return { ok: true, body: responseObject(identity, echo, { status, output, counts, finish }) };
}
