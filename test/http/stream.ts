/** A stream through the app that has begun, and the fake clock it is measured by. */
import { createFakeClock, type FakeClock } from "../fakes/clock.ts";
import { chatChunk } from "../fakes/llama-answers.ts";
import type { Reply } from "../fakes/llama-server.ts";
import { chat, post } from "../fakes/runtime.ts";
import { type Stage, setStage } from "./stage.ts";

export const HELLO = chatChunk({ role: "assistant", content: "Hello" });
export const SILENCE_MS = 60_000;

export interface OpenStream extends Stage {
  readonly clock: FakeClock;
  readonly startedAt: number;
  readonly response: Response;
  /** The next bytes, as text; null at the end. */
  next(): Promise<string | null>;
  /** All that is left. */
  rest(): Promise<string>;
}

/** Resolves when the client has read the first event; only then does the upstream go on. */
export async function openStream(
  then: (reply: Reply) => unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<OpenStream> {
  const clock = createFakeClock();
  const startedAt = clock.now();
  const read = Promise.withResolvers<void>();
  const stage = setStage(
    async (reply) => {
      await reply.head();
      await reply.chunk(HELLO);
      await read.promise;
      await then(reply);
    },
    { clock, config: { silenceMs: SILENCE_MS } },
  );
  const response = await stage.fetch("/v1/chat/completions", post(chat({ stream: true }), headers));
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  const next = async (): Promise<string | null> => {
    const { value } = (await reader?.read()) ?? {};
    return value ? decoder.decode(value, { stream: true }) : null;
  };
  const rest = async (): Promise<string> => {
    let text = "";
    for (let piece = await next(); piece !== null; piece = await next()) text += piece;
    return text;
  };
  const first = await next();
  if (first !== HELLO) throw new Error(`The stream does not begin with its first event: ${first}`);
  // What the test does with the stage must be there before the upstream goes on.
  setImmediate(read.resolve);
  return { ...stage, clock, startedAt, response, next, rest };
}

/** So long a broken connection waits for word of its coordinator's death. */
const DEATH_MS = 1_000;

/** Lets a wait for word of the coordinator's death end without. */
export async function waitsForDeath(clock: FakeClock): Promise<void> {
  await clock.armed(DEATH_MS);
  await clock.advance(DEATH_MS);
}
