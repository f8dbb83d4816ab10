/** Anthropic's API: messages, and counts of their tokens. Headers of versions and betas are let be. */
import { Hono, type MiddlewareHandler } from "hono";
import { conversationKey } from "../core/conversation.ts";
import { fromAnthropicCount, fromAnthropicRequest } from "../core/translate/anthropic-request.ts";
import { type AnswerEnv, answerFrom, inFlight } from "./answer.ts";
import { readRequest } from "./asked.ts";
import { anthropicCountExchange, anthropicExchange } from "./dialect-anthropic.ts";
import { newIdentity } from "./identity.ts";
import { refuseOtherMethods } from "./methods.ts";
import type { RuntimeView } from "./runtime-view.ts";

/** Routes below `/v1/messages`. */
export function anthropicRoutes(view: RuntimeView): Hono<AnswerEnv> {
  const app = new Hono<AnswerEnv>();

  app.post(
    "/",
    inFlight<AnswerEnv>(view, async (context, onEnd) => {
      const { fields, model, routed } = await readRequest(view, context);
      const request = fromAnthropicRequest(fields);
      if (!request.ok) throw request.error;
      const exchange = anthropicExchange(request, newIdentity(view, model));
      const conversation = conversationKey(model, request.body);
      const { stream } = request;
      return await answerFrom(view, context, { model, routed, exchange, conversation, stream, onEnd });
    }),
  );
  app.post(
    "/count_tokens",
    inFlight<AnswerEnv>(view, async (context, onEnd) => {
      const { fields, model, routed } = await readRequest(view, context);
      const request = fromAnthropicCount(fields);
      if (!request.ok) throw request.error;
      const exchange = anthropicCountExchange(request);
      return await answerFrom(view, context, {
        ...{ model, routed, exchange, onEnd },
        ...{ conversation: null, stream: false },
      });
    }),
  );
  refuseOtherMethods(app);
  return app;
}

/** Anthropic's SDK reads it from a header of this name, of errors too. */
export function tellRequestId(): MiddlewareHandler<AnswerEnv> {
  return async (context, next) => {
    context.header("request-id", context.get("requestId"));
    await next();
  };
}
