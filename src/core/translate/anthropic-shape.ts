/** The request of Anthropic's Messages API, as far as we use it; all else is let in and passed over. Pure. */
import { z } from "zod";

/** A text stands for one text block. */
function blocksOf<Block extends z.ZodType>(block: Block) {
  const toBlocks = (value: unknown) => (typeof value === "string" ? [{ type: "text", text: value }] : value);
  return z.preprocess(toBlocks, z.array(block));
}

const TEXT = z.looseObject({ type: z.literal("text"), text: z.string() });

const IMAGE_SOURCE = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("base64"), media_type: z.string(), data: z.string() }),
  z.looseObject({ type: z.literal("url"), url: z.string() }),
]);
const IMAGE = z.looseObject({ type: z.literal("image"), source: IMAGE_SOURCE });

const DOCUMENT_SOURCE = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("text"), data: z.string() }),
  z.looseObject({ type: z.literal("content"), content: blocksOf(z.discriminatedUnion("type", [TEXT, IMAGE])) }),
]);
const DOCUMENT = z.looseObject({
  type: z.literal("document"),
  source: DOCUMENT_SOURCE,
  title: z.string().nullish(),
  context: z.string().nullish(),
});
const SEARCH_RESULT = z.looseObject({
  type: z.literal("search_result"),
  source: z.string(),
  title: z.string(),
  content: z.array(TEXT),
});

const SAID = [TEXT, IMAGE, DOCUMENT, SEARCH_RESULT] as const;
/** Of other kinds, such as `tool_reference`, their JSON is shown to the model: nothing that a tool said is lost. */
const RESULT_BLOCK = z.union([z.discriminatedUnion("type", SAID), z.looseObject({ type: z.string() })]);

const UNKNOWN = { error: "no block of a kind that is known here" };

const BLOCK = z.discriminatedUnion(
  "type",
  [
    ...SAID,
    z.looseObject({ type: z.literal("thinking"), thinking: z.string() }),
    z.looseObject({ type: z.literal("redacted_thinking") }),
    z.looseObject({
      type: z.literal("tool_use"),
      id: z.string().min(1),
      name: z.string().min(1),
      input: z.record(z.string(), z.unknown()),
    }),
    z.looseObject({
      type: z.literal("tool_result"),
      tool_use_id: z.string().min(1),
      content: blocksOf(RESULT_BLOCK).nullish(),
      is_error: z.boolean().nullish(),
    }),
  ],
  UNKNOWN,
);

/** Claude Code sends system texts among the messages too. */
const MESSAGE = z.looseObject({ role: z.enum(["user", "assistant", "system", "developer"]), content: blocksOf(BLOCK) });

const TOOL = z.looseObject({
  type: z.string().nullish(),
  name: z.string().min(1),
  description: z.string().nullish(),
  input_schema: z.looseObject({}).nullish(),
  strict: z.boolean().nullish(),
});

const PARALLEL = { disable_parallel_tool_use: z.boolean().nullish() };
const TOOL_CHOICE = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("auto"), ...PARALLEL }),
  z.looseObject({ type: z.literal("any"), ...PARALLEL }),
  z.looseObject({ type: z.literal("tool"), name: z.string(), ...PARALLEL }),
  z.looseObject({ type: z.literal("none"), ...PARALLEL }),
]);

const THINKING = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("enabled"), budget_tokens: z.int().min(1) }),
  z.looseObject({ type: z.literal("adaptive") }),
  z.looseObject({ type: z.literal("disabled") }),
]);

const FORMAT = z.looseObject({ type: z.literal("json_schema"), schema: z.looseObject({}) });

/** What is counted: all that becomes part of the prompt. */
export const COUNTED = z.looseObject({
  model: z.string().nullish(),
  system: blocksOf(TEXT).nullish(),
  messages: z.array(MESSAGE).min(1),
  tools: z.array(TOOL).nullish(),
  tool_choice: TOOL_CHOICE.nullish(),
  thinking: THINKING.nullish(),
  output_config: z.looseObject({ effort: z.string().nullish(), format: FORMAT.nullish() }).nullish(),
  output_format: FORMAT.nullish(),
  mcp_servers: z.array(z.unknown()).nullish(),
  chat_template_kwargs: z.looseObject({}).nullish(),
});

export const MESSAGES = COUNTED.extend({
  max_tokens: z.int().min(1),
  stream: z.boolean().nullish(),
  stop_sequences: z.array(z.string()).nullish(),
  temperature: z.number().nullish(),
  top_p: z.number().nullish(),
  top_k: z.int().nullish(),
  // Not Anthropic's: llama-server's own, as its own endpoint takes them.
  min_p: z.number().nullish(),
  seed: z.int().nullish(),
});

export type Counted = z.infer<typeof COUNTED>;
export type Messages = z.infer<typeof MESSAGES>;
export type Message = Counted["messages"][number];
export type Block = Message["content"][number];
export type ResultBlock = z.infer<typeof RESULT_BLOCK>;
export type SaidBlock = z.infer<(typeof SAID)[number]>;
