/** Errors in Anthropic's form, for whole answers and within a stream. Pure. */
import { type SynapticError, toOpenAi } from "../errors.ts";
import { namedEvent } from "./event-stream.ts";

export interface AnthropicErrorBody {
  readonly type: "error";
  readonly error: { readonly type: string; readonly message: string };
  readonly request_id?: string;
}

export interface AnthropicError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AnthropicErrorBody;
}

/** Anthropic's own status for what passes when one waits; its SDK retries it as it does 429 (facts/clients.md section 2). */
const OVERLOADED = 529;

const TYPES: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  504: "timeout_error",
  [OVERLOADED]: "overloaded_error",
};

/** The answer with the status, type and retry headers that Anthropic's SDK knows. */
export function toAnthropicError(error: SynapticError, requestId?: string): AnthropicError {
  const { status: usual, headers, body } = toOpenAi(error);
  const status = usual === 503 && "retry-after" in headers ? OVERLOADED : usual;
  const type = TYPES[status] ?? (status < 500 ? "invalid_request_error" : "api_error");
  return {
    status,
    headers,
    body: {
      type: "error",
      error: { type, message: body.error.message },
      ...(requestId !== undefined && { request_id: requestId }),
    },
  };
}

/** Within a stream: without the line `event: error` the SDK passes over it silently (facts/clients.md 2a). */
export function anthropicErrorEvent(error: SynapticError): string {
  return namedEvent({ ...toAnthropicError(error).body });
}
