/** OpenAI's API: models, chat completions and completions. */
import { type Context, Hono } from "hono";
import { SynapticError } from "../core/errors.ts";
import { type Dialect, parseOpenAiRequest } from "../core/openai-request.ts";
import type { Runtime } from "../engine/runtime.ts";
import { forward } from "./forward.ts";
import { readBody } from "./guard.ts";

/** Routes below `/v1`. */
export function openAiRoutes(runtime: Runtime): Hono {
  const app = new Hono();
  const created = Math.floor(runtime.ports.clock.now() / 1000);
  const model = (id: string) => ({ id, object: "model", created, owned_by: "synaptic" });

  const complete = (dialect: Dialect, path: string) => async (context: Context) => {
    const request = context.req.raw;
    const body = await readBody(request);
    const { model: name, stream } = parseOpenAiRequest(new TextDecoder().decode(body), dialect);
    const entry = await runtime.catalog.find(name);
    return await forward(runtime, { entry, path, body, stream, signal: request.signal });
  };

  app.get("/models", async (context) => {
    const entries = await runtime.catalog.list();
    return context.json({ object: "list", data: entries.map(({ id }) => model(id)) });
  });
  app.get("/models/:id{.+}", async (context) => {
    const entry = await runtime.catalog.find(context.req.param("id"));
    return context.json(model(entry.id));
  });
  app.post("/chat/completions", complete("chat", "/v1/chat/completions"));
  app.post("/completions", complete("completion", "/v1/completions"));
  for (const path of ["/models", "/models/:id{.+}", "/chat/completions", "/completions"]) {
    app.all(path, (context) => {
      throw new SynapticError("method_not_allowed", `Cannot ${context.req.method} ${context.req.path}`);
    });
  }
  return app;
}
