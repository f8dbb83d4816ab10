/** What a fake Ollama says: it calls the tools it is given, fills the format it is told, and thinks when asked to. */
import { z } from "zod";

export interface Call {
  readonly id: string;
  readonly function: { readonly name: string; readonly arguments: unknown };
}

export interface Said {
  readonly thinking: readonly string[];
  readonly pieces: readonly string[];
  readonly calls: readonly Call[];
  readonly doneReason: "stop" | "length";
  readonly logprobs: boolean;
}

const schemaObject = z.record(z.string(), z.unknown());

/** Of `/api/chat` and `/api/generate`: what decides over the answer (clients.md 3a). */
export const promptSchema = z.looseObject({
  model: z.string(),
  prompt: z.string().optional(),
  suffix: z.string().optional(),
  system: z.string().optional(),
  messages: z
    .array(
      z.looseObject({
        role: z.string(),
        content: z.string().default(""),
        images: z.array(z.string()).nullish(),
      }),
    )
    .optional(),
  images: z.array(z.string()).nullish(),
  stream: z.boolean().optional(),
  keep_alive: z.union([z.number(), z.string()]).nullish(),
  truncate: z.boolean().optional(),
  tools: z
    .array(z.looseObject({ function: z.looseObject({ name: z.string(), parameters: schemaObject.optional() }) }))
    .nullish(),
  // clients.md 3a: "" must be accepted.
  format: z.union([z.literal(["json", ""]), schemaObject]).nullish(),
  think: z.union([z.boolean(), z.enum(["low", "medium", "high", "max"])]).nullish(),
  logprobs: z.boolean().optional(),
  options: z.looseObject({ num_ctx: z.number().optional(), num_predict: z.number().optional() }).nullish(),
});

export type Prompt = z.infer<typeof promptSchema>;

/** Whatever it is asked, `pieces`; unless the request calls for tools, for JSON or for what a tool said. */
export function answerTo(prompt: Prompt, pieces: readonly string[]): Said {
  const { format, tools, messages = [] } = prompt;
  const last = messages.at(-1);
  // Models without the capability refuse `think` before they get here.
  const thinking = prompt.think ? ["The user", " asks."] : [];
  const plain = { thinking, calls: [], doneReason: "stop", logprobs: prompt.logprobs === true } as const;
  const [tool] = tools ?? [];
  if (last?.role === "tool") return limited({ ...plain, pieces: ["The tool says ", last.content] }, prompt);
  if (tool) return { ...plain, pieces: [], calls: [callOf(tool.function)] };
  if (format === "json") return limited({ ...plain, pieces: ['{"answer"', ":42}"] }, prompt);
  if (format) return limited({ ...plain, pieces: halves(JSON.stringify(exampleOf(format))) }, prompt);
  return limited({ ...plain, pieces }, prompt);
}

/** clients.md 3: no limit where none is given; 3a: `done_reason` length. */
function limited(said: Said, { options }: Prompt): Said {
  const most = options?.num_predict ?? -1;
  if (most <= 0 || said.pieces.length <= most) return said;
  return { ...said, pieces: said.pieces.slice(0, most), doneReason: "length" };
}

/** clients.md 3, tools stream: ids are `call_` and eight characters. */
function callOf({ name, parameters = {} }: { readonly name: string; readonly parameters?: object | undefined }): Call {
  return { id: "call_a1b2c3d4", function: { name, arguments: exampleOf(parameters) } };
}

function halves(text: string): readonly string[] {
  const middle = Math.ceil(text.length / 2);
  return [text.slice(0, middle), text.slice(middle)];
}

/** The simplest value that fits a JSON schema. */
function exampleOf(schema: unknown): unknown {
  const parsed = z
    .looseObject({
      type: z.union([z.string(), z.array(z.string())]).optional(),
      enum: z.array(z.unknown()).optional(),
      properties: schemaObject.optional(),
      items: z.unknown().optional(),
    })
    .parse(schema ?? {});
  if (parsed.enum) return parsed.enum[0];
  const type = Array.isArray(parsed.type) ? parsed.type[0] : (parsed.type ?? "object");
  if (type === "string") return "Oslo";
  if (type === "integer" || type === "number") return 3;
  if (type === "boolean") return true;
  if (type === "array") return [exampleOf(parsed.items)];
  return Object.fromEntries(Object.entries(parsed.properties ?? {}).map(([key, value]) => [key, exampleOf(value)]));
}
