/** How a fake Ollama says it: lines of /api/chat and /api/generate, piece by piece. Shapes: facts/clients.md 3a. */
import type { Said } from "./ollama-mind.ts";

export interface SpeechOptions {
  readonly model: string;
  readonly kind: "chat" | "generate";
  readonly stream: boolean;
  readonly said: Said;
  /** Called before each line, the last one included; a rejection breaks the connection off there. */
  readonly before?: (index: number) => Promise<void> | void;
  /** Ends after the pieces without the last line, as a node that dies does when its proxy closes well. */
  readonly withoutEnd?: boolean;
  /** In place of the last line: what Ollama writes when its runner dies under way (server/routes.go, streamResponse). */
  readonly failsWith?: string;
  /** The answer is over, or its client has gone. */
  readonly onEnd?: () => void;
}

const AT = "2026-11-24T18:00:00.123456789Z";

/** clients.md 3a: counts and durations only on the last line, durations in nanoseconds. */
const END = {
  done: true,
  total_duration: 5_000_000_000,
  load_duration: 1_000_000_000,
  prompt_eval_count: 7,
  prompt_eval_duration: 300_000_000,
  eval_duration: 700_000_000,
};

/** What one line carries beside its frame. */
interface Line {
  readonly text?: string;
  readonly thinking?: string;
  readonly calls?: Said["calls"];
  readonly logprobs?: readonly object[];
}

export function speak(options: SpeechOptions): Response {
  const { said, stream, failsWith, withoutEnd, onEnd = () => {} } = options;
  const lines = linesOf(said);
  if (!stream) {
    onEnd();
    // Without a stream Ollama has a status for it (server/routes.go, ChatHandler).
    if (failsWith !== undefined) return Response.json({ error: failsWith }, { status: 500 });
    return Response.json(frame(options, gathered(said), endOf(said)));
  }
  const encoder = new TextEncoder();
  let index = 0;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const at = index++;
      const write = (value: object) => controller.enqueue(encoder.encode(`${JSON.stringify(value)}\n`));
      await options.before?.(at);
      const line = lines[at];
      if (line !== undefined) return write(frame(options, line, { done: false }));
      if (failsWith !== undefined) write({ error: failsWith });
      else if (!withoutEnd) write(frame(options, {}, endOf(said)));
      controller.close();
      onEnd();
    },
    cancel: onEnd,
  });
  return new Response(body, { headers: { "content-type": "application/x-ndjson" } });
}

/** Thinking comes before content, and a call comes whole on a line of its own (clients.md 3, tools stream). */
function linesOf(said: Said): readonly Line[] {
  return [
    ...said.thinking.map((thinking) => ({ thinking })),
    ...said.pieces.map((text) => ({ text, ...(said.logprobs && { logprobs: [logprobOf(text)] }) })),
    ...said.calls.map((call) => ({ calls: [call] })),
  ];
}

function gathered({ thinking, pieces, calls, logprobs }: Said): Line {
  return {
    text: pieces.join(""),
    ...(thinking.length > 0 && { thinking: thinking.join("") }),
    ...(calls.length > 0 && { calls }),
    ...(logprobs && { logprobs: pieces.map(logprobOf) }),
  };
}

/** clients.md 3a: `logprobs[{token, logprob, bytes?, top_logprobs?}]`. */
function logprobOf(token: string) {
  const one = { token, logprob: -0.1, bytes: [...new TextEncoder().encode(token)] };
  return { ...one, top_logprobs: [one, { token: "?", logprob: -2.5, bytes: [63] }] };
}

/** clients.md 3a: `done_reason` is `stop` after tool calls too, and zero-valued counts are left out. */
function endOf({ doneReason, thinking, pieces, calls }: Said) {
  const count = thinking.length + pieces.length + calls.length;
  return { ...END, done_reason: doneReason, ...(count > 0 && { eval_count: count }) };
}

/** clients.md 3a: `content` and `response` are always there, "" too; the arguments of a call are an object. */
function frame({ model, kind }: SpeechOptions, { text = "", thinking, calls, logprobs }: Line, rest: object) {
  const toolCalls = calls?.map((call, index) => ({ id: call.id, function: { index, ...call.function } }));
  const more = { ...(thinking !== undefined && { thinking }), ...(toolCalls && { tool_calls: toolCalls }) };
  const content =
    kind === "chat" ? { message: { role: "assistant", content: text, ...more } } : { response: text, ...more };
  return { model, created_at: AT, ...content, ...(logprobs && { logprobs }), ...rest };
}
