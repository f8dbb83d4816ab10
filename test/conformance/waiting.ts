/** Checks of long waits: a load of 45 s and a silence of 60 s, which begin with the world and go on beside all others. */
import { describe, expect, test } from "bun:test";
import { generateText, streamText } from "ai";
import { RECITATION } from "../../scripts/recitation.ts";
import { chatOllama, chatOpenAi, compatible, ollama, openAi } from "./clients.ts";
import { ASK, post, type RawAnswer, readLines, readSse } from "./wire.ts";
import { RECITE, TALE, TALE_TEXT, type World } from "./world.ts";

const LOAD_S = 45;
const SILENCE_S = 60;

/** What each client had heard in the end, by its letter and endpoint. */
interface Waited {
  readonly model: string;
  readonly texts: Readonly<Record<string, Promise<string>>>;
  readonly sse: Promise<RawAnswer>;
  readonly ndjson: Promise<RawAnswer>;
}

export interface Slow {
  readonly loads: Promise<readonly Waited[]>;
  readonly silence: Promise<RawAnswer>;
  readonly held: Promise<readonly string[]>;
}

/** All clients at once, while the model of this synaptic loads. */
function waitFor(url: string, model: string): Waited {
  const texts = {
    N: heard(async function* () {
      const stream = await openAi({ url }).client.chat.completions.create({ model, messages: ASK, stream: true });
      for await (const { choices } of stream) yield choices[0]?.delta.content ?? "";
    }),
    A: heard(() => streamText({ model: compatible({ url }, model), prompt: "Please recite." }).textStream),
    L: heard(async function* () {
      for await (const { content } of await chatOpenAi({ url }, model).stream("Please recite.")) yield String(content);
    }),
    O: heard(async function* () {
      const stream = await ollama({ url }).chat({ model, messages: ASK, stream: true });
      for await (const { message } of stream) yield message.content;
    }),
    "L, Ollama": heard(async function* () {
      for await (const { content } of await chatOllama({ url }, model).stream("Please recite.")) yield String(content);
    }),
  };
  const sse = post(`${url}/v1/chat/completions`, { model, messages: ASK, stream: true });
  const ndjson = post(`${url}/api/chat`, { model, messages: ASK });
  return { model, texts, sse, ndjson };
}

/** The text, or what went wrong; never a rejection, since the test that looks comes a minute later. */
function heard(pieces: () => AsyncIterable<string>): Promise<string> {
  const listen = async () => {
    let text = "";
    for await (const piece of pieces()) text += piece;
    return text;
  };
  return listen().catch(String);
}

/** Starts them all. */
export function startSlow(world: World): Slow {
  return { loads: startLoads(world), silence: startSilence(world), held: startHeld(world) };
}

/** A llama-server that takes its time to load a model. First it says that it has its memory, as one does that goes on to
 *  read a large file: without that line a backend would be thought to keep it waiting. */
function slowEngine({ lab }: World): string {
  const placed = "0.00.000.001 I load_tensors:   CPU_Mapped model buffer size =     0.00 MiB";
  return lab.write(
    "slow-llama-server",
    `#!/bin/sh
case " $* " in *" --model "*)
  echo "${placed}" >&2
  sleep ${LOAD_S};;
esac
exec "${lab.llamaServer}" "$@"
`,
    0o755,
  );
}

async function startLoads(world: World): Promise<readonly Waited[]> {
  const backends = await world.lab.backends(2);
  const shards = await world.serve({ backends, env: { LLAMA_SERVER_PATH: slowEngine(world) } });
  const node = world.startNode();
  const loaded = Bun.sleep(LOAD_S * 1000);
  node.manner = { before: () => loaded };
  const pool = await world.serve({ nodes: [node] });
  return [waitFor(shards.url, RECITE), waitFor(pool.url, TALE.name)];
}

async function startSilence(world: World): Promise<RawAnswer> {
  const node = world.startNode();
  node.manner = { before: (index) => (index === 2 ? Bun.sleep(SILENCE_S * 1000) : undefined) };
  const { url } = await world.serve({ nodes: [node] });
  return await post(`${url}/v1/chat/completions`, { model: TALE.name, messages: ASK, stream: true });
}

async function startHeld(world: World): Promise<readonly string[]> {
  const backends = await world.lab.backends(1);
  const env = { LLAMA_SERVER_PATH: slowEngine(world) };
  const shards = await world.serve({ backends, env, own: { holdMs: 240_000 } });
  const node = world.startNode();
  const loaded = Bun.sleep(LOAD_S * 1000);
  node.fault = async (path) => {
    if (path === "/api/chat") await loaded;
    return null;
  };
  const pool = await world.serve({ nodes: [node], own: { holdMs: 240_000 } });
  const ask = async ({ url }: { readonly url: string }, model: string): Promise<string> => {
    const { text } = await generateText({ model: compatible({ url }, model), prompt: "Please recite.", maxRetries: 0 });
    return text;
  };
  return await Promise.all([ask(shards, RECITE).catch(String), ask(pool, TALE.name).catch(String)]);
}

export function waitingChecks(slow: Slow): void {
  const TEXTS: Readonly<Record<string, string>> = { [RECITE]: RECITATION, [TALE.name]: TALE_TEXT };

  describe("waiting", () => {
    test("5.11 with a load of 45 s, streams get bytes every 15 s, and N, A, L and P complete", async () => {
      for (const { model, texts, sse } of await slow.loads) {
        for (const client of ["N", "A", "L"])
          expect([model, client, await texts[client]]).toEqual([model, client, TEXTS[model] ?? ""]);
        const raw = await sse;
        expect(raw.longestGapMs).toBeLessThan(15_000);
        // As openai-python reads it.
        expect(readSse(raw.text)).toMatchObject({ text: TEXTS[model], done: true, error: null });
        expect(raw.text).toMatch(/^: \S/);
        expect(raw.text).not.toMatch(/^: *ping/m);
      }
    });

    test("5.29 on NDJSON the load shows as chunks with empty content, never as a blank line; O and L complete", async () => {
      for (const { model, texts, ndjson } of await slow.loads) {
        for (const client of ["O", "L, Ollama"])
          expect([model, client, await texts[client]]).toEqual([model, client, TEXTS[model] ?? ""]);
        const raw = await ndjson;
        expect(raw.longestGapMs).toBeLessThan(15_000);
        const lines = readLines(raw.text);
        expect(lines[0]).toMatchObject({ model, message: { role: "assistant", content: "" }, done: false });
        expect(lines.at(-1)).toMatchObject({ done: true, done_reason: "stop" });
      }
    });

    test("5.12 an upstream that is silent for 60 s does not lose its client", async () => {
      const raw = await slow.silence;
      expect(raw.longestGapMs).toBeGreaterThan(1_000);
      expect(readSse(raw.text)).toMatchObject({ text: TALE_TEXT, done: true, error: null });
    });

    test("5.52 a request without a stream is held while its model loads, up to 240 s where the config says so", async () => {
      expect(await slow.held).toEqual([RECITATION, TALE_TEXT]);
    });
  });
}
