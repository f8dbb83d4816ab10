/** The app: guards in front, dialects and operations behind, one place where errors become answers. */
import { Hono } from "hono";
import { cors } from "hono/cors";
import { HTTPException } from "hono/http-exception";
import { type RequestIdVariables, requestId } from "hono/request-id";
import { fromUnknown, SynapticError } from "../core/errors.ts";
import { anthropicRoutes, tellRequestId } from "./anthropic.ts";
import { embeddingRoutes } from "./embeddings.ts";
import { errorAnswer, type ModelVariables } from "./error-answer.ts";
import { allowedOrigin, type KeyVariables, requireKey, requireLocalHost, requireOwnOrigin } from "./guard.ts";
import { measureRoutes } from "./measure.ts";
import { ollamaRoutes } from "./ollama.ts";
import { openAiRoutes } from "./openai.ts";
import { healthRoutes, metricsRoutes, synapticRoutes } from "./ops.ts";
import { responsesRoutes } from "./responses.ts";
import type { RuntimeView } from "./runtime-view.ts";

const EXPOSED = [
  "x-request-id",
  "request-id",
  "retry-after",
  "x-should-retry",
  "x-synaptic-route",
  "x-synaptic-reason",
];

export type AppEnv = { Variables: RequestIdVariables & KeyVariables & ModelVariables };

/** Builds the app on a runtime; serves nothing by itself. */
export function createApp(view: RuntimeView): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.use(requestId());
  app.use(cors({ origin: allowedOrigin, exposeHeaders: EXPOSED, maxAge: 86_400 }));
  app.use(requireLocalHost(view.config));
  app.use(requireOwnOrigin());
  app.route("/", healthRoutes(view));
  app.use("/v1/messages/*", tellRequestId());
  app.use("/v1/*", requireKey(view.config, "use"));
  app.use("/api/*", requireKey(view.config, "use"));
  app.use("/metrics", requireKey(view.config, "use"));
  app.use("/synaptic/*", requireKey(view.config, "admin"));
  app.route("/v1/messages", anthropicRoutes(view));
  app.route("/v1/responses", responsesRoutes(view));
  app.route("/v1", embeddingRoutes(view));
  app.route("/v1", openAiRoutes(view));
  app.route("/api", ollamaRoutes(view));
  app.route("/", metricsRoutes(view));
  app.route("/synaptic", synapticRoutes(view));
  app.route("/synaptic", measureRoutes(view));
  app.notFound((context) => {
    const error = new SynapticError("unknown_url", `Unknown request URL: ${context.req.method} ${context.req.path}`, {
      hint: "the APIs are under /v1 (OpenAI's) and /api (Ollama's), operations under /synaptic",
    });
    return errorAnswer(context, error);
  });
  app.onError((thrown, context) => {
    // The client has gone: nobody reads this, and it is no error of ours.
    if (context.req.raw.signal.aborted) return new Response(null, { status: 499 });
    const error = thrown instanceof HTTPException ? fromHono(thrown) : fromUnknown(thrown);
    if (error.code !== "internal") return errorAnswer(context, error);
    const request = context.get("requestId");
    view.ports.log.error(error.message, { path: context.req.path, request, stack: stackOf(error.cause) });
    return errorAnswer(context, hidden(request));
  });
  return app;
}

/** Hono's own refusals, such as a path that cannot be decoded. */
function fromHono(thrown: HTTPException): SynapticError {
  return new SynapticError("bad_request", `Cannot read the request: ${thrown.message}`, { cause: thrown });
}

/** What went wrong inside is the owner's business. */
function hidden(request: string): SynapticError {
  return new SynapticError("internal", "Cannot answer: an error inside synaptic", {
    hint: `its log has the details of request ${request}`,
  });
}

function stackOf(cause: unknown): string {
  return cause instanceof Error ? (cause.stack ?? "") : "";
}
