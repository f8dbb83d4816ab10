/** A backend killed in the middle of a stream: the client gets the exact known text and its proper end. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { RECITATION } from "../../scripts/recitation.ts";
import type { RealRpcServer } from "../fakes/real-rpc-server.ts";
import { type Lab, openLab } from "./lab.ts";
import type { Synaptic } from "./synaptic.ts";

setDefaultTimeout(60_000);

/** Open from the first test to the last, so that the model is made once. */
let shelf: Lab;
let lab: Lab;
let model: string;

beforeAll(async () => {
  shelf = await openLab();
  model = await shelf.model({ layers: 24, type: "F16" });
});

afterAll(async () => await shelf[Symbol.asyncDispose]());

beforeEach(async () => {
  lab = await openLab();
});

afterEach(async () => await lab[Symbol.asyncDispose]());

interface Served {
  readonly synaptic: Synaptic;
  readonly backends: readonly RealRpcServer[];
  readonly openai: OpenAI;
}

async function serve(count: number, own: (endpoints: readonly string[]) => object = () => ({})): Promise<Served> {
  const backends = await lab.backends(count);
  const endpoints = backends.map(({ endpoint }) => endpoint);
  const config = lab.config(endpoints, {
    ...{ models: { files: { m: model } }, probe: { intervalMs: 200, timeoutMs: 500 } },
    ...own(endpoints),
  });
  const synaptic = await lab.serve({ config });
  await synaptic.load("m");
  return { synaptic, backends, openai: new OpenAI({ baseURL: `${synaptic.url}/v1`, apiKey: "none", maxRetries: 0 }) };
}

const WORDS = 200;
const LENGTHS = {
  model: "m",
  temperature: 0,
  max_tokens: WORDS,
  stream: true,
  stream_options: { include_usage: true },
} as const;
/** llama-server's own option: the text starts over, so that there is enough of it to be broken anywhere. */
const ENDLESS = { ignore_eos: true };

interface Heard {
  readonly text: string;
  readonly names: number;
  readonly roles: number;
  readonly finishes: readonly unknown[];
  /** Tokens of the prompt, of the answer, and of both. */
  readonly usages: readonly (readonly number[])[];
}

interface Chunk {
  readonly id: string;
  readonly model: string;
  readonly choices: readonly {
    readonly finish_reason: string | null;
    readonly text?: string;
    readonly delta?: { readonly role?: string; readonly content?: string | null };
  }[];
  readonly usage?: OpenAI.CompletionUsage | null;
}

/** What the package makes of a stream; `onText` hears the text so far. It throws at an error and without an end. */
async function listen(stream: AsyncIterable<Chunk>, onText: (text: string) => void = () => {}): Promise<Heard> {
  const chunks: Chunk[] = [];
  let text = "";
  for await (const chunk of stream) {
    chunks.push(chunk);
    text += chunk.choices[0]?.delta?.content ?? chunk.choices[0]?.text ?? "";
    onText(text);
  }
  const choices = chunks.flatMap((chunk) => chunk.choices);
  return {
    text,
    names: new Set(chunks.map(({ id, model }) => `${id} ${model}`)).size,
    roles: choices.filter(({ delta }) => delta?.role).length,
    finishes: choices.flatMap(({ finish_reason }) => finish_reason ?? []),
    usages: chunks.flatMap(({ usage }) => {
      return usage ? [[usage.prompt_tokens, usage.completion_tokens, usage.total_tokens]] : [];
    }),
  };
}

type Ask = (served: Served) => Promise<AsyncIterable<Chunk>>;

const chat: Ask = ({ openai }) =>
  openai.chat.completions.create({ ...LENGTHS, ...ENDLESS, messages: [{ role: "user", content: "Recite" }] });
const completion: Ask = ({ openai }) => openai.completions.create({ ...LENGTHS, ...ENDLESS, prompt: "Recite" });

/** Once in the suite; as often as the variable says to be sure. */
const TIMES = Number(process.env.SYNAPTIC_RESUMES ?? 1);

describe.each([
  ["chat", chat, 1],
  ["completion", completion, 0],
] as const)("a %s of which one of three backends is killed", (_, ask, roles) => {
  test.each(Array.from({ length: TIMES }, (_, at) => at))("has the exact text and its end (%d)", async () => {
    const served = await serve(3);
    const whole = await listen(await ask(served));
    expect(RECITATION.repeat(10)).toStartWith(whole.text);
    expect(whole.text.length).toBeGreaterThan(2 * RECITATION.length);
    let killedAt = 0;
    const heard = await listen(await ask(served), (text) => {
      if (killedAt > 0 || text.length < 200) return;
      killedAt = text.length;
      served.backends[1]?.kill("SIGKILL");
    });
    expect(heard).toEqual(whole);
    expect(heard).toMatchObject({ roles, names: 1, finishes: ["length"] });
    expect(heard.usages[0]?.[1]).toBe(WORDS);
    const { restarts, lastFailure } = await served.synaptic.coordinator("m");
    expect(restarts).toBe(1);
    expect(lastFailure).toContain(served.backends[1]?.endpoint ?? "an endpoint");
    expect(served.synaptic.stderr()).toContain("m goes on with an answer that broke");
  });
});

test("a stream outlives the loss of one backend, and then of another", async () => {
  const served = await serve(3);
  const whole = await listen(await chat(served));
  let killed = 0;
  const heard = await listen(await chat(served), (text) => {
    if (killed === 2 || text.length < 300 + 600 * killed) return;
    served.backends[killed++]?.kill("SIGKILL");
  });
  expect(heard).toEqual(whole);
  expect((await served.synaptic.coordinator("m")).restarts).toBe(2);
  const metrics = await (await served.synaptic.get("/metrics")).text();
  expect(metrics).toContain('synaptic_resumes_total{model="m",outcome="resumed"} 2');
});

test("a stream whose model the survivors cannot hold ends with an error that says so, after the text so far", async () => {
  const maxMemory = 80 * 1024 ** 2;
  const served = await serve(2, (endpoints) => ({
    backends: endpoints.map((endpoint) => ({ endpoint, maxMemory })),
  }));
  let heard = "";
  const broken = listen(await chat(served), (text) => {
    heard = text;
    if (text.length > 200) served.backends[0]?.kill("SIGKILL");
  });
  await expect(broken).rejects.toMatchObject({
    code: "upstream_error",
    message: expect.stringMatching(/its stream cannot go on: Cannot place m/),
  });
  expect(RECITATION.repeat(10)).toStartWith(heard);
});
