/** For the owner: health, metrics, the snapshot, plans, loading and unloading. */
import { zValidator } from "@hono/zod-validator";
import { Hono } from "hono";
import { z } from "zod";
import type { Config } from "../core/config-types.ts";
import { SynapticError } from "../core/errors.ts";
import { explanationOf } from "../core/explanation.ts";
import { OLLAMA_GREETING } from "../core/translate/ollama-listing.ts";
import { readBody } from "./guard.ts";
import { refuseOtherMethods } from "./methods.ts";
import type { RuntimeView } from "./runtime-view.ts";

/** Alive and ready: open to all, since orchestrators ask without a key. */
export function healthRoutes(view: RuntimeView): Hono {
  const app = new Hono();
  // Ollama's clients look for its words (facts/clients.md 3a); who runs behind them stands beside.
  app.get("/", (context) => context.text(`${OLLAMA_GREETING} (synaptic ${view.version})\n`));
  // Under the names that llama-server's and vLLM's clients look for, too.
  for (const path of ["/healthz", "/health", "/v1/health"]) {
    app.get(path, (context) => context.json({ status: "ok", server: "synaptic" }));
  }
  app.get("/readyz", (context) => {
    const { ready, engineFailure, coordinators } = view.snapshot();
    const models = coordinators.map(({ model, state, lastFailure }) => ({ model, state, lastFailure }));
    // Names and paths are not for everybody who can reach the port.
    const details = isOpen(view.config) ? { engineFailure, models } : {};
    return context.json({ ready, ...details }, ready ? 200 : 503);
  });
  refuseOtherMethods(app);
  return app;
}

function isOpen({ keys, apiKey }: Config): boolean {
  return keys.length === 0 && apiKey === null;
}

export function metricsRoutes(view: RuntimeView): Hono {
  const app = new Hono();
  app.get("/metrics", async (context) => {
    const { text, contentType } = await view.metrics.render(view.snapshot());
    return context.body(text, 200, { "content-type": contentType });
  });
  refuseOtherMethods(app);
  return app;
}

/** Routes below `/synaptic`. */
export function synapticRoutes(view: RuntimeView): Hono {
  const app = new Hono();
  app.get("/status", (context) => context.json(view.snapshot()));
  app.get("/plan", zValidator("query", MODEL, refuse), async (context) => {
    const { model } = context.req.valid("query");
    const { result, facts, command } = await view.plan(model, context.req.raw.signal);
    if (!result.ok) throw new SynapticError(result.refusal.code, result.refusal.message, { hint: result.refusal.hint });
    const { layers: _, ...summary } = facts;
    return context.json({ ...result.plan, command, facts: summary });
  });
  app.get("/explain", zValidator("query", MODEL, refuse), async (context) => {
    const { model } = context.req.valid("query");
    return context.json(explanationOf(model, await view.dispatch.explain(model, context.req.raw.signal)));
  });
  app.get("/models", async (context) => context.json(await view.models(context.req.raw.signal)));
  app.post("/models/load", async (context) => {
    const entry = await view.catalog.find(await readModel(context.req.raw));
    await view.fleet.acquire(entry, context.req.raw.signal, { wants: "load" });
    return context.json({ model: entry.id, state: "ready" });
  });
  app.post("/models/unload", async (context) => {
    const name = await readModel(context.req.raw);
    // What is loaded can be unloaded, though its file may be gone meanwhile.
    const isLoaded = view.snapshot().coordinators.some(({ model }) => model === name);
    const model = isLoaded ? name : (await view.catalog.find(name)).id;
    await view.fleet.unload(model);
    return context.json({ model, state: "idle" });
  });
  refuseOtherMethods(app);
  return app;
}

const MODEL = z.object({ model: z.string().min(1) });

/** A failed check is our error, not zod's own body. */
function refuse({ success }: { readonly success: boolean }): void {
  if (success) return;
  throw new SynapticError("bad_request", "Missing required parameter: 'model'", {
    param: "model",
    detail: "missing_required_parameter",
  });
}

/** Read by hand: the validator would pass over a body that is not announced as JSON, as curl sends it. */
function modelOf(fields: unknown): string {
  const checked = MODEL.safeParse(fields);
  refuse(checked);
  return checked.data?.model ?? "";
}

async function readModel(request: Request): Promise<string> {
  const text = new TextDecoder().decode(await readBody(request));
  try {
    return modelOf(JSON.parse(text));
  } catch (error) {
    if (error instanceof SynapticError) throw error;
    throw new SynapticError("bad_request", "We could not parse the JSON body of your request", { cause: error });
  }
}
