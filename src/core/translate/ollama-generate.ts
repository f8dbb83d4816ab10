/** `/api/generate` as the endpoint of llama-server that does the same: chat, raw text, or filling a gap. Pure. */
import { z } from "zod";
import { defined, type JsonObject } from "./json.ts";
import { mediaPart } from "./ollama-media.ts";
import {
  askChat,
  COMMON,
  type CommonParts,
  type Format,
  type OllamaRequest,
  readCommon,
  refuse,
  streaming,
  withoutPrompt,
} from "./ollama-request.ts";
import { renderTemplate } from "./ollama-template.ts";
import { badRequest, type Checked, checkBody } from "./refusal.ts";

const text = z.string().nullish();

const generateSchema = z.looseObject({
  ...COMMON,
  prompt: text,
  suffix: text,
  system: text,
  template: text,
  context: z.array(z.unknown()).nullish(),
  raw: z.boolean().nullish(),
  images: z.array(z.string()).nullish(),
});

type Generate = z.infer<typeof generateSchema>;

/** Translates it; an empty prompt loads, or unloads, whatever else is said (server/routes.go GenerateHandler). */
export function translateOllamaGenerate(body: unknown): OllamaRequest {
  const checked = checkBody(generateSchema, body);
  if (!checked.ok) return checked;
  const said = checked.value;
  const common = readCommon(said);
  if (!common.ok) return common;
  if (!said.prompt) return withoutPrompt(common.value.wants);
  const hasContext = (said.context?.length ?? 0) > 0;
  if (said.raw && (said.template || said.system || hasContext)) {
    return badRequest("raw mode does not support template, system, or context", { param: "raw" });
  }
  if (hasContext) {
    // Tokens of an earlier answer; ours carry none, so that these come from elsewhere.
    return refuse("context", "its tokens cannot be put before a prompt that has a template", "use /api/chat");
  }
  if (said.raw) return askText(common.value, said, said.prompt);
  if (said.suffix) return askInfill(common.value, said);
  if (said.template) return askRendered(common.value, said, said.template);
  const content = contentOf(said);
  if (!content.ok) return content;
  const system = said.system ? [{ role: "system", content: said.system }] : [];
  return askChat(common.value, said, { messages: [...system, { role: "user", content: content.value }] });
}

function contentOf({ prompt, images }: Generate): Checked<unknown> {
  if (!images || images.length === 0) return { ok: true, value: prompt };
  const parts: JsonObject[] = [{ type: "text", text: prompt }];
  for (const [index, image] of images.entries()) {
    const part = mediaPart(image, `images[${index}]`);
    if (!part.ok) return part;
    parts.push(part.value);
  }
  return { ok: true, value: parts };
}

function askRendered(common: CommonParts, said: Generate, template: string): OllamaRequest {
  const { prompt, system, suffix } = said;
  const rendered = renderTemplate(template, { Prompt: prompt ?? "", System: system ?? "", Suffix: suffix ?? "" });
  if (rendered !== null) return askText(common, said, rendered);
  return refuse(
    "template",
    "it is more than text around .System and .Prompt",
    'render the prompt and send it with "raw": true',
  );
}

/** A text that goes to the model as it is. */
function askText({ wants, options, format }: CommonParts, said: Generate, prompt: string): OllamaRequest {
  if (said.images && said.images.length > 0) return noImages();
  const body = defined({
    model: wants.model,
    prompt,
    ...options.fields,
    max_tokens: options.maxTokens ?? undefined,
    json_schema: schemaOf(format),
    logprobs: said.logprobs ? Math.max(said.top_logprobs ?? 0, 1) : undefined,
    ...streaming(wants),
  });
  return { ok: true, action: "ask", wants, path: "/v1/completions", body };
}

/** `/v1/completions` takes no notice of a suffix (measured, 0.7.0): its own endpoint knows the model's gap tokens. */
function askInfill({ wants, options, format }: CommonParts, said: Generate): OllamaRequest {
  if (said.images && said.images.length > 0) return noImages();
  const body = defined({
    input_prefix: said.prompt,
    input_suffix: said.suffix,
    ...options.fields,
    n_predict: options.maxTokens ?? undefined,
    json_schema: schemaOf(format),
    n_probs: said.logprobs ? Math.max(said.top_logprobs ?? 0, 1) : undefined,
    stream: wants.stream,
  });
  return { ok: true, action: "ask", wants, path: "/infill", body };
}

function noImages() {
  return refuse("images", "a prompt without a template has no place for them", "use /api/chat");
}

/** `/v1/completions` takes no notice of `response_format`, but of this (measured, 0.7.0). */
function schemaOf(format: Format): JsonObject | undefined {
  return format === "json" ? { type: "object" } : (format ?? undefined);
}
