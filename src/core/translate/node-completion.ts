/** `/v1/completions` as `/api/generate` of an Ollama node: the prompt goes to the model as it is. Pure. */
import { z } from "zod";
import {
  COMMON,
  type NodeRequest,
  type NodeTarget,
  nodeBody,
  nodeFormat,
  nodeWants,
  refuseOnNode,
  refuseUnheeded,
} from "./node-request.ts";
import { type Checked, check, checkBody, type Refused } from "./refusal.ts";

const completionSchema = z.looseObject({
  ...COMMON,
  prompt: z.unknown().optional(),
  suffix: z.string().nullish(),
  echo: z.boolean().nullish(),
  best_of: z.int().nullish(),
  logprobs: z.union([z.boolean(), z.int().min(0).max(20)]).nullish(),
  json_schema: z.record(z.string(), z.unknown()).nullish(),
});

type Completion = z.infer<typeof completionSchema>;

/** Translates it. Ollama's own /v1 puts the prompt into the model's chat template; llama-server does not, and a name
 *  should mean the same on both. A suffix needs the template, which knows the model's gap tokens. */
export function toNodeCompletion(body: unknown, target: NodeTarget): NodeRequest {
  const checked = checkBody(completionSchema, body);
  if (!checked.ok) return checked;
  const said = checked.value;
  const refused = refuseUnheeded(said) ?? refuseCompletion(said);
  if (refused) return refused;
  const prompt = promptOf(said.prompt);
  if (!prompt.ok) return prompt;
  const asked = nodeFormat(said.response_format);
  if (!asked.ok) return asked;
  const format = asked.value ?? said.json_schema ?? undefined;
  const translated = {
    ...nodeBody(said, target),
    prompt: prompt.value,
    ...(said.suffix ? { suffix: said.suffix } : { raw: true }),
    ...(format === undefined ? {} : { format }),
    // The text as it is, thoughts not taken out of it; a model without thoughts takes no notice.
    think: false,
    ...logprobsOf(said.logprobs),
  };
  return { ok: true, path: "/api/generate", body: translated, wants: nodeWants(said, false) };
}

function refuseCompletion({ echo, best_of }: Completion): Refused | null {
  if (echo) return refuseOnNode("echo", "it does not repeat the prompt");
  return (best_of ?? 1) > 1 ? refuseOnNode("best_of", "it gives one answer at a time") : null;
}

function logprobsOf(value: Completion["logprobs"]): object {
  if (value === undefined || value === null || value === false) return {};
  return { logprobs: true, top_logprobs: value === true ? 0 : value };
}

/** A text, or a list of one; an empty one would only load the model. */
function promptOf(prompt: unknown): Checked<string> {
  const only = Array.isArray(prompt) && prompt.length === 1 ? prompt[0] : prompt;
  if (typeof only === "number" || (Array.isArray(only) && only.length > 0 && typeof only[0] !== "string")) {
    return refuseOnNode("prompt", "it takes text, not tokens");
  }
  if (Array.isArray(only) && only.length > 1) return refuseOnNode("prompt", "it takes one at a time");
  return check(z.string().min(1), only, "prompt");
}
