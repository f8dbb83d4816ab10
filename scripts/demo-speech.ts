/** Asks for a streamed chat completion, and hands on its words as they come. */
import { SynapticError } from "../src/core/errors.ts";
import { createSseReader } from "../src/core/sse.ts";

export interface Speech {
  readonly text: string;
  readonly tokens: number;
  /** From the request to the first word. */
  readonly firstWordMs: number;
  /** As llama-server measured it. */
  readonly tokensPerSecond: number | null;
}

/** llama-server's chunk: every field may be missing. */
interface Chunk {
  readonly choices?: readonly { readonly delta?: { readonly content?: string | null } }[];
  readonly timings?: { readonly predicted_per_second?: number };
  readonly error?: { readonly message?: string };
}

export interface SpeechRequest {
  readonly url: string;
  readonly model: string;
  readonly prompt: string;
  readonly signal: AbortSignal;
}

/** What asks for a stream, also in a `curl` line. */
export function chatRequest(model: string, prompt: string) {
  return { model, messages: [{ role: "user", content: prompt }], stream: true };
}

/** A model that is damaged may never end its text. */
const MAX_TOKENS = 256;

/** @throws SynapticError `upstream_error` when the answer is not a stream that ends well. */
export async function listenTo(
  { url, model, prompt, signal }: SpeechRequest,
  onWords: (words: string) => void,
): Promise<Speech> {
  const started = performance.now();
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers,
    body: JSON.stringify({ ...chatRequest(model, prompt), max_tokens: MAX_TOKENS }),
    signal,
  });
  if (!response.ok) throw new SynapticError("upstream_error", `${response.status}: ${await response.text()}`);
  const read = createSseReader();
  const decoder = new TextDecoder();
  const pieces: string[] = [];
  let speech = { firstWordMs: 0, tokensPerSecond: null as number | null };
  let done = false;
  for await (const bytes of response.body ?? []) {
    for (const event of read(decoder.decode(bytes, { stream: true }))) {
      if (event === "[DONE]") {
        done = true;
        continue;
      }
      const { words, rate } = readChunk(event);
      if (words !== "") {
        if (pieces.length === 0) speech = { ...speech, firstWordMs: performance.now() - started };
        pieces.push(words);
        onWords(words);
      }
      speech = { ...speech, tokensPerSecond: rate ?? speech.tokensPerSecond };
    }
  }
  if (!done) throw new SynapticError("upstream_error", "The stream broke off before its end");
  return { text: pieces.join(""), tokens: pieces.length, ...speech };
}

function readChunk(event: string): { readonly words: string; readonly rate: number | undefined } {
  const chunk = JSON.parse(event) as Chunk;
  if (chunk.error) throw new SynapticError("upstream_error", chunk.error.message ?? "The stream failed");
  return { words: chunk.choices?.[0]?.delta?.content ?? "", rate: chunk.timings?.predicted_per_second };
}
