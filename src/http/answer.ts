/** What all requests for answers have in common, whatever their dialect: the limit of those in flight, the way, its headers. */
import type { Context } from "hono";
import type { RequestIdVariables } from "hono/request-id";
import { serverFull } from "../core/queue-refusals.ts";
import type { Dispatched } from "../engine/dispatch.ts";
import type { Exchange } from "./exchange.ts";
import { forward } from "./forward.ts";
import type { KeyVariables } from "./guard.ts";
import type { RuntimeView } from "./runtime-view.ts";
import { wayOf } from "./way.ts";

export type AnswerEnv = { Variables: RequestIdVariables & KeyVariables };

/** A handler whose requests count as in flight until `onEnd` is called. @throws SynapticError `too_busy`. */
export function inFlight<E extends AnswerEnv>(
  { inFlight: all, metrics }: RuntimeView,
  handle: (context: Context<E>, onEnd: () => void) => Promise<Response>,
): (context: Context<E>) => Promise<Response> {
  return async (context) => {
    // Before its body is read, since that takes memory already.
    const leave = all.enter();
    if (!leave) {
      metrics.turnAway();
      throw serverFull(all.limit);
    }
    try {
      return await handle(context, leave);
    } catch (error) {
      leave();
      throw error;
    }
  };
}

export interface Question {
  /** As the client named it. */
  readonly model: string;
  readonly routed: Dispatched;
  readonly exchange: Exchange;
  /** Tells conversations apart; null for a prompt by itself. */
  readonly conversation: string | null;
  readonly stream: boolean;
  readonly onEnd: () => void;
}

/** Answers from whoever the rule chose. @throws SynapticError before the first byte. */
export async function answerFrom<E extends AnswerEnv>(
  view: RuntimeView,
  context: Context<E>,
  { model, routed, exchange, conversation, stream, onEnd }: Question,
): Promise<Response> {
  const way = wayOf(view, routed, { model, exchange, conversation });
  const { signal } = context.req.raw;
  const key = context.get("key") ?? null;
  const id = context.get("requestId");
  const resumes = context.req.header("x-synaptic-resume")?.toLowerCase() !== "off";
  try {
    return await forward(view, { id, way, client: exchange.client, stream, signal, key, onEnd, resumes });
  } finally {
    // Errors carry them too. After the fact: by then it is known where the model lies.
    context.header("x-synaptic-route", way.route);
    context.header("x-synaptic-reason", way.reason());
  }
}
