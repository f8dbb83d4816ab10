/** Anthropic's tools and the choice among them, in OpenAI's form. Pure. */
import type { SynapticError } from "../errors.ts";
import type { Counted } from "./anthropic-shape.ts";
import type { JsonObject } from "./json.ts";
import { badRequest, unsupported } from "./refusal.ts";

type Tool = NonNullable<Counted["tools"]>[number];

/** Anthropic runs these itself: a model that is not shown them can't call them. */
const RUN_BY_ANTHROPIC = /^(?:web_search|web_fetch|code_execution|tool_search_tool|advisor|mcp_toolset)/;

/** The fields `tools`, `tool_choice` and `parallel_tool_calls`, or why they can't be had. */
export function toChatTools({ tools, tool_choice: choice }: Counted): JsonObject | SynapticError {
  const offered: Tool[] = [];
  for (const [at, tool] of (tools ?? []).entries()) {
    if (RUN_BY_ANTHROPIC.test(tool.type ?? "")) continue;
    if (tool.type && tool.type !== "custom") return unknownKind(at, tool.type);
    offered.push(tool);
  }
  if (offered.length === 0) return tools && tools.length > 0 ? noneLeft() : {};
  const parallel = choice?.disable_parallel_tool_use ? { parallel_tool_calls: false } : {};
  switch (choice?.type) {
    case undefined:
      return { tools: offered.map(toFunction), ...parallel };
    case "auto":
    case "none":
      return { tools: offered.map(toFunction), tool_choice: choice.type, ...parallel };
    case "any":
      return { tools: offered.map(toFunction), tool_choice: "required", ...parallel };
    case "tool": {
      // llama-server takes a named choice for `auto` (seen in 0.7.0), Ollama knows none: so it is the only one offered.
      const chosen = offered.filter(({ name }) => name === choice.name);
      if (chosen.length === 0) return unknownTool(choice.name);
      return { tools: chosen.map(toFunction), tool_choice: "required", ...parallel };
    }
  }
}

/** Anthropic's own tools that clients run have no schema: only its models know how to call them. */
function unknownKind(at: number, type: string): SynapticError {
  return unsupported(`Cannot use a tool of type '${type.slice(0, 80)}': only its own models know it`, {
    param: `tools[${at}].type`,
    hint: "describe the tool with an input_schema",
  }).error;
}

function noneLeft(): SynapticError {
  return unsupported("Cannot use these tools: only Anthropic itself can run them", { param: "tools" }).error;
}

function unknownTool(name: string): SynapticError {
  const message = `Invalid value for 'tool_choice.name': no tool is called '${name.slice(0, 80)}'`;
  return badRequest(message, { param: "tool_choice.name", detail: "invalid_value" }).error;
}

function toFunction({ name, description, input_schema, strict }: Tool): JsonObject {
  return {
    type: "function",
    function: {
      name,
      ...(description && { description }),
      parameters: input_schema ?? { type: "object", properties: {} },
      ...(strict && { strict }),
    },
  };
}
