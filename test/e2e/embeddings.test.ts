/** Embedding models on the head node alone, and every dialect's clients before the real llama-server. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import OpenAI from "openai";
import { expectedCompletion } from "../../scripts/recitation.ts";
import { writeEmbeddingModel } from "../../scripts/sample-embedding.ts";
import { readMessage } from "../core/translate/anthropic-client.ts";
import { eventsOf } from "../core/translate/recorded.ts";
import { type Lab, openLab } from "./lab.ts";
import type { Synaptic } from "./synaptic.ts";

setDefaultTimeout(60_000);

const WIDTH = 64;
const TEXTS = ["the first text.", "a second one, quite another."];

let lab: Lab;
let synaptic: Synaptic;
let openai: OpenAI;

beforeAll(async () => {
  lab = await openLab();
  const paths = { e: join(lab.folder, "e.gguf"), rank: join(lab.folder, "rank.gguf") };
  const [[backend], m] = await Promise.all([
    lab.backends(1),
    lab.model({ layers: 4, type: "F16" }),
    writeEmbeddingModel(paths.e, { width: WIDTH }),
    writeEmbeddingModel(paths.rank, { pooling: "rank" }),
  ]);
  const files = { m, ...paths };
  synaptic = await lab.serve({ config: lab.config(backend ? [backend.endpoint] : [], { models: { files } }) });
  openai = new OpenAI({ baseURL: `${synaptic.url}/v1`, apiKey: "-", maxRetries: 0 });
});

afterAll(async () => await lab[Symbol.asyncDispose]());

async function refusalOf(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => null,
    (error: unknown) => error,
  );
}

describe("an embedding model", () => {
  test("gives a vector for each text, the same in both encodings, from the head node alone", async () => {
    const asked = { model: "e", input: TEXTS };
    const usual = await openai.embeddings.create(asked);
    const floats = await openai.embeddings.create({ ...asked, encoding_format: "float" });
    expect(usual.data.map(({ index }) => index)).toEqual([0, 1]);
    for (const [at, { embedding }] of usual.data.entries()) {
      expect(embedding).toHaveLength(WIDTH);
      const same = floats.data[at]?.embedding ?? [];
      expect(Math.max(...embedding.map((value, i) => Math.abs(value - (same[i] ?? 9))))).toBeLessThan(1e-5);
    }
    expect(usual.data[0]?.embedding).not.toEqual(usual.data[1]?.embedding ?? []);
    const { plan, proof } = await synaptic.coordinator("e");
    expect(plan).toMatchObject({
      backends: [],
      pooling: "mean",
      reasons: [expect.stringMatching(/^an embedding model/)],
    });
    expect(proof).toMatchObject({ proven: true, problems: [] });
  });

  test("gives as many dimensions as are asked for, of length one", async () => {
    const { data } = await openai.embeddings.create({ model: "e", input: TEXTS, dimensions: 8 });
    for (const { embedding } of data) {
      expect(embedding).toHaveLength(8);
      expect(Math.hypot(...embedding)).toBeCloseTo(1, 4);
    }
    const more = await refusalOf(openai.embeddings.create({ model: "e", input: "a", dimensions: 65 }));
    expect(more).toMatchObject({ status: 400, param: "dimensions" });
  });

  test("writes nothing, and one that writes does not embed: 400 that names the model, without a load", async () => {
    const chat = openai.chat.completions.create({ model: "rank", messages: [{ role: "user", content: "hi" }] });
    expect(await refusalOf(chat)).toMatchObject({ status: 400, code: "unsupported_parameter", param: "model" });
    const embed = openai.embeddings.create({ model: "m", input: "a" });
    expect(await refusalOf(embed)).toMatchObject({ status: 400, code: "unsupported_parameter", param: "model" });
    const { coordinators } = await synaptic.status();
    expect(coordinators.map(({ model }) => model)).not.toContain("rank");
    expect(coordinators.map(({ model }) => model)).not.toContain("m");
  });

  test("refuses a text that is too long as OpenAI does, and an empty list", async () => {
    const long = refusalOf(openai.embeddings.create({ model: "e", input: "a ".repeat(400) }));
    expect(await long).toMatchObject({ status: 400, code: "context_length_exceeded", param: "input" });
    expect(await refusalOf(openai.embeddings.create({ model: "e", input: [] }))).toMatchObject({ status: 400 });
  });

  test("that ranks: each text gets its score", async () => {
    const response = await synaptic.post("/v1/rerank", { model: "rank", query: "which text", documents: TEXTS });
    const text = await response.text();
    expect(response.status, text).toBe(200);
    // llama-server's own answer.
    const { results } = JSON.parse(text) as { results: { index: number; relevance_score: number }[] };
    expect(results.map(({ index }) => index).toSorted()).toEqual([0, 1]);
    const nothing = await synaptic.post("/v1/rerank", { model: "rank", query: "which text" });
    expect(nothing.status).toBe(400);
  });
});

describe("a model that writes, on a real backend", () => {
  const ask = { model: "m", max_tokens: 400, messages: [{ role: "user" as const, content: "Please recite." }] };

  test("answers Anthropic's clients, whole and streamed, and counts what it is asked", async () => {
    const whole = await (await synaptic.post("/v1/messages?beta=true", ask)).json();
    const streamed = await synaptic.post("/v1/messages", { ...ask, stream: true });
    const { message } = readMessage(eventsOf(await streamed.text()));
    const text = await openai.chat.completions.create(ask);
    const said = [{ type: "text", text: text.choices[0]?.message.content ?? "" }];
    for (const each of [whole, message]) expect(each).toMatchObject({ content: said, stop_reason: "end_turn" });
    const counted = await (await synaptic.post("/v1/messages/count_tokens", ask)).json();
    expect(counted).toEqual({ input_tokens: text.usage?.prompt_tokens });
  });

  test("finds the prompt in its cache though the billing block has changed", async () => {
    const turn = async (cch: string) => {
      const billing = { type: "text", text: `x-anthropic-billing-header: cc_version=2.1; cch=${cch};` };
      const system = [billing, { type: "text", text: "You recite. ".repeat(10) }];
      const answer = await synaptic.post("/v1/messages", { ...ask, max_tokens: 4, system });
      // Our own answer.
      return ((await answer.json()) as { usage: { cache_read_input_tokens: number } }).usage;
    };
    await turn("fa690");
    expect((await turn("0b1c2")).cache_read_input_tokens).toBeGreaterThan(20);
  });

  test("answers clients of the Responses API, whole and streamed, also about what was said before", async () => {
    const asked = { model: "m", input: "Please recite." };
    const whole = await openai.responses.create(asked);
    const streamed = await openai.responses.stream(asked).finalResponse();
    expect(whole.output_text).toBe(expectedCompletion("Please recite."));
    expect(streamed.output).toMatchObject([{ content: [{ text: whole.output_text }] }]);
    const input = [
      { role: "user" as const, content: "Please recite." },
      { type: "item_reference" as const, id: streamed.output[0]?.id ?? "" },
      { role: "user" as const, content: "Again." },
    ];
    expect((await openai.responses.create({ model: "m", input })).status).toBe("completed");
  });
});
