/** The body of an OpenAI request: what we need of it, checked; everything else is llama-server's business. Pure. */
import { z } from "zod";
import { SynapticError } from "./errors.ts";

export type Dialect = "chat" | "completion";

export interface OpenAiRequest {
  readonly model: string;
  readonly stream: boolean;
}

const MESSAGE = z.looseObject({ role: z.string() });

const COMMON = {
  model: z.string().min(1),
  stream: z.boolean().nullish(),
  // A negative n_discard writes out of bounds in llama-server up to 55d4206c8 (CVE-2026-21869).
  n_discard: z.number().min(0).optional(),
};

const SCHEMAS = {
  chat: z.looseObject({ ...COMMON, messages: z.array(MESSAGE).min(1) }),
  completion: z.looseObject({ ...COMMON, prompt: z.union([z.string(), z.array(z.unknown()).min(1)]) }),
} as const;

/** Checks a request body given as text. @throws SynapticError `bad_request` that names the field. */
export function parseOpenAiRequest(text: string, dialect: Dialect): OpenAiRequest {
  const checked = SCHEMAS[dialect].safeParse(parseJson(text));
  if (!checked.success) throw badField(checked.error);
  return { model: checked.data.model, stream: checked.data.stream ?? false };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new SynapticError("bad_request", `We could not parse the JSON body of your request: ${detail}`);
  }
}

function badField(error: z.ZodError): SynapticError {
  const issue = error.issues[0];
  const param = issue?.path.map(String).join(".") || undefined;
  const missing = issue?.code === "invalid_type" && issue.message.includes("undefined");
  if (!param) return new SynapticError("bad_request", "Cannot read the request: its body must be a JSON object");
  return new SynapticError(
    "bad_request",
    missing ? `Missing required parameter: '${param}'` : `Invalid value for '${param}': ${issue?.message}`,
    { param, detail: missing ? "missing_required_parameter" : "invalid_value" },
  );
}
