/** What a llama-server answered when it refused, as one of our errors. Pure. Its quirks: facts/llamacpp.md section h. */
import { z } from "zod";
import { SynapticError } from "./errors.ts";

const BODY = z.object({
  error: z.looseObject({
    message: z.string().optional(),
    type: z.string().optional(),
    n_prompt_tokens: z.number().optional(),
    n_ctx: z.number().optional(),
  }),
});

/** Messages that a client's fault gets with a 500: the SDKs would repeat it three times (facts/clients.md section 2). */
const CLIENT_FAULTS =
  /image input is not supported|audio input is not supported|mmproj|failed to parse|must be|required|invalid|unsupported/i;

/** A failed answer with its status and body text; the body may be anything. */
export function fromUpstream(status: number, text: string): SynapticError {
  const { message = "", type, n_prompt_tokens, n_ctx } = parse(text);
  const said = message || text.slice(0, 300) || `status ${status}`;
  if (type === "exceed_context_size_error") {
    const sizes = n_ctx ? `This model's maximum context length is ${n_ctx} tokens` : said;
    const asked = n_prompt_tokens ? `, the request has ${n_prompt_tokens}` : "";
    return new SynapticError("context_length_exceeded", `${sizes}${asked}`, { param: "messages" });
  }
  if (status === 501) return new SynapticError("unsupported_parameter", said);
  if (status === 413) return new SynapticError("body_too_large", said);
  if (status >= 400 && status < 500 && status !== 401 && status !== 403) return new SynapticError("bad_request", said);
  if (status === 500 && CLIENT_FAULTS.test(message)) return new SynapticError("bad_request", said);
  if (status === 503) return new SynapticError("model_loading", `The model is not ready: ${said}`);
  return new SynapticError("upstream_error", `llama-server failed: ${said}`);
}

function parse(text: string): z.infer<typeof BODY>["error"] {
  try {
    return BODY.parse(JSON.parse(text)).error;
  } catch {
    // Not JSON, or JSON of another shape: the caller shows the text itself.
    return {};
  }
}
