/** OpenAI's embeddings, and rerankings as llama-server and vLLM have them. */
import { Hono } from "hono";
import { readEmbedRequest, refuseRank } from "../core/translate/embed-answer.ts";
import type { Dispatched } from "../engine/dispatch.ts";
import { type AnswerEnv, answerFrom, inFlight } from "./answer.ts";
import { readRequest } from "./asked.ts";
import { embedExchange, rankExchange } from "./dialect-embeddings.ts";
import { refuseOtherMethods } from "./methods.ts";
import type { RuntimeView } from "./runtime-view.ts";

/** Routes below `/v1`. */
export function embeddingRoutes(view: RuntimeView): Hono<AnswerEnv> {
  const app = new Hono<AnswerEnv>();
  const whole = { conversation: null, stream: false };
  const rank = inFlight<AnswerEnv>(view, async (context, onEnd) => {
    const { body, fields, model, routed } = await readRequest(view, context);
    const refusal = refuseRank(fields);
    if (refusal) throw refusal;
    const exchange = rankExchange(model, body);
    return await answerFrom(view, context, { model, routed: onHead(routed), exchange, onEnd, ...whole });
  });

  app.post(
    "/embeddings",
    inFlight<AnswerEnv>(view, async (context, onEnd) => {
      const { body, fields, model, routed } = await readRequest(view, context);
      const request = readEmbedRequest(fields);
      if (!request.ok) throw request.error;
      const exchange = embedExchange({ model, body, fields, request: request.value });
      return await answerFrom(view, context, { model, routed, exchange, onEnd, ...whole });
    }),
  );
  app.post("/rerank", rank);
  app.post("/reranking", rank);
  refuseOtherMethods(app);
  return app;
}

/** No node can rank, so the head node does wherever it has the file. */
function onHead(routed: Dispatched): Dispatched {
  if (routed.decision.kind !== "pool" || routed.entry === null) return routed;
  return { ...routed, decision: { kind: "shard", reason: "no Ollama node can rerank" } };
}
