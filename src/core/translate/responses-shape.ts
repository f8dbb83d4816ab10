/** The request of OpenAI's Responses API, as far as we use it. Pure. */
import { z } from "zod";

const TEXT_TYPES = ["input_text", "output_text", "text", "summary_text", "reasoning_text"] as const;
const UNKNOWN = { error: "nothing of a kind that is known here" };

const PART = z.discriminatedUnion(
  "type",
  [
    z.looseObject({ type: z.enum(TEXT_TYPES), text: z.string() }),
    z.looseObject({ type: z.literal("refusal"), refusal: z.string() }),
    z.looseObject({ type: z.literal("input_image"), image_url: z.string() }),
  ],
  UNKNOWN,
);

/** A text stands for one part of it. */
const PARTS = z.preprocess(
  (value) => (typeof value === "string" ? [{ type: "input_text", text: value }] : value),
  z.array(PART),
);

/** Replayed by Codex with `content: null`, which llama-server's own endpoint refuses. */
const THOUGHTS = z.array(z.looseObject({ text: z.string() })).nullish();

const MESSAGE = z.looseObject({
  type: z.literal("message"),
  role: z.enum(["user", "assistant", "system", "developer"]),
  content: PARTS,
});

/** One item of the input. */
export const ITEM = z.preprocess(
  // A message may go without its type.
  (value) =>
    typeof value === "object" && value !== null && !("type" in value) ? { type: "message", ...value } : value,
  z.discriminatedUnion(
    "type",
    [
      MESSAGE,
      z.looseObject({ type: z.literal("reasoning"), content: THOUGHTS, summary: THOUGHTS }),
      z.looseObject({
        type: z.literal("function_call"),
        call_id: z.string().min(1),
        name: z.string().min(1),
        arguments: z.string(),
      }),
      z.looseObject({ type: z.literal("function_call_output"), call_id: z.string().min(1), output: PARTS }),
      // The AI SDK sends these for what it got before, unless it is told `store: false`.
      z.looseObject({ type: z.literal("item_reference"), id: z.string() }),
    ],
    UNKNOWN,
  ),
);

const TOOL = z.discriminatedUnion("type", [
  z.looseObject({
    type: z.literal("function"),
    name: z.string().min(1),
    description: z.string().nullish(),
    parameters: z.looseObject({}).nullish(),
    strict: z.boolean().nullish(),
  }),
]);
const OTHER_TOOL = z.looseObject({ type: z.string() });

const NAMED = z.looseObject({ type: z.string(), name: z.string().nullish() });
const TOOL_CHOICE = z.union([
  z.enum(["auto", "none", "required"]),
  z.looseObject({ type: z.literal("allowed_tools"), mode: z.enum(["auto", "required"]), tools: z.array(NAMED) }),
  NAMED,
]);

const FORMAT = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("text") }),
  z.looseObject({ type: z.literal("json_object") }),
  z.looseObject({
    type: z.literal("json_schema"),
    name: z.string(),
    schema: z.looseObject({}),
    strict: z.boolean().nullish(),
  }),
]);

export const RESPONSES = z.looseObject({
  model: z.string().nullish(),
  input: z.preprocess(
    (value) => (typeof value === "string" ? [{ type: "message", role: "user", content: value }] : value),
    z.array(ITEM),
  ),
  instructions: z.string().nullish(),
  stream: z.boolean().nullish(),
  max_output_tokens: z.int().min(1).nullish(),
  temperature: z.number().nullish(),
  top_p: z.number().nullish(),
  tools: z.array(z.union([TOOL, OTHER_TOOL])).nullish(),
  tool_choice: TOOL_CHOICE.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  text: z.looseObject({ format: FORMAT.nullish() }).nullish(),
  reasoning: z.looseObject({ effort: z.string().nullish() }).nullish(),
  metadata: z.looseObject({}).nullish(),
  include: z.array(z.string()).nullish(),
  // What only a server can do that keeps what it answered.
  previous_response_id: z.string().nullish(),
  conversation: z.unknown().optional(),
  prompt: z.unknown().optional(),
  background: z.boolean().nullish(),
});

export type Responses = z.infer<typeof RESPONSES>;
export type Item = Responses["input"][number];
export type ItemPart = z.infer<typeof PART>;
export type FunctionTool = z.infer<typeof TOOL>;
