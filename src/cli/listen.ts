/** Streams one completion to the terminal and measures it. */
import { SynapticError } from "../core/errors.ts";
import { createSseReader } from "../core/sse.ts";
import { type Client, readAnswer } from "./client.ts";
import type { Host } from "./host.ts";

export interface Speech {
  readonly model: string;
  readonly text: string;
  readonly promptPerSecond: number | null;
  readonly tokensPerSecond: number | null;
}

interface Request {
  readonly model: string;
  readonly prompt: string;
  readonly maxTokens: number;
}

/** What the model says, shown on stderr as it comes, so that stdout stays the report.
 *  @throws SynapticError `upstream_error` when the stream fails or breaks off. */
export async function listenTo(host: Host, client: Client, request: Request): Promise<Speech> {
  const response = await client.post("/v1/chat/completions", bodyOf(request), host.stopping);
  if (!response.ok || !response.body) await readAnswer(client.url, response);
  const read = createSseReader();
  const decoder = new TextDecoder();
  let speech: Speech = { model: request.model, text: "", promptPerSecond: null, tokensPerSecond: null };
  let ended = false;
  for await (const bytes of response.body ?? []) {
    for (const event of read(decoder.decode(bytes, { stream: true }))) {
      ended ||= event === DONE;
      const next = take(speech, event);
      host.talk(next.text.slice(speech.text.length));
      speech = next;
    }
  }
  host.talk("\n");
  if (!ended) throw new SynapticError("upstream_error", "Cannot hear the model out: its stream broke off");
  return speech;
}

const DONE = "[DONE]";

function bodyOf({ model, prompt, maxTokens }: Request) {
  return {
    model,
    messages: [{ role: "user", content: prompt }],
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: maxTokens,
    temperature: 0,
  };
}

interface Delta {
  readonly content?: string | null;
  /** What a thinking model thinks: said as well as its answer. */
  readonly reasoning_content?: string | null;
}

interface Chunk {
  readonly model?: string;
  readonly choices?: readonly { readonly delta?: Delta }[];
  readonly timings?: { readonly prompt_per_second?: number; readonly predicted_per_second?: number };
  readonly error?: { readonly message?: string };
}

/** Control codes would speak to the terminal. */
function spoken({ content, reasoning_content }: Delta = {}): string {
  return `${reasoning_content ?? ""}${content ?? ""}`.replace(/[^\P{Cc}\n\t]/gu, "");
}

function take(speech: Speech, event: string): Speech {
  if (event === DONE) return speech;
  // llama-server's chunk: every field is optional here, and a missing one only leaves a gap in the report.
  const chunk = JSON.parse(event) as Chunk;
  if (chunk.error) throw new SynapticError("upstream_error", chunk.error.message ?? "The stream failed");
  return {
    model: chunk.model ?? speech.model,
    text: speech.text + spoken(chunk.choices?.[0]?.delta),
    promptPerSecond: chunk.timings?.prompt_per_second ?? speech.promptPerSecond,
    tokensPerSecond: chunk.timings?.predicted_per_second ?? speech.tokensPerSecond,
  };
}
