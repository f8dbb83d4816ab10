/** OpenAI's API: models, chat completions and completions. */
import { type Context, Hono } from "hono";
import type { RequestIdVariables } from "hono/request-id";
import { conversationKey } from "../core/conversation.ts";
import { SynapticError } from "../core/errors.ts";
import { checkOpenAiRequest, type Dialect, readOpenAiBody } from "../core/openai-request.ts";
import { serverFull } from "../core/queue-refusals.ts";
import type { CatalogEntry } from "../engine/catalog-entry.ts";
import { openAiExchange } from "./dialect-openai.ts";
import { forward } from "./forward.ts";
import { type KeyVariables, readBody } from "./guard.ts";
import { refuseOtherMethods } from "./methods.ts";
import type { RuntimeView } from "./runtime-view.ts";
import { wayOf } from "./way.ts";

type Env = { Variables: RequestIdVariables & KeyVariables };

/** Routes below `/v1`. */
export function openAiRoutes(view: RuntimeView): Hono<Env> {
  const app = new Hono<Env>();
  const now = () => Math.floor(view.ports.clock.now() / 1000);
  const created = now();
  const model = (id: string) => ({ id, object: "model", created, owned_by: "synaptic" });

  const answer = async (context: Context<Env>, { dialect, onEnd }: Completion) => {
    const { signal } = context.req.raw;
    const key = context.get("key") ?? null;
    const body = await readBody(context.req.raw);
    const read = readOpenAiBody(body);
    const model = read.model ?? (await onlyModel(view)).id;
    const routed = await view.dispatch.route(model, signal);
    const { stream } = checkOpenAiRequest(read, dialect);
    const id = context.get("requestId");
    const exchange = openAiExchange({ id, model, dialect, created: now(), body, fields: read.fields });
    const way = wayOf(view, routed, { model, exchange, conversation: conversationKey(model, read.fields) });
    try {
      return await forward(view, { id, way, client: exchange.client, stream, signal, key, onEnd });
    } finally {
      // Errors carry them too. After the fact: by then it is known where the model lies.
      context.header("x-synaptic-route", way.route);
      context.header("x-synaptic-reason", way.reason());
    }
  };
  const complete = (dialect: Dialect) => async (context: Context<Env>) => {
    const onEnd = enter(view);
    try {
      return await answer(context, { dialect, onEnd });
    } catch (error) {
      onEnd();
      throw error;
    }
  };

  app.get("/models", async (context) => {
    const entries = await view.catalog.list();
    return context.json({ object: "list", data: entries.map(({ id }) => model(id)) });
  });
  app.get("/models/:id{.+}", async (context) => {
    const entry = await view.catalog.find(context.req.param("id"));
    return context.json(model(entry.id));
  });
  app.post("/chat/completions", complete("chat"));
  app.post("/completions", complete("completion"));
  refuseOtherMethods(app);
  return app;
}

interface Completion {
  readonly dialect: Dialect;
  readonly onEnd: () => void;
}

/** Before its body is read, since that takes memory already. @throws SynapticError `too_busy`. */
function enter({ inFlight, metrics }: RuntimeView): () => void {
  const leave = inFlight.enter();
  if (leave) return leave;
  metrics.turnAway();
  throw serverFull(inFlight.limit);
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
