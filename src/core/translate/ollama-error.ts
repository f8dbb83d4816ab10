/** Errors in Ollama's form, `{"error": "text"}`, whole or as the last line of a stream. Pure. */
import { type SynapticError, toOpenAi } from "../errors.ts";

export interface OllamaHttpError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly error: string };
}

/** Status and headers as on /v1, the text alone. Of an unknown model exactly Ollama's words, which Continue looks for
 *  (facts/clients.md 2). */
export function toOllama(error: SynapticError, model: string): OllamaHttpError {
  const { status, headers, body } = toOpenAi(error);
  const text = error.code === "model_not_found" ? `model '${model}' not found` : body.error.message;
  return { status, headers, body: { error: text } };
}
