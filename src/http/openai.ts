/** OpenAI's API: models, chat completions and completions. */
import { Hono } from "hono";
import { conversationKey } from "../core/conversation.ts";
import { checkOpenAiRequest, type Dialect } from "../core/openai-request.ts";
import { type AnswerEnv, answerFrom, inFlight } from "./answer.ts";
import { readRequest } from "./asked.ts";
import { openAiExchange } from "./dialect-openai.ts";
import { refuseOtherMethods } from "./methods.ts";
import type { RuntimeView } from "./runtime-view.ts";
import { servedName, servedNames } from "./served.ts";

/** Routes below `/v1`. */
export function openAiRoutes(view: RuntimeView): Hono<AnswerEnv> {
  const app = new Hono<AnswerEnv>();
  const now = () => Math.floor(view.ports.clock.now() / 1000);
  const created = now();
  const model = (id: string) => ({ id, object: "model", created, owned_by: "synaptic" });

  const complete = (dialect: Dialect) =>
    inFlight<AnswerEnv>(view, async (context, onEnd) => {
      const { body, fields, model, routed } = await readRequest(view, context);
      const { stream } = checkOpenAiRequest(fields, dialect);
      const id = context.get("requestId");
      const exchange = openAiExchange({ id, model, dialect, created: now(), body, fields });
      const conversation = conversationKey(model, fields);
      return await answerFrom(view, context, { model, routed, exchange, conversation, stream, onEnd });
    });

  app.get("/models", async (context) => {
    return context.json({ object: "list", data: (await servedNames(view)).map(model) });
  });
  app.get("/models/:id{.+}", async (context) => {
    return context.json(model(await servedName(view, context.req.param("id"))));
  });
  app.post("/chat/completions", complete("chat"));
  app.post("/completions", complete("completion"));
  refuseOtherMethods(app);
  return app;
}
