/** What a fake Ollama says: lines of /api/chat and /api/generate, piece by piece. Shapes: facts/clients.md 3a. */

export interface SpeechOptions {
  readonly model: string;
  readonly kind: "chat" | "generate";
  readonly stream: boolean;
  readonly pieces: readonly string[];
  /** Called before each piece; a rejection breaks the connection off there. */
  readonly before?: (index: number) => Promise<void> | void;
  /** Ends after the pieces without the last line, as a node that dies does when its proxy closes well. */
  readonly withoutEnd?: boolean;
}

const AT = "2026-11-24T18:00:00.123456789Z";

/** clients.md 3a: counts and durations only on the last line, `done_reason` stop, durations in nanoseconds. */
const END = {
  done: true,
  done_reason: "stop",
  total_duration: 5_000_000_000,
  load_duration: 1_000_000_000,
  prompt_eval_count: 7,
  prompt_eval_duration: 300_000_000,
  eval_duration: 700_000_000,
};

export function speak(options: SpeechOptions): Response {
  const { model, kind, stream, pieces, before, withoutEnd } = options;
  const said = (text: string) =>
    kind === "chat" ? { message: { role: "assistant", content: text } } : { response: text };
  const line = (text: string, rest: object) => ({ model, created_at: AT, ...said(text), ...rest });
  const end = { ...END, eval_count: pieces.length };
  if (!stream) return Response.json(line(pieces.join(""), end));
  const encoder = new TextEncoder();
  let index = 0;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const at = index++;
      const write = (value: object) => controller.enqueue(encoder.encode(`${JSON.stringify(value)}\n`));
      await before?.(at);
      const piece = pieces[at];
      if (piece !== undefined) return write(line(piece, { done: false }));
      if (!withoutEnd) write(line("", end));
      controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "application/x-ndjson" } });
}
