/** What an Ollama node answered when it refused, as one of our errors with OpenAI's code. Pure. Texts: its sources. */
import { type ErrorCode, SynapticError } from "../errors.ts";
import { fromUpstream } from "../upstream-error.ts";
import { isObject, readJson } from "./json.ts";

export interface NodeErrorContext {
  /** As the client named it. */
  readonly model: string;
  /** What the node was told, in tokens. */
  readonly contextSize: number;
  /** The field that holds the text; `messages` when left out. */
  readonly param?: string;
}

interface Rule {
  readonly pattern: RegExp;
  readonly code: ErrorCode;
  readonly param?: string;
}

/** First come, first served. Ollama says most with a 500, or with a 200 and a line in the stream: the text decides. */
const RULES: readonly Rule[] = [
  { pattern: /server busy|maximum pending requests exceeded/i, code: "too_busy" },
  { pattern: /requires more system memory|insufficient memory|out of memory|out-of-memory/i, code: "does_not_fit" },
  { pattern: /does not support tools/i, code: "unsupported_parameter", param: "tools" },
  { pattern: /does not support thinking/i, code: "unsupported_parameter", param: "reasoning_effort" },
  { pattern: /does not support insert/i, code: "unsupported_parameter", param: "suffix" },
  { pattern: /does not support (?:chat|generate|completion|embed)/i, code: "unsupported_parameter", param: "model" },
  {
    pattern:
      /missing data required for image input|image input is not supported|does not support (?:vision|images?|multimodal)/i,
    code: "unsupported_parameter",
    param: "messages",
  },
  {
    pattern: /invalid image|image: unknown format|unsupported image|illegal base64|decode .*image/i,
    code: "bad_request",
  },
  { pattern: /invalid (?:format|json schema|grammar|option|type|input|model name)/i, code: "bad_request" },
  { pattern: /failed to parse grammar|invalid think value|must be of type|cannot unmarshal/i, code: "bad_request" },
  { pattern: /timed out waiting/i, code: "upstream_timeout" },
];

const TOO_LONG =
  /exceeds? (?:the )?(?:available |maximum )?context|input length exceeds|longer than the context length|prompt too long|context (?:length|window|size) (?:was |has been )?exceeded|exceed_context_size/i;
const NOT_FOUND = /^model ['"].*['"] not found|not found, try pulling it first/is;
const SHOWN_CHARACTERS = 300;

/** A failed answer with its status and body, or the text of a late error with the status 500. */
export function fromOllama(status: number, text: string, context: NodeErrorContext): SynapticError {
  const said = saidIn(text);
  // Of its own llama-server Ollama passes the whole body on as a text (llm/llama_server.go statusErrorMessage).
  const inner = readJson(said);
  if (isObject(inner) && isObject(inner.error)) return fromEngine(status, said, context);
  const message = said.slice(0, SHOWN_CHARACTERS) || `status ${status}`;
  if (TOO_LONG.test(said)) return tooLong(context);
  if (NOT_FOUND.test(said)) return notFound(context);
  const rule = RULES.find(({ pattern }) => pattern.test(said));
  if (rule) return new SynapticError(rule.code, sentence(message), rule.param ? { param: rule.param } : {});
  return byStatus(status, message);
}

/** `{"error": "text"}`, in which some proxies put an object; else the text itself. */
function saidIn(text: string): string {
  const value = readJson(text);
  if (!isObject(value)) return text.trim();
  const { error } = value;
  if (typeof error === "string") return error.trim();
  if (isObject(error) && typeof error.message === "string" && typeof error.code !== "number") return error.message;
  return text.trim();
}

function fromEngine(status: number, text: string, context: NodeErrorContext): SynapticError {
  const inner = readJson(text);
  const code = isObject(inner) && isObject(inner.error) ? inner.error.code : undefined;
  const error = fromUpstream(typeof code === "number" ? code : status, text);
  if (error.code !== "context_length_exceeded" || !context.param) return error;
  return new SynapticError(error.code, error.message, { param: context.param });
}

/** The words that LangChain, Roo and LiteLLM look for (facts/clients.md 2). */
function tooLong({ contextSize, param }: NodeErrorContext): SynapticError {
  const message = `The prompt is too long: this model's maximum context length is ${contextSize} tokens`;
  return new SynapticError("context_length_exceeded", message, { param: param ?? "messages" });
}

function notFound({ model }: NodeErrorContext): SynapticError {
  return new SynapticError("model_not_found", `The model '${model}' is not on the node that should have it`, {
    param: "model",
    hint: "it was deleted there just now, or is on its way; try again",
  });
}

/** 503 is a node that has enough to do, not a dead one; 401 and 403 mean the node, not our client. */
function byStatus(status: number, message: string): SynapticError {
  if (status === 503 || status === 429) return new SynapticError("too_busy", sentence(message));
  if (status === 408 || status === 504) return new SynapticError("upstream_timeout", sentence(message));
  if (status === 413) return new SynapticError("body_too_large", sentence(message));
  if (status === 501) return new SynapticError("unsupported_parameter", sentence(message));
  if (status === 400 || status === 422) return new SynapticError("bad_request", sentence(message));
  return new SynapticError("upstream_error", `Ollama failed: ${message}`);
}

/** Ollama's texts begin in lower case. */
function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}
