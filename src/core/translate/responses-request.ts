/** A request of OpenAI's Responses API as one of its chat. Pure. */
import { SynapticError } from "../errors.ts";
import { defined, isObject, type JsonObject } from "./json.ts";
import { badRequest, checkBody, type Refused, unsupported } from "./refusal.ts";
import { type Recall, toMessages } from "./responses-input.ts";
import { type FunctionTool, RESPONSES, type Responses } from "./responses-shape.ts";

export interface ChatFromResponses {
  readonly ok: true;
  readonly path: "/v1/chat/completions";
  readonly body: JsonObject;
  readonly stream: boolean;
  /** The fields of the request that the answer repeats. */
  readonly echo: JsonObject;
}

/** A body of `POST /v1/responses`; `recall` finds what the client refers to by the ids of earlier items. */
export function fromResponsesRequest(body: unknown, recall: Recall = () => null): ChatFromResponses | Refused {
  const checked = checkBody(RESPONSES, body);
  if (!checked.ok) return checked;
  const request = checked.value;
  const refusal = statefulRefusal(request);
  if (refusal) return refusal;
  const messages = toMessages(request, recall);
  if (messages instanceof SynapticError) return { ok: false, error: messages };
  if (messages.length === 0)
    return badRequest("Missing required parameter: 'input'", { param: "input", detail: "missing_required_parameter" });
  const tools = toolsOf(request);
  if (tools instanceof SynapticError) return { ok: false, error: tools };
  const stream = request.stream ?? false;
  return {
    ok: true,
    path: "/v1/chat/completions",
    body: {
      ...(request.model && { model: request.model }),
      messages,
      ...tools,
      ...samplingOf(request),
      ...(stream && { stream, stream_options: { include_usage: true } }),
    },
    stream,
    echo: echoOf(request),
  };
}

/** Nothing of an answer is kept: clients that send the whole conversation each time, as Codex does, need none of these. */
function statefulRefusal(request: Responses): Refused | null {
  for (const field of ["previous_response_id", "conversation", "prompt"] as const) {
    if (request[field] === undefined || request[field] === null) continue;
    return unsupported(`Cannot use '${field}': no answers are kept here`, {
      param: field,
      hint: "send the whole conversation as input",
    });
  }
  if (request.background) return unsupported("Cannot answer in the background", { param: "background" });
  if (!request.include?.includes("message.output_text.logprobs")) return null;
  return unsupported("Cannot include logprobs in a response", {
    param: "include",
    hint: "ask /v1/chat/completions for them",
  });
}

/** Tools of other types run on OpenAI's servers: a model that is not shown them can't call them. */
function toolsOf(request: Responses): JsonObject | SynapticError {
  const { tools, tool_choice: choice, parallel_tool_calls: parallel } = request;
  const functions = (tools ?? []).filter(isFunction);
  if (functions.length === 0) {
    if (!tools || tools.length === 0) return {};
    return unsupported("Cannot use these tools: only functions can be called here", { param: "tools" }).error;
  }
  const allowed = allowedNames(choice);
  const offered = allowed === null ? functions : functions.filter(({ name }) => allowed.includes(name));
  if (offered.length === 0) {
    return unsupported("Cannot use this choice: it names no function of 'tools'", { param: "tool_choice" }).error;
  }
  const mode = typeof choice === "string" ? choice : modeOf(choice);
  return {
    tools: offered.map(toFunction),
    ...(mode && { tool_choice: mode }),
    ...(typeof parallel === "boolean" && { parallel_tool_calls: parallel }),
  };
}

type Choice = Responses["tool_choice"];

/** llama-server takes a named choice for `auto` (seen in 0.7.0): so what may be called is all that is offered. */
function allowedNames(choice: Choice): readonly string[] | null {
  if (!isObject(choice)) return null;
  const named: readonly unknown[] = Array.isArray(choice.tools) ? choice.tools : [choice];
  return named.flatMap((tool) => (isObject(tool) && typeof tool.name === "string" ? [tool.name] : []));
}

function modeOf(choice: Exclude<Choice, string>): string | null {
  if (!choice) return null;
  return choice.type === "allowed_tools" && choice.mode === "auto" ? "auto" : "required";
}

function isFunction(tool: NonNullable<Responses["tools"]>[number]): tool is FunctionTool {
  return tool.type === "function" && "name" in tool;
}

/** A schema is strict unless it says otherwise, but a chat's is not: left to what the client wrote. */
function toFunction({ name, description, parameters, strict }: FunctionTool): JsonObject {
  return {
    type: "function",
    function: {
      name,
      ...(description && { description }),
      parameters: parameters ?? { type: "object", properties: {} },
      ...(typeof strict === "boolean" && { strict }),
    },
  };
}

function samplingOf({ max_output_tokens, temperature, top_p, reasoning, text }: Responses): JsonObject {
  return defined({
    max_tokens: max_output_tokens ?? undefined,
    temperature: temperature ?? undefined,
    top_p: top_p ?? undefined,
    reasoning_effort: reasoning?.effort ?? undefined,
    response_format: formatOf(text?.format),
  });
}

function formatOf(format: NonNullable<Responses["text"]>["format"]): JsonObject | undefined {
  if (!format || format.type === "text") return undefined;
  if (format.type === "json_object") return { type: "json_object" };
  const { name, schema, strict } = format;
  return { type: "json_schema", json_schema: { name, schema, ...(typeof strict === "boolean" && { strict }) } };
}

function echoOf(request: Responses): JsonObject {
  return {
    instructions: request.instructions ?? null,
    max_output_tokens: request.max_output_tokens ?? null,
    metadata: request.metadata ?? {},
    parallel_tool_calls: request.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: { effort: request.reasoning?.effort ?? null, summary: null },
    store: false,
    temperature: request.temperature ?? 1,
    text: request.text?.format ? { format: request.text.format } : { format: { type: "text" } },
    tool_choice: request.tool_choice ?? "auto",
    tools: request.tools ?? [],
    top_p: request.top_p ?? 1,
    truncation: "disabled",
  };
}
