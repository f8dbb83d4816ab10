/** For the owner: health, metrics, the snapshot, plans, loading and unloading. */
import { zValidator } from "@hono/zod-validator";
import { Hono } from "hono";
import { z } from "zod";
import { SynapticError } from "../core/errors.ts";
import type { Runtime } from "../engine/runtime.ts";

/** Alive and ready: open to all, since orchestrators ask without a key. */
export function healthRoutes(runtime: Runtime): Hono {
  const app = new Hono();
  app.get("/", (context) => context.text(`synaptic ${runtime.version} is running\n`));
  app.get("/healthz", (context) => context.json({ status: "ok" }));
  app.get("/readyz", (context) => {
    const { ready, coordinators } = runtime.snapshot();
    const models = coordinators.map(({ model, state, lastFailure }) => ({ model, state, lastFailure }));
    return context.json({ ready, models }, ready ? 200 : 503);
  });
  return app;
}

export function metricsRoutes(runtime: Runtime): Hono {
  const app = new Hono();
  app.get("/metrics", async (context) => {
    const { text, contentType } = await runtime.metrics.render(runtime.snapshot());
    return context.body(text, 200, { "content-type": contentType });
  });
  return app;
}

const MODEL = z.object({ model: z.string().min(1) });

/** A failed check becomes our error, not zod's own body. */
function refuse(result: { readonly success: boolean }): void {
  if (result.success) return;
  throw new SynapticError("bad_request", "Missing required parameter: 'model'", {
    param: "model",
    detail: "missing_required_parameter",
  });
}

/** Routes below `/synaptic`. */
export function synapticRoutes(runtime: Runtime): Hono {
  const app = new Hono();
  app.get("/status", (context) => context.json(runtime.snapshot()));
  app.get("/plan", zValidator("query", MODEL, refuse), async (context) => {
    const { result, facts, command } = await runtime.plan(context.req.valid("query").model, context.req.raw.signal);
    if (!result.ok) throw new SynapticError(result.refusal.code, result.refusal.message, { hint: result.refusal.hint });
    const { layers: _, ...summary } = facts;
    return context.json({ ...result.plan, command, facts: summary });
  });
  app.post("/models/load", zValidator("json", MODEL, refuse), async (context) => {
    const entry = await runtime.catalog.find(context.req.valid("json").model);
    const grant = await runtime.fleet.acquire(entry, context.req.raw.signal);
    grant.release();
    return context.json({ model: entry.id, state: "ready" });
  });
  app.post("/models/unload", zValidator("json", MODEL, refuse), async (context) => {
    const entry = await runtime.catalog.find(context.req.valid("json").model);
    await runtime.fleet.unload(entry.id);
    return context.json({ model: entry.id, state: "idle" });
  });
  return app;
}
