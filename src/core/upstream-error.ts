/** What a llama-server answered when it refused, as one of our errors. Pure. Its quirks: facts/llamacpp.md section h. */
import { z } from "zod";
import { SynapticError } from "./errors.ts";

const BODY = z.object({
  error: z.looseObject({
    code: z.number().optional(),
    message: z.string().optional(),
    type: z.string().optional(),
    n_prompt_tokens: z.number().optional(),
    n_ctx: z.number().optional(),
  }),
});

type Said = z.infer<typeof BODY>["error"];

/** Messages that a client's fault gets with a 500: the SDKs would repeat it three times (facts/clients.md section 2). */
const CLIENT_FAULTS =
  /image input is not supported|audio input is not supported|mmproj|failed to parse|must be|required|invalid|unsupported|unknown/i;
/** All slots share one context: it can be full though each request alone would fit (seen in 0.7.0 with `--kv-unified`). */
const CONTEXT_FULL = /^context size has been exceeded/i;
/** An embedding model computes a text in one piece (a 500, seen in 0.7.0). */
const TOO_LARGE = /^input \((\d+) tokens\) is too large to process\..*batch size: (\d+)/is;
/** `Field 'temperature': type must be number`, `'messages' is required`, `"prompt" must not be empty`. */
const FIELD = /^(?:Field )?(?:'([\w.]+)'|"([\w.]+)")/;
const SHOWN_CHARACTERS = 300;

/** A failed answer with its status and body text; the body may be anything. */
export function fromUpstream(status: number, text: string): SynapticError {
  const said = parse(text) ?? {};
  return explain(status, said, said.message || text.slice(0, SHOWN_CHARACTERS) || `status ${status}`);
}

/** An error within a stream; null when the event is not a whole one. */
export function fromErrorFrame(event: string): SynapticError | null {
  const said = parse(event.slice(event.indexOf("{")));
  return said && explain(said.code ?? 500, said, said.message ?? "no reason given");
}

function explain(status: number, { type, n_prompt_tokens, n_ctx }: Said, message: string): SynapticError {
  if (type === "exceed_context_size_error") {
    // LangChain looks for "prompt is too long", LiteLLM and others for "maximum context length is N tokens".
    const asked = n_prompt_tokens ? `, the request has ${n_prompt_tokens}` : "";
    const sizes = `The prompt is too long: this model's maximum context length is ${n_ctx} tokens${asked}`;
    return new SynapticError("context_length_exceeded", n_ctx ? sizes : message, { param: "messages" });
  }
  const [, asked, most] = TOO_LARGE.exec(message) ?? [];
  if (asked && most) {
    const sizes = `The text is too long: this model's maximum context length is ${most} tokens, the text has ${asked}`;
    return new SynapticError("context_length_exceeded", sizes, { param: "input" });
  }
  if (CONTEXT_FULL.test(message)) {
    return new SynapticError("too_busy", "The requests that run at the same time have used up the model's context", {
      hint: "try again when they have ended, or raise contextSize",
    });
  }
  if (status === 501) return new SynapticError("unsupported_parameter", message);
  if (status === 413) return new SynapticError("body_too_large", message);
  const isTheirs = status >= 400 && status < 500 && status !== 401 && status !== 403;
  if (isTheirs || (status === 500 && CLIENT_FAULTS.test(message))) {
    const [, single, double] = FIELD.exec(message) ?? [];
    const param = single ?? double;
    return new SynapticError("bad_request", message, param ? { param, detail: "invalid_value" } : {});
  }
  if (status === 503) return new SynapticError("model_loading", `The model is not ready: ${message}`);
  return new SynapticError("upstream_error", `llama-server failed: ${message}`);
}

function parse(text: string): Said | null {
  try {
    return BODY.parse(JSON.parse(text)).error;
  } catch {
    // Not JSON, or JSON of another shape: the caller shows the text itself.
    return null;
  }
}
