/** OpenAI's API: models, chat completions and completions. */
import { type Context, Hono } from "hono";
import type { RequestIdVariables } from "hono/request-id";
import { SynapticError } from "../core/errors.ts";
import { checkOpenAiRequest, type Dialect, readOpenAiBody } from "../core/openai-request.ts";
import { serverFull } from "../core/queue-refusals.ts";
import type { CatalogEntry } from "../engine/catalog-entry.ts";
import { forward } from "./forward.ts";
import { type KeyVariables, readBody } from "./guard.ts";
import { refuseOtherMethods } from "./methods.ts";
import type { RuntimeView } from "./runtime-view.ts";

type Env = { Variables: RequestIdVariables & KeyVariables };

/** Routes below `/v1`. */
export function openAiRoutes(view: RuntimeView): Hono<Env> {
  const app = new Hono<Env>();
  const created = Math.floor(view.ports.clock.now() / 1000);
  const model = (id: string) => ({ id, object: "model", created, owned_by: "synaptic" });

  const answer = async (context: Context<Env>, { dialect, path, onEnd }: Completion) => {
    const { signal } = context.req.raw;
    const key = context.get("key") ?? null;
    const body = await readBody(context.req.raw);
    const read = readOpenAiBody(body);
    const entry = read.model === null ? await onlyModel(view) : await view.catalog.find(read.model);
    const { stream } = checkOpenAiRequest(read, dialect);
    const id = context.get("requestId");
    try {
      return await forward(view, { id, entry, path, body, stream, signal, key, onEnd });
    } finally {
      // Errors carry them too. After the fact: by then it is known where the model lies.
      context.header("x-synaptic-route", "shard");
      context.header("x-synaptic-reason", view.fleet.reason(entry.id));
    }
  };
  const complete = (dialect: Dialect, path: string) => async (context: Context<Env>) => {
    const onEnd = enter(view);
    try {
      return await answer(context, { dialect, path, onEnd });
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
  app.post("/chat/completions", complete("chat", "/v1/chat/completions"));
  app.post("/completions", complete("completion", "/v1/completions"));
  refuseOtherMethods(app);
  return app;
}

interface Completion {
  readonly dialect: Dialect;
  /** Of the coordinator. */
  readonly path: string;
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
