/** What an answer of ours is called. */
import type { AnswerIdentity } from "../core/translate/answer-identity.ts";
import type { RuntimeView } from "./runtime-view.ts";

/** Not made from the request's id, which a client may choose: nobody can guess what another client's answers are called. */
export function newIdentity({ ports }: RuntimeView, model: string): AnswerIdentity {
  return {
    id: crypto.randomUUID().replaceAll("-", ""),
    model,
    createdS: Math.floor(ports.clock.now() / 1000),
  };
}
