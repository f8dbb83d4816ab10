/** A backend killed in the middle of a stream: the client gets the exact known text and its proper end. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { RECITATION } from "../../scripts/recitation.ts";
import type { RealRpcServer } from "../fakes/real-rpc-server.ts";
import { type Lab, openLab } from "./lab.ts";
import { hear, type Synaptic } from "./synaptic.ts";

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

interface Set {
  readonly synaptic: Synaptic;
  readonly backends: readonly RealRpcServer[];
  readonly openai: OpenAI;
}

async function set(count: number, own: object = {}): Promise<Set> {
  const backends = await lab.backends(count);
  const config = lab.config(
    backends.map(({ endpoint }) => endpoint),
    { models: { files: { m: model } }, probe: { intervalMs: 200, timeoutMs: 500 }, ...own },
  );
  const synaptic = await lab.serve({ config });
  await synaptic.load("m");
  return { synaptic, backends, openai: new OpenAI({ baseURL: `${synaptic.url}/v1`, apiKey: "none", maxRetries: 0 }) };
}

/** The text over and over, so that the stream is long enough to be broken wherever a test wants it. */
const ENDLESS = { model: "m", temperature: 0, ignore_eos: true, stream: true } as const;
const MESSAGES = [{ role: "user" as const, content: "Recite" }];
const OVER_AND_OVER = RECITATION.repeat(40);

test("the openai package sees the exact known text once, and one role, id, finish and usage", async () => {
  const { synaptic, backends, openai } = await set(3);
  const stream = await openai.chat.completions.create({
    ...ENDLESS,
    messages: MESSAGES,
    max_tokens: 600,
    stream_options: { include_usage: true },
  });
  let text = "";
  const roles: unknown[] = [];
  const ids = new Set<string>();
  const finishes: unknown[] = [];
  const usages: unknown[] = [];
  for await (const chunk of stream) {
    ids.add(`${chunk.id} ${chunk.created} ${chunk.model}`);
    const [choice] = chunk.choices;
    if (choice?.delta.role) roles.push(choice.delta.role);
    if (choice?.finish_reason) finishes.push(choice.finish_reason);
    if (chunk.usage) usages.push(chunk.usage);
    text += choice?.delta.content ?? "";
    if (text.length > 500) backends[1]?.kill("SIGKILL");
  }
  const words = OVER_AND_OVER.split(/(?= )|(?<=proof\.)/).slice(0, 600);
  console.log(
    words.length,
    synaptic
      .stderr()
      .split("\n")
      .filter((l) => /goes on|ready|ost/.test(l))
      .join("\n"),
    usages,
  );
  expect(text).toBe(words.join(""));
  expect({ roles, finishes, ids: ids.size }).toEqual({ roles: ["assistant"], finishes: ["length"], ids: 1 });
  expect((await synaptic.coordinator("m")).restarts).toBe(1);
});
