/** A request for an answer as far as all dialects below `/v1` have it in common: its body, its model, and where that runs. */
import type { Context } from "hono";
import { SynapticError } from "../core/errors.ts";
import { readOpenAiBody } from "../core/openai-request.ts";
import type { CatalogEntry } from "../engine/catalog-entry.ts";
import type { Dispatched } from "../engine/dispatch.ts";
import type { AnswerEnv } from "./answer.ts";
import { readBody } from "./guard.ts";
import type { RuntimeView } from "./runtime-view.ts";

export interface ReadRequest {
  /** The client's own bytes, and what they hold. */
  readonly body: Uint8Array;
  readonly fields: unknown;
  /** As the client named it. */
  readonly model: string;
  readonly routed: Dispatched;
}

/** Reads it as far as the model that it names. @throws SynapticError for what is no JSON, and when nobody has the model. */
export async function readRequest<E extends AnswerEnv>(view: RuntimeView, context: Context<E>): Promise<ReadRequest> {
  const body = await readBody(context.req.raw);
  const { model: named, fields } = readOpenAiBody(body);
  const model = named ?? (await onlyModel(view)).id;
  return { body, fields, model, routed: await view.dispatch.route(model, context.req.raw.signal) };
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
