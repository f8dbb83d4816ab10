/** What changes the stores of nodes: pull, push, copy, create and delete, each sent to the nodes that it concerns. */
import type { Context, Hono } from "hono";
import { SynapticError } from "../core/errors.ts";
import { HEAD_MACHINE } from "../core/health.ts";
import { ollamaKey } from "../core/ollama.ts";
import { readOllamaModel } from "../core/ollama-body.ts";
import { readBodyJson } from "../core/openai-request.ts";
import { isObject, type JsonObject } from "../core/translate/json.ts";
import type { AnswerEnv } from "./answer.ts";
import type { ModelVariables } from "./error-answer.ts";
import { readBody, requireKey } from "./guard.ts";
import { askNode } from "./passing.ts";
import type { RuntimeView } from "./runtime-view.ts";

export type OllamaEnv = { Variables: AnswerEnv["Variables"] & ModelVariables };
type OllamaContext = Context<OllamaEnv>;

/** Adds them; a key that may only use models may not change which there are. */
export function addStoreRoutes(app: Hono<OllamaEnv>, view: RuntimeView): void {
  for (const path of ["/pull", "/push", "/copy", "/create", "/delete", "/blobs/*"]) {
    app.use(path, requireKey(view.config, "admin"));
  }
  app.post("/pull", async (context) => {
    const asked = await readAsked(context);
    const place = await view.dispatch.pullPlace(asked.model);
    if (!place.ok) throw place.error;
    tell(context, place.url, place.reason);
    return await passed(view, context, { ...asked, path: "/api/pull", urls: [place.url] });
  });
  app.post("/push", async (context) => {
    const asked = await readAsked(context);
    const urls = await owners(view, asked.model, "push");
    return await passed(view, context, { ...asked, path: "/api/push", urls: urls.slice(0, 1) });
  });
  app.post("/create", async (context) => {
    const asked = await readAsked(context);
    const { from } = asked.fields;
    const urls = typeof from === "string" ? await owners(view, from, "create from") : creators(view, asked.model);
    return await passed(view, context, { ...asked, path: "/api/create", urls: urls.slice(0, 1) });
  });
  app.post("/copy", async (context) => {
    const fields = await readFields(context);
    const { source } = fields;
    if (typeof source !== "string" || source === "") throw missing("source");
    context.set("model", source);
    return await onAll(view, context, { model: source, fields, path: "/api/copy", verb: "copy" });
  });
  app.delete("/delete", async (context) => {
    return await onAll(view, context, { ...(await readAsked(context)), path: "/api/delete", verb: "delete" });
  });
  app.on(["GET", "POST"], "/blobs/:digest", () => {
    throw new SynapticError("unsupported_parameter", "Cannot take the files of a model: no node is named for them", {
      hint: "run `ollama create` on the node that is to have it (OLLAMA_HOST)",
    });
  });
}

interface Asked {
  readonly model: string;
  readonly fields: JsonObject;
}

async function readAsked(context: OllamaContext): Promise<Asked> {
  const asked = readOllamaModel(await readBody(context.req.raw));
  context.set("model", asked.model);
  return asked;
}

async function readFields(context: OllamaContext): Promise<JsonObject> {
  const fields = readBodyJson(await readBody(context.req.raw));
  if (isObject(fields)) return fields;
  throw new SynapticError("bad_request", "Cannot read the request: its body must be a JSON object");
}

function missing(param: string): SynapticError {
  const detail = "missing_required_parameter";
  return new SynapticError("bad_request", `Missing required parameter: '${param}'`, { param, detail });
}

function tell(context: OllamaContext, url: string, why: string): void {
  context.header("x-synaptic-route", "pool");
  context.header("x-synaptic-reason", `${url}: ${why}`);
}

interface Errand extends Asked {
  readonly path: string;
  /** The first one does it. */
  readonly urls: readonly string[];
}

async function passed(view: RuntimeView, context: OllamaContext, { model, fields, path, urls }: Errand) {
  const [url] = urls;
  if (url === undefined) throw nobody(`Cannot ask for ${path}: no Ollama node answers`);
  const { signal } = context.req.raw;
  const onEnd = () => lookAgain(view, [url]);
  return await askNode(view, { url, path, method: "POST", model, body: JSON.stringify(fields), signal, onEnd });
}

/** What they have then shows at once, and not at the next interval. A poll that is under way may have begun before. */
async function lookAgain({ nodes }: RuntimeView, urls: readonly string[]): Promise<void> {
  await nodes.refresh(urls);
  await nodes.refresh(urls);
}

interface Everywhere extends Asked {
  readonly path: string;
  readonly verb: string;
}

/** Done on every node that has the model: what is deleted is gone, and a copy answers wherever its model would. */
async function onAll(view: RuntimeView, context: OllamaContext, { model, fields, path, verb }: Everywhere) {
  const urls = await owners(view, model, verb);
  const { signal } = context.req.raw;
  const method = verb === "delete" ? "DELETE" : "POST";
  const body = JSON.stringify(fields);
  const asked = urls.map(async (url) => {
    await (await askNode(view, { url, path, method, model, body, signal })).arrayBuffer();
  });
  const settled = await Promise.allSettled(asked);
  await lookAgain(view, urls);
  const failed = settled.find((each) => each.status === "rejected");
  if (failed) throw failed.reason;
  return context.body(null, 200);
}

/** The nodes that answer and have it. @throws SynapticError `model_not_found`, or `unsupported_parameter` where only the
 *  head node's files have it. */
async function owners(view: RuntimeView, model: string, verb: string): Promise<readonly string[]> {
  const key = ollamaKey(model);
  const urls = view.nodes.snapshot().flatMap(({ url, state, models }) => {
    const hasIt = state === "up" && key !== null && models.some(({ name }) => ollamaKey(name) === key);
    return hasIt ? [url] : [];
  });
  if (urls.length > 0) return urls;
  await view.catalog.find(model);
  throw new SynapticError(
    "unsupported_parameter",
    `Cannot ${verb} ${model}: it is a file of the head node, and no Ollama node has it`,
    {
      param: "model",
      hint: "change the file itself, or start Ollama on the head node",
    },
  );
}

/** For a model that is made of none: the head node's own Ollama, or any that answers. */
function creators({ nodes }: RuntimeView, model: string): readonly string[] {
  const up = nodes.snapshot().filter(({ state }) => state === "up");
  const head = up.find(({ machine }) => machine === HEAD_MACHINE);
  const [first = head] = head ? [head] : up;
  if (first) return [first.url];
  throw nobody(`Cannot create ${model}: no Ollama node answers`);
}

function nobody(message: string): SynapticError {
  return new SynapticError("no_backends", message, { hint: "see `synaptic status`" });
}
