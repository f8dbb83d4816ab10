/** OpenAI's Responses API. */
import { Hono } from "hono";
import { conversationKey } from "../core/conversation.ts";
import { fromResponsesRequest } from "../core/translate/responses-request.ts";
import { createItemMemory } from "../engine/item-memory.ts";
import { type AnswerEnv, answerFrom, inFlight } from "./answer.ts";
import { readRequest } from "./asked.ts";
import { responsesExchange } from "./dialect-responses.ts";
import { newIdentity } from "./identity.ts";
import { refuseOtherMethods } from "./methods.ts";
import type { RuntimeView } from "./runtime-view.ts";

/** Routes below `/v1/responses`. Items of answers are kept for a while: the AI SDK refers to them by their ids. */
export function responsesRoutes(view: RuntimeView): Hono<AnswerEnv> {
  const app = new Hono<AnswerEnv>();
  const memory = createItemMemory();
  app.post(
    "/",
    inFlight<AnswerEnv>(view, async (context, onEnd) => {
      const key = context.get("key") ?? null;
      const { fields, model, routed } = await readRequest(view, context);
      const request = fromResponsesRequest(fields, (id) => memory.recall(key, id));
      if (!request.ok) throw request.error;
      const exchange = responsesExchange({
        request,
        identity: newIdentity(view, model),
        remember: (item) => memory.remember(key, item),
      });
      const conversation = conversationKey(model, request.body);
      const { stream } = request;
      return await answerFrom(view, context, { model, routed, exchange, conversation, stream, onEnd });
    }),
  );
  refuseOtherMethods(app);
  return app;
}
