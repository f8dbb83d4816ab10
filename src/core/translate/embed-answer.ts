/** Requests for vectors and rankings to llama-server, and the answer where it does not do all that was asked. Pure. */
import { z } from "zod";
import { SynapticError } from "../errors.ts";
import { isObject, type JsonObject } from "./json.ts";
import { toBase64 } from "./node-embed.ts";
import type { WholeAnswer } from "./ollama-answer.ts";
import { shorten } from "./ollama-embed.ts";
import { unreadable } from "./openai-events.ts";
import { type Checked, check, checkBody } from "./refusal.ts";

export interface EmbedRequest {
  /** Null leaves the vectors as they are. */
  readonly dimensions: number | null;
  readonly encoding: "float" | "base64";
}

const schema = z.looseObject({
  input: z.union([z.string(), z.array(z.unknown()).min(1)], { error: "expected a text or a list" }),
  dimensions: z.int().min(1).nullish(),
  encoding_format: z.enum(["float", "base64"]).nullish(),
});

/** A body of `POST /v1/embeddings`; of its texts llama-server says itself what is wrong. */
export function readEmbedRequest(body: unknown): Checked<EmbedRequest> {
  const checked = checkBody(schema, body);
  if (!checked.ok) return checked;
  const { dimensions, encoding_format } = checked.value;
  return { ok: true, value: { dimensions: dimensions ?? null, encoding: encoding_format ?? "float" } };
}

const answerSchema = z.looseObject({
  data: z.array(z.looseObject({ embedding: z.array(z.number()) })),
});

/** The answer with vectors of so many dimensions and of length one again, which llama-server takes no notice of
 *  (facts/clients.md 3); it was asked for floats. */
export function shortenAnswer(body: unknown, { dimensions, encoding }: EmbedRequest): WholeAnswer {
  const checked = answerSchema.safeParse(body);
  if (!checked.success) return { ok: false, error: unreadable("it holds no embeddings") };
  const longest = Math.max(...checked.data.data.map(({ embedding }) => embedding.length));
  if (dimensions !== null && dimensions > longest) {
    const message = `Invalid value for 'dimensions': this model's vectors have ${longest}`;
    const detail = "invalid_value";
    return { ok: false, error: new SynapticError("bad_request", message, { param: "dimensions", detail }) };
  }
  const data = checked.data.data.map(({ embedding, ...rest }): JsonObject => {
    const short = shorten(embedding, dimensions);
    return { ...rest, embedding: encoding === "base64" ? toBase64(short) : short };
  });
  return { ok: true, body: { ...checked.data, data } };
}

const rankSchema = z.looseObject({
  query: z.string(),
  documents: z.array(z.unknown()).min(1),
});

/** A body of `POST /v1/rerank`. Null when nothing is wrong with it. */
export function refuseRank(body: unknown): SynapticError | null {
  const checked = check(
    rankSchema,
    isObject(body) && !("documents" in body) ? { ...body, documents: body.texts } : body,
  );
  return checked.ok ? null : checked.error;
}
