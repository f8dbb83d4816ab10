/** Why a request has no translation: the field at fault, in OpenAI's words. Pure. */
import type { z } from "zod";
import { type ErrorOptions, SynapticError } from "../errors.ts";
import { isDeeper, MAX_DEPTH } from "./json.ts";

export interface Refused {
  readonly ok: false;
  readonly error: SynapticError;
}

export type Checked<T> = { readonly ok: true; readonly value: T } | Refused;

/** A request that is wrong. */
export function badRequest(message: string, options: ErrorOptions = {}): Refused {
  return { ok: false, error: new SynapticError("bad_request", message, options) };
}

/** A request that is right, but asks for what the upstream cannot do. */
export function unsupported(message: string, options: ErrorOptions): Refused {
  return { ok: false, error: new SynapticError("unsupported_parameter", message, options) };
}

/** Checks a whole request, also that it is not nested beyond all measure. */
export function checkBody<T>(schema: z.ZodType<T>, body: unknown): Checked<T> {
  if (!isDeeper(body)) return check(schema, body);
  return badRequest(`Cannot use the request: it is nested deeper than ${MAX_DEPTH} levels`);
}

/** Checks a value of a request; `at` is where it stands in the body, such as `messages[0]`. */
export function check<T>(schema: z.ZodType<T>, value: unknown, at = ""): Checked<T> {
  const checked = schema.safeParse(value, { reportInput: true });
  return checked.success ? { ok: true, value: checked.data } : badField(checked.error, at);
}

function badField({ issues }: z.ZodError, at: string): Refused {
  const [issue] = issues;
  const param = issue ? fieldName(at, issue.path) : at;
  if (!issue || param === "") return badRequest("Cannot read the request: its body must be a JSON object");
  if (issue.input === undefined) {
    return badRequest(`Missing required parameter: '${param}'`, { param, detail: "missing_required_parameter" });
  }
  const detail = issue.code === "invalid_type" ? "invalid_type" : "invalid_value";
  return badRequest(`Invalid value for '${param}': ${issue.message}`, { param, detail });
}

const LONGEST_NAME = 200;

/** As OpenAI writes it: `messages[0].role`. */
function fieldName(at: string, path: readonly PropertyKey[]): string {
  const name = path.reduce<string>((name, key) => {
    if (typeof key === "number") return `${name}[${key}]`;
    return name === "" ? String(key) : `${name}.${String(key)}`;
  }, at);
  return name.slice(0, LONGEST_NAME);
}
