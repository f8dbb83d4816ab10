/** The one error type, and the one table that says what each code means to an HTTP client and to a shell. Pure. */

interface CodeRow {
  readonly status: number;
  /** OpenAI's `error.type`. */
  readonly type: string;
  /** OpenAI's `error.code`; null where OpenAI sends null. */
  readonly code: string | null;
  /** `no` sends `x-should-retry: false`; `after` sends `Retry-After`. */
  readonly retry: "no" | "after" | "none";
  readonly exit: 1 | 2;
}

function row(status: number, type: string, code: string | null, retry: CodeRow["retry"], exit: 1 | 2 = 1): CodeRow {
  return { status, type, code, retry, exit };
}

const TABLE = {
  usage: row(400, "invalid_request_error", "usage", "no", 2),
  config_invalid: row(500, "server_error", "config_invalid", "no", 2),
  config_missing: row(500, "server_error", "config_missing", "no", 2),
  bad_request: row(400, "invalid_request_error", null, "no"),
  context_length_exceeded: row(400, "invalid_request_error", "context_length_exceeded", "no"),
  unsupported_parameter: row(400, "invalid_request_error", "unsupported_parameter", "no"),
  forbidden: row(403, "invalid_request_error", "forbidden", "no"),
  unknown_url: row(404, "invalid_request_error", "unknown_url", "no"),
  method_not_allowed: row(405, "invalid_request_error", "unknown_url", "no"),
  unauthorized: row(401, "invalid_request_error", "invalid_api_key", "no"),
  model_not_found: row(404, "invalid_request_error", "model_not_found", "no"),
  body_too_large: row(413, "invalid_request_error", "request_too_large", "no"),
  too_busy: row(429, "rate_limit_error", "rate_limit_exceeded", "after"),
  model_unreadable: row(500, "server_error", "model_unreadable", "no"),
  coordinator_failed: row(502, "server_error", "upstream_error", "none"),
  // It may have run, and what could be tried again has been.
  upstream_error: row(502, "server_error", "upstream_error", "no"),
  does_not_fit: row(503, "server_error", "does_not_fit", "no"),
  no_backends: row(503, "server_error", "no_backends", "after"),
  model_loading: row(503, "server_error", "model_loading", "after"),
  shutting_down: row(503, "server_error", "shutting_down", "after"),
  coordinator_timeout: row(504, "server_error", "upstream_timeout", "no"),
  upstream_timeout: row(504, "server_error", "upstream_timeout", "no"),
  client_gone: row(499, "invalid_request_error", "client_gone", "no"),
  internal: row(500, "server_error", null, "no"),
} as const satisfies Record<string, CodeRow>;

export type ErrorCode = keyof typeof TABLE;

export interface ErrorOptions {
  /** What to do next: printed below the message. */
  readonly hint?: string;
  /** The request field at fault, as OpenAI's `error.param`. */
  readonly param?: string;
  /** OpenAI's own code where it says more than the table, such as `missing_required_parameter`. */
  readonly detail?: string;
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** A refusal or a failure that a person can act on. Everything but message and hint is looked up by `code`. */
export class SynapticError extends Error {
  override readonly name = "SynapticError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly param: string | undefined;
  readonly detail: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.param = options.param;
    this.detail = options.detail;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Turns whatever was thrown into a SynapticError; called at the two edges only (HTTP's `onError`, the command line). */
export function fromUnknown(thrown: unknown): SynapticError {
  return wrapError("internal", "Cannot go on", thrown);
}

/** Gives what was thrown a code and says what failed; a SynapticError is left as it is. */
export function wrapError(code: ErrorCode, action: string, thrown: unknown): SynapticError {
  if (thrown instanceof SynapticError) return thrown;
  const detail = thrown instanceof Error ? thrown.message : String(thrown);
  return new SynapticError(code, `${action}: ${detail}`, { cause: thrown });
}

export function exitCode(error: SynapticError): 1 | 2 {
  return TABLE[error.code].exit;
}

export interface OpenAiErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

export interface HttpError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: OpenAiErrorBody;
}

/** Retry-After stays within 1..59 s: the AI SDK ignores 60 and more, LangChain needs one at all (facts/clients.md 1b). */
const DEFAULT_RETRY_MS = 5_000;
const LONGEST_RETRY_S = 59;

/** Whole seconds as `Retry-After` says them. */
export function retrySeconds(retryAfterMs: number): number {
  return Math.min(LONGEST_RETRY_S, Math.max(1, Math.ceil(retryAfterMs / 1000)));
}

/** The answer in OpenAI's shape: all four fields, string or null code, and the retry headers its SDKs obey. */
export function toOpenAi(error: SynapticError): HttpError {
  const { status, type, code, retry } = TABLE[error.code];
  const headers: Record<string, string> = {};
  if (retry === "no") headers["x-should-retry"] = "false";
  if (retry === "after") headers["retry-after"] = String(retrySeconds(error.retryAfterMs ?? DEFAULT_RETRY_MS));
  if (status === 401) headers["www-authenticate"] = "Bearer";
  const message = error.hint ? `${error.message} (${error.hint})` : error.message;
  return {
    status,
    headers,
    body: { error: { message, type, param: error.param ?? null, code: error.detail ?? code } },
  };
}

/** What went wrong in one paragraph for a terminal or a log: message, then the hint on its own line. */
export function describeError(error: SynapticError): string {
  return error.hint ? `${error.message}\n  ${error.hint}` : error.message;
}
