/** `/v1/chat/completions` as `/api/chat` of an Ollama node, whose own /v1 swallows late errors and options. Pure. */
import { z } from "zod";
import { isObject, type JsonObject } from "./json.ts";
import { nodeMessages } from "./node-messages.ts";
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
import { badRequest, type Checked, checkBody, type Refused } from "./refusal.ts";

const toolSchema = z.looseObject({ type: z.string().nullish(), function: z.looseObject({ name: z.string() }) });
const effortSchema = z.enum(["none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"]);

const chatSchema = z.looseObject({
  ...COMMON,
  messages: z.unknown().optional(),
  tools: z.array(toolSchema).nullish(),
  tool_choice: z.unknown().optional(),
  parallel_tool_calls: z.boolean().nullish(),
  functions: z.array(z.unknown()).nullish(),
  modalities: z.array(z.string()).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  reasoning_effort: effortSchema.nullish(),
  reasoning: z.looseObject({ effort: effortSchema.nullish() }).nullish(),
  chat_template_kwargs: z.looseObject({ enable_thinking: z.boolean().nullish() }).nullish(),
});

type Chat = z.infer<typeof chatSchema>;

/** Translates it; a prompt that does not fit is refused by the node, never cut. */
export function toNodeChat(body: unknown, target: NodeTarget): NodeRequest {
  const checked = checkBody(chatSchema, body);
  if (!checked.ok) return checked;
  const said = checked.value;
  const refused = refuseUnheeded(said) ?? refuseChat(said);
  if (refused) return refused;
  const messages = nodeMessages(said.messages);
  if (!messages.ok) return messages;
  const tools = toolsOf(said);
  if (!tools.ok) return tools;
  const format = nodeFormat(said.response_format);
  if (!format.ok) return format;
  const think = thinkOf(said);
  const translated = {
    ...nodeBody(said, target),
    messages: messages.value,
    ...(tools.value.length > 0 ? { tools: tools.value } : {}),
    ...(format.value === undefined ? {} : { format: format.value }),
    ...(think === undefined || target.canThink === false ? {} : { think }),
    ...(said.logprobs ? { logprobs: true, top_logprobs: said.top_logprobs ?? 0 } : {}),
  };
  const wants = nodeWants(said, said.parallel_tool_calls === false);
  return { ok: true, path: "/api/chat", body: translated, wants };
}

function refuseChat({ functions, modalities, logprobs, top_logprobs }: Chat): Refused | null {
  if ((functions?.length ?? 0) > 0) return refuseOnNode("functions", "tools have taken their place");
  if (modalities?.some((modality) => modality !== "text")) return refuseOnNode("modalities", "it answers in text only");
  if ((top_logprobs ?? 0) > 0 && !logprobs) {
    const param = "top_logprobs";
    return badRequest(`Invalid value for '${param}': it needs 'logprobs'`, { param, detail: "invalid_value" });
  }
  return null;
}

/** Ollama takes no notice of a choice: none is kept by sending no tools, and force is refused rather than forgotten. */
function toolsOf({ tools, tool_choice: choice }: Chat): Checked<readonly JsonObject[]> {
  if (choice === "none") return { ok: true, value: [] };
  if (choice === undefined || choice === null || choice === "auto") {
    return { ok: true, value: (tools ?? []).map((tool) => ({ ...tool, type: "function" })) };
  }
  if (choice === "required" || isObject(choice)) return refuseOnNode("tool_choice", "it cannot force a call");
  const param = "tool_choice";
  return badRequest(`Invalid value for '${param}': expected none, auto, required or a tool`, {
    param,
    detail: "invalid_value",
  });
}

/** Ollama's levels are low, medium, high and max (facts/clients.md 3a); the efforts between go to the nearest. */
const LEVELS = {
  none: false,
  minimal: "low",
  low: "low",
  medium: "medium",
  high: "high",
  xhigh: "max",
  max: "max",
  ultra: "max",
} as const;

function thinkOf({ reasoning, reasoning_effort, chat_template_kwargs }: Chat): boolean | string | undefined {
  const effort = reasoning_effort ?? reasoning?.effort;
  if (effort) return LEVELS[effort];
  return chat_template_kwargs?.enable_thinking ?? undefined;
}
