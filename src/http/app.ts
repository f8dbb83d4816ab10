/** The app: guards in front, dialects and operations behind, one place where errors become answers. */
import { type Context, Hono } from "hono";
import { cors } from "hono/cors";
import { HTTPException } from "hono/http-exception";
import { requestId } from "hono/request-id";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { fromUnknown, SynapticError, toOpenAi } from "../core/errors.ts";
import type { Runtime } from "../engine/runtime.ts";
import { allowedOrigin, requireKey, requireLocalHost } from "./guard.ts";
import { openAiRoutes } from "./openai.ts";
import { healthRoutes, metricsRoutes, synapticRoutes } from "./ops.ts";

const EXPOSED = ["x-request-id", "retry-after", "x-should-retry", "x-synaptic-route", "x-synaptic-reason"];

/** Builds the app on a runtime; serves nothing by itself. */
export function createApp(runtime: Runtime): Hono {
  const app = new Hono();
  app.use(requestId());
  app.use(cors({ origin: allowedOrigin, exposeHeaders: EXPOSED, maxAge: 86_400 }));
  app.use(requireLocalHost(runtime.config));
  app.route("/", healthRoutes(runtime));
  app.use("/v1/*", requireKey(runtime.config, "use"));
  app.use("/metrics", requireKey(runtime.config, "use"));
  app.use("/synaptic/*", requireKey(runtime.config, "admin"));
  app.route("/v1", openAiRoutes(runtime));
  app.route("/", metricsRoutes(runtime));
  app.route("/synaptic", synapticRoutes(runtime));
  app.notFound((context) => {
    const error = new SynapticError("unknown_url", `Unknown request URL: ${context.req.method} ${context.req.path}`, {
      hint: "the API is under /v1, operations under /synaptic",
    });
    return answer(context, error);
  });
  app.onError((thrown, context) => {
    // The client has gone: nobody reads this, and it is no error of ours.
    if (context.req.raw.signal.aborted) return new Response(null, { status: 499 });
    const error = thrown instanceof HTTPException ? fromHono(thrown) : fromUnknown(thrown);
    if (error.code === "internal")
      runtime.ports.log.error(error.message, { path: context.req.path, stack: stackOf(error.cause) });
    return answer(context, error);
  });
  return app;
}

function answer(context: Context, error: SynapticError): Response {
  const { status, headers, body } = toOpenAi(error);
  for (const [name, value] of Object.entries(headers)) context.header(name, value);
  // Hono lists the statuses that may have a body; those of the table are among them (499 is never answered).
  return context.json(body, status as ContentfulStatusCode);
}

/** Hono's own refusals: the validator throws on malformed JSON before any hook of ours runs. */
function fromHono(thrown: HTTPException): SynapticError {
  return new SynapticError("bad_request", `Cannot read the request: ${thrown.message}`, { cause: thrown });
}

function stackOf(cause: unknown): string {
  return cause instanceof Error ? (cause.stack ?? "") : "";
}
