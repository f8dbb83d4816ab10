/** `/v1/embeddings` as `/api/embed` of an Ollama node, and its answer back. Pure. */
import { z } from "zod";
import type { SynapticError } from "../errors.ts";
import type { JsonObject } from "./json.ts";
import { fromOllama } from "./node-error.ts";
import { type NodeTarget, refuseOnNode } from "./node-request.ts";
import type { WholeAnswer } from "./ollama-answer.ts";
import { unreadable } from "./openai-events.ts";
import { type Checked, check, checkBody } from "./refusal.ts";

export interface EmbedWants {
  /** How many vectors are due. */
  readonly count: number;
  readonly encoding: "float" | "base64";
}

export type NodeEmbedRequest =
  | { readonly ok: true; readonly path: string; readonly body: JsonObject; readonly wants: EmbedWants }
  | { readonly ok: false; readonly error: SynapticError };

const embedSchema = z.looseObject({
  input: z.unknown().optional(),
  dimensions: z.int().min(1).nullish(),
  encoding_format: z.enum(["float", "base64"]).nullish(),
});

const MOST_TEXTS = 2048;

/** Translates it; `dimensions` Ollama does itself, and a text that is too long is refused rather than cut. */
export function toNodeEmbed(body: unknown, target: NodeTarget): NodeEmbedRequest {
  const checked = checkBody(embedSchema, body);
  if (!checked.ok) return checked;
  const { input, dimensions, encoding_format } = checked.value;
  const texts = textsOf(input);
  if (!texts.ok) return texts;
  const translated = {
    model: target.model,
    input: texts.value,
    truncate: false,
    options: { num_ctx: target.contextSize },
    ...(dimensions ? { dimensions } : {}),
    ...(target.keepAlive === undefined ? {} : { keep_alive: target.keepAlive }),
  };
  const wants = { count: texts.value.length, encoding: encoding_format ?? "float" } as const;
  return { ok: true, path: "/api/embed", body: translated, wants };
}

/** Nothing to embed is an error here, as it is for OpenAI; Ollama would answer with nothing. */
function textsOf(input: unknown): Checked<readonly string[]> {
  const first = Array.isArray(input) ? input[0] : input;
  if (typeof first === "number" || (Array.isArray(first) && typeof first[0] === "number")) {
    return refuseOnNode("input", "it takes text, not tokens");
  }
  if (!Array.isArray(input)) {
    const text = check(z.string().min(1), input, "input");
    return text.ok ? { ok: true, value: [text.value] } : text;
  }
  return check(z.array(z.string()).min(1).max(MOST_TEXTS), input, "input");
}

const answerSchema = z.object({
  embeddings: z.array(z.array(z.number())),
  prompt_eval_count: z.number().nullish(),
});

export interface NodeEmbedOptions {
  /** As the client named it. */
  readonly model: string;
  readonly contextSize: number;
  readonly wants: EmbedWants;
}

/** The answer of `/api/embed` as that of `/v1/embeddings`, in the order of the texts. */
export function fromNodeEmbed(body: unknown, { model, contextSize, wants }: NodeEmbedOptions): WholeAnswer {
  const checked = answerSchema.safeParse(body);
  if (!checked.success) {
    const refused = z.object({ error: z.string() }).safeParse(body);
    if (!refused.success) return { ok: false, error: unreadable("it holds no embeddings") };
    return { ok: false, error: fromOllama(500, refused.data.error, { model, contextSize, param: "input" }) };
  }
  const { embeddings, prompt_eval_count } = checked.data;
  if (embeddings.length !== wants.count) {
    return { ok: false, error: unreadable(`it has ${embeddings.length} embeddings for ${wants.count} texts`) };
  }
  const tokens = prompt_eval_count ?? 0;
  const data = embeddings.map((vector, index) => ({
    object: "embedding",
    index,
    embedding: wants.encoding === "base64" ? toBase64(vector) : vector,
  }));
  return { ok: true, body: { object: "list", data, model, usage: { prompt_tokens: tokens, total_tokens: tokens } } };
}

const FLOAT_BYTES = 4;

/** 32-bit floats, low byte first: what OpenAI's SDKs ask for unless told otherwise. */
export function toBase64(vector: readonly number[]): string {
  const view = new DataView(new ArrayBuffer(vector.length * FLOAT_BYTES));
  for (const [at, value] of vector.entries()) view.setFloat32(at * FLOAT_BYTES, value, true);
  return new Uint8Array(view.buffer).toBase64();
}
