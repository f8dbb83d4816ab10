/** Ollama's API: answers, lists, and what its command line asks beside them. */
import { Hono } from "hono";
import { conversationKey } from "../core/conversation.ts";
import { ollamaKey } from "../core/ollama.ts";
import { type OllamaEndpoint, readOllamaBody, readOllamaModel } from "../core/ollama-body.ts";
import { ollamaLoaded } from "../core/translate/ollama-answer.ts";
import { ollamaVersion } from "../core/translate/ollama-listing.ts";
import { answerFrom, inFlight } from "./answer.ts";
import { ollamaExchange } from "./dialect-ollama.ts";
import { readBody } from "./guard.ts";
import { refuseOtherMethods } from "./methods.ts";
import { listRunning, listTags, showModel, whereToShow } from "./ollama-listing.ts";
import { addStoreRoutes, type OllamaEnv } from "./ollama-store.ts";
import { askNode } from "./passing.ts";
import type { RuntimeView } from "./runtime-view.ts";

/** Routes below `/api`. */
export function ollamaRoutes(view: RuntimeView): Hono<OllamaEnv> {
  const app = new Hono<OllamaEnv>();
  const nowMs = () => view.ports.clock.now();

  const answer = (endpoint: OllamaEndpoint) =>
    inFlight<OllamaEnv>(view, async (context, onEnd) => {
      const body = readOllamaBody(await readBody(context.req.raw), endpoint);
      const { model, stream, action, fields } = body;
      context.set("model", model);
      // Counts from before the way is decided, as the client does.
      const exchange = ollamaExchange({ ...body, endpoint, nowMs });
      const routed = await view.dispatch.route(model, context.req.raw.signal);
      if (action === "unload") {
        await unloadEverywhere(view, routed.entry?.id ?? null, model, context.req.raw.signal);
        onEnd();
        const kind = endpoint === "chat" ? "chat" : "generate";
        return context.json(ollamaLoaded({ kind, model }, { action, nowMs: nowMs() }));
      }
      const conversation = endpoint === "chat" ? conversationKey(model, fields) : null;
      return await answerFrom(view, context, { model, routed, exchange, conversation, stream, onEnd });
    });

  app.post("/chat", answer("chat"));
  app.post("/generate", answer("generate"));
  app.post("/embed", answer("embed"));
  app.post("/embeddings", answer("embeddings"));
  app.get("/tags", async (context) => context.json(await listTags(view, context.req.raw.signal)));
  app.get("/ps", async (context) => context.json(await listRunning(view, context.req.raw.signal)));
  app.get("/version", (context) => context.json(ollamaVersion()));
  app.post("/show", async (context) => {
    const { model, fields } = readOllamaModel(await readBody(context.req.raw));
    context.set("model", model);
    const { signal } = context.req.raw;
    const where = await whereToShow(view, model);
    if (!("url" in where)) return context.json(await showModel(view, where, signal));
    const body = JSON.stringify({ ...fields, model });
    return await askNode(view, { url: where.url, path: "/api/show", method: "POST", model, body, signal });
  });
  // Nobody is signed in anywhere, and no model runs in a cloud of ours.
  app.post("/me", (context) => context.json({ error: "unauthorized" }, 401));
  app.get("/status", (context) => context.json({ cloud: { disabled: true, source: "none" } }));
  addStoreRoutes(app, view);
  refuseOtherMethods(app);
  return app;
}

/** From all memory that it takes: its coordinator's, once that is idle, and that of each node that holds it. */
async function unloadEverywhere(
  { fleet, nodes }: RuntimeView,
  id: string | null,
  model: string,
  signal: AbortSignal,
): Promise<void> {
  if (id !== null) fleet.keep(id, 0);
  const key = ollamaKey(model);
  // One may have loaded it since it was last looked at.
  const having = nodes.snapshot().filter(({ models }) => models.some(({ name }) => ollamaKey(name) === key));
  await nodes.refresh(having.flatMap(({ url, state }) => (state === "up" && key !== null ? [url] : [])));
  const held = nodes.snapshot().flatMap(({ url, state, loaded }) => {
    const there = state === "up" && key !== null ? loaded.find(({ name }) => ollamaKey(name) === key) : undefined;
    return there ? [nodes.unload(url, there.name, signal)] : [];
  });
  await Promise.all(held);
}
