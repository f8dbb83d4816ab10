/** The body of an Ollama client's request: what is needed of it before it is known where it runs. Pure. */
import { z } from "zod";
import { SynapticError } from "./errors.ts";
import { readBodyJson } from "./openai-request.ts";
import type { JsonObject } from "./translate/json.ts";
import { readKeepAlive } from "./translate/ollama-keep-alive.ts";
import { type Checked, check } from "./translate/refusal.ts";

export type OllamaEndpoint = "chat" | "generate" | "embed" | "embeddings";

export interface OllamaBody {
  readonly model: string;
  /** Ollama streams unless told not to (facts/clients.md 3a), and embeddings never. */
  readonly stream: boolean;
  /** In milliseconds; `Infinity` for ever, null when nothing is said. */
  readonly keepAliveMs: number | null;
  /** `num_ctx` in tokens, null when nothing is said. */
  readonly contextSize: number | null;
  /** `load` and `unload` have nothing to be answered. */
  readonly action: "ask" | "load" | "unload";
  readonly fields: JsonObject;
}

const nothing = z.looseObject({ num_ctx: z.number().nullish() });
const schema = z.looseObject({
  // `name` is what the same field was called at first, and still is in some clients (facts/clients.md 1a).
  model: z.string().nullish(),
  name: z.string().nullish(),
  stream: z.boolean().nullish(),
  keep_alive: z.unknown().optional(),
  options: nothing.nullish(),
});

/** @throws SynapticError `bad_request` that names the field. */
export function readOllamaBody(bytes: Uint8Array, endpoint: OllamaEndpoint): OllamaBody {
  const fields = readOllamaFields(bytes);
  const { stream, keep_alive, options } = fields;
  const keepAliveMs = orThrow(readKeepAlive(keep_alive));
  const asked = endpoint === "chat" ? fields.messages : endpoint === "generate" ? fields.prompt : true;
  const isEmpty = !asked || (Array.isArray(asked) && asked.length === 0);
  const tokens = Math.trunc(options?.num_ctx ?? 0);
  return {
    model: modelOf(fields),
    stream: endpoint === "chat" || endpoint === "generate" ? (stream ?? true) : false,
    keepAliveMs,
    contextSize: tokens > 0 ? tokens : null,
    action: isEmpty ? (keepAliveMs === 0 ? "unload" : "load") : "ask",
    fields,
  };
}

/** A body of which the model alone is wanted. @throws SynapticError `bad_request`. */
export function readOllamaModel(bytes: Uint8Array): { readonly model: string; readonly fields: JsonObject } {
  const fields = readOllamaFields(bytes);
  return { model: modelOf(fields), fields };
}

function readOllamaFields(bytes: Uint8Array): z.infer<typeof schema> {
  return orThrow(check(schema, readBodyJson(bytes)));
}

function modelOf({ model, name }: z.infer<typeof schema>): string {
  const said = model || name;
  if (said) return said;
  throw new SynapticError("bad_request", "Missing required parameter: 'model'", {
    param: "model",
    detail: "missing_required_parameter",
  });
}

function orThrow<T>(checked: Checked<T>): T {
  if (checked.ok) return checked.value;
  throw checked.error;
}
