/** OpenAI's API: models, chat completions and completions. */
import { Hono } from "hono";
import { conversationKey } from "../core/conversation.ts";
import { SynapticError } from "../core/errors.ts";
import { checkOpenAiRequest, type Dialect, readOpenAiBody } from "../core/openai-request.ts";
import type { CatalogEntry } from "../engine/catalog-entry.ts";
import { type AnswerEnv, answerFrom, inFlight } from "./answer.ts";
import { openAiExchange } from "./dialect-openai.ts";
import { readBody } from "./guard.ts";
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
      const body = await readBody(context.req.raw);
      const read = readOpenAiBody(body);
      const model = read.model ?? (await onlyModel(view)).id;
      const routed = await view.dispatch.route(model, context.req.raw.signal);
      const { stream } = checkOpenAiRequest(read, dialect);
      const id = context.get("requestId");
      const exchange = openAiExchange({ id, model, dialect, created: now(), body, fields: read.fields });
      const conversation = conversationKey(model, read.fields);
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

/** For a request that names no model: the one that the config loads at the start, or the only one there is. */
async function onlyModel({ catalog, config }: RuntimeView): Promise<CatalogEntry> {
  const [preloaded] = config.preload;
  if (preloaded !== undefined) return await catalog.find(preloaded);
  const entries = await catalog.list();
  const [only] = entries;
  if (only && entries.length === 1) return only;
  throw new SynapticError("bad_request", "Missing required parameter: 'model'", {
    param: "model",
    detail: "missing_required_parameter",
    hint: `served here: ${entries.map(({ id }) => id).join(", ") || "nothing"}`,
  });
}
