/** The body of an OpenAI request: what we need of it, checked; everything else is llama-server's business. Pure. */
import { z } from "zod";
import { SynapticError } from "./errors.ts";
import { isDeeper, MAX_DEPTH } from "./translate/json.ts";

export type Dialect = "chat" | "completion";

export interface OpenAiBody {
  /** Null when it names none: llama-server's own clients often do not. */
  readonly model: string | null;
  readonly fields: unknown;
}

export interface OpenAiRequest {
  readonly stream: boolean;
}

const MESSAGE = z.looseObject({ role: z.string() });

const COMMON = {
  stream: z.boolean().nullish(),
  // A negative n_discard writes out of bounds in llama-server up to 55d4206c8 (CVE-2026-21869).
  n_discard: z.number().min(0).nullish(),
};

const PROMPT = z.union([z.string(), z.looseObject({}), z.array(z.unknown()).min(1)], {
  error: "expected a text or a list",
});

const SCHEMAS = {
  chat: z.looseObject({ ...COMMON, messages: z.array(MESSAGE).min(1) }),
  completion: z.looseObject({ ...COMMON, prompt: PROMPT }),
} as const;

const MODEL = z.looseObject({ model: z.string().nullish() });

/** Reads a body as far as the model that it names. @throws SynapticError `bad_request`. */
export function readOpenAiBody(bytes: Uint8Array): OpenAiBody {
  const fields = readBodyJson(bytes);
  const checked = MODEL.safeParse(fields);
  if (!checked.success) throw badField(checked.error, fields);
  return { model: checked.data.model || null, fields };
}

/** Checks the rest of it. @throws SynapticError `bad_request` or `unsupported_parameter` that names the field. */
export function checkOpenAiRequest(fields: unknown, dialect: Dialect): OpenAiRequest {
  const checked = SCHEMAS[dialect].safeParse(fields);
  if (!checked.success) throw badField(checked.error, fields);
  const { stream, messages } = checked.data;
  if (Array.isArray(messages)) messages.forEach(refuseRemoteMedia);
  return { stream: stream ?? false };
}

const DECODER = new TextDecoder("utf-8", { fatal: true });

/** The JSON of a body in any dialect. A schema of 20 000 levels made llama-server 0.7.0 overflow its stack, and with it
 *  everybody's answers end; one of 1000 did not. @throws SynapticError `bad_request`. */
export function readBodyJson(bytes: Uint8Array): unknown {
  const value = parseJson(bytes);
  if (!isDeeper(value)) return value;
  throw new SynapticError("bad_request", `Cannot use the request: it is nested deeper than ${MAX_DEPTH} levels`);
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(DECODER.decode(bytes));
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new SynapticError("bad_request", `We could not parse the JSON body of your request: ${detail}`);
  }
}

function badField(error: z.ZodError, body: unknown): SynapticError {
  const [issue] = error.issues;
  if (!issue || issue.path.length === 0) {
    return new SynapticError("bad_request", "Cannot read the request: its body must be a JSON object");
  }
  const param = fieldName(issue.path);
  if (valueAt(body, issue.path) === undefined) {
    const detail = "missing_required_parameter";
    return new SynapticError("bad_request", `Missing required parameter: '${param}'`, { param, detail });
  }
  const detail = issue.code === "invalid_type" ? "invalid_type" : "invalid_value";
  return new SynapticError("bad_request", `Invalid value for '${param}': ${issue.message}`, { param, detail });
}

/** As OpenAI writes it: `messages[0].role`. */
function fieldName(path: readonly PropertyKey[]): string {
  return path.map((key, at) => (typeof key === "number" ? `[${key}]` : `${at > 0 ? "." : ""}${String(key)}`)).join("");
}

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  let value = body;
  for (const key of path) value = isRecord(value) ? value[key] : undefined;
  return value;
}

function isRecord(value: unknown): value is Record<PropertyKey, unknown> {
  return typeof value === "object" && value !== null;
}

/** llama-server would fetch it itself, from within the owner's network, or read a file of the head node. */
function refuseRemoteMedia(message: unknown, at: number): void {
  const parts = isRecord(message) && Array.isArray(message.content) ? message.content : [];
  for (const [index, part] of parts.entries()) {
    if (!isRecord(part)) continue;
    for (const [key, value] of Object.entries(part)) {
      const url = isRecord(value) ? value.url : value;
      if (!key.endsWith("_url") || typeof url !== "string" || url.startsWith("data:")) continue;
      throw new SynapticError(
        "unsupported_parameter",
        "Cannot use an image by its address: only data: URLs are taken",
        {
          param: `messages[${at}].content[${index}].${key}`,
          hint: "send it in base64, as data:image/png;base64,...",
        },
      );
    }
  }
}
