/** OpenAI's embeddings and rerankings in front of a coordinator and of Ollama nodes. */
import { afterEach, describe, expect, test } from "bun:test";
import OpenAI from "openai";
import { refuse } from "../fakes/llama-answers.ts";
import type { Script } from "../fakes/llama-server.ts";
import { chat, post } from "../fakes/runtime.ts";
import { clearPools, first, setPool } from "./pool-stage.ts";
import { clearStages, errorOf, type Stage, setStage } from "./stage.ts";

afterEach(clearStages);
afterEach(clearPools);

const VECTOR = [0.6, 0, 0.8, 0];

/** As llama-server 0.7.0 answers, in whichever encoding it is asked for. */
const embed: Script = async (reply) => {
  const { input, encoding_format } = JSON.parse(new TextDecoder().decode(reply.asked.body));
  const bytes = new Uint8Array(new Float32Array(VECTOR).buffer);
  const embedding = encoding_format === "base64" ? bytes.toBase64() : VECTOR;
  const texts: readonly unknown[] = Array.isArray(input) ? input : [input];
  const data = texts.map((_, index) => ({ embedding, index, object: "embedding" }));
  const usage = { prompt_tokens: 7, total_tokens: 7 };
  await reply.whole(200, JSON.stringify({ model: "m", object: "list", usage, data }));
};

function clientOf({ url }: Stage): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
}

function embedder(script: Script = embed): Stage {
  const stage = setStage(script);
  stage.runtime.pooling = "mean";
  return stage;
}

const near = (vector: readonly number[]) => vector.map((value) => expect.closeTo(value, 5));

describe("on a coordinator", () => {
  test("an answer passes as it is, asked for with the client's own bytes", async () => {
    const stage = embedder();
    const body = '{"model":"m", "input":["a","b"], "own": 1}';
    const response = await stage.fetch("/v1/embeddings", post(body));
    expect(await response.json()).toMatchObject({ data: [{ index: 0 }, { index: 1 }] });
    expect(new TextDecoder().decode(stage.upstream.asked[0]?.body)).toBe(body);
    expect(stage.upstream.asked[0]?.path).toBe("/v1/embeddings");
  });

  test("fewer dimensions than the model has are of length one, in either encoding", async () => {
    const { embeddings } = clientOf(embedder());
    const asked = { model: "m", input: "a", dimensions: 2 };
    const usual = await embeddings.create(asked);
    const floats = await embeddings.create({ ...asked, encoding_format: "float" });
    expect(usual.data[0]?.embedding).toEqual(near([1, 0]));
    expect(floats.data[0]?.embedding).toEqual(near([1, 0]));
    expect(usual.usage).toEqual({ prompt_tokens: 7, total_tokens: 7 });
  });

  test.each([
    ["no input", { model: "m" }, "input"],
    ["an empty list", { model: "m", input: [] }, "input"],
    ["more dimensions than there are", { model: "m", input: "a", dimensions: 5 }, "dimensions"],
    ["no number of dimensions", { model: "m", input: "a", dimensions: 0 }, "dimensions"],
    ["an unknown encoding", { model: "m", input: "a", encoding_format: "hex" }, "encoding_format"],
    ["an unknown model", { model: "n", input: "a" }, "model"],
  ])("%s is the client's fault", async (_, body, param) => {
    const response = await embedder().fetch("/v1/embeddings", post(JSON.stringify(body)));
    expect(response.status).toBeLessThan(500);
    expect(await errorOf(response)).toMatchObject({ type: "invalid_request_error", param });
  });

  test("a model that writes does not embed, and one that embeds does not write: nobody is asked", async () => {
    const writer = setStage(embed);
    const refused = await writer.fetch("/v1/embeddings", post('{"model":"m","input":"a"}'));
    expect(await errorOf(refused)).toMatchObject({ code: "unsupported_parameter", param: "model" });
    const stage = embedder();
    const unwritten: readonly (readonly [string, string])[] = [
      ["/v1/chat/completions", chat()],
      ["/v1/completions", '{"model":"m","prompt":"a"}'],
      ["/v1/responses", '{"model":"m","input":"a"}'],
      ["/v1/messages", '{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"a"}]}'],
      ["/api/chat", chat()],
      ["/v1/rerank", '{"model":"m","query":"a","documents":["b"]}'],
    ];
    for (const [path, body] of unwritten) {
      const response = await stage.fetch(path, post(body));
      expect([path, response.status]).toEqual([path, 400]);
    }
    expect([...writer.upstream.asked, ...stage.upstream.asked]).toEqual([]);
  });

  test("a text that is too long is 400 with OpenAI's code, not llama-server's 500", async () => {
    const said =
      "input (302 tokens) is too large to process. increase the physical batch size (current batch size: 256)";
    const response = await embedder(refuse(500, said)).fetch("/v1/embeddings", post('{"model":"m","input":"a"}'));
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ code: "context_length_exceeded", param: "input" });
  });

  test("Ollama's clients get theirs, too", async () => {
    const stage = embedder();
    const ask = async (path: string, body: object) =>
      await (await stage.fetch(path, post(JSON.stringify({ model: "m", ...body })))).json();
    const both = { model: "m", embeddings: [near(VECTOR), near(VECTOR)], prompt_eval_count: 7 };
    expect(await ask("/api/embed", { input: ["a", "b"] })).toMatchObject(both);
    expect(await ask("/api/embed", { input: "a", dimensions: 2 })).toMatchObject({ embeddings: [near([1, 0])] });
    expect(await ask("/api/embeddings", { prompt: "a" })).toEqual({ embedding: near(VECTOR) });
    expect(await ask("/api/embed", { input: [] })).toEqual({ model: "m", embeddings: [] });
    expect(stage.upstream.asked).toHaveLength(3);
  });

  test("a ranking passes as it is; without texts it is refused", async () => {
    const answer = '{"results":[{"index":0,"relevance_score":0.5}]}';
    const stage = setStage((reply) => reply.whole(200, answer));
    stage.runtime.pooling = "rank";
    for (const path of ["/v1/rerank", "/v1/reranking"]) {
      const body = '{"model":"m","query":"a","documents":["b"]}';
      expect(await (await stage.fetch(path, post(body))).text()).toBe(answer);
    }
    expect(stage.upstream.asked.map(({ path }) => path)).toEqual(["/v1/rerank", "/v1/rerank"]);
    const refused = await stage.fetch("/v1/rerank", post('{"model":"m","query":"a"}'));
    expect(await errorOf(refused)).toMatchObject({ param: "documents" });
  });
});

test("a ranking goes to the head node where a node has the model too, since none can rank", async () => {
  const stage = setStage((reply) => reply.whole(200, "{}"));
  stage.runtime.pooling = "rank";
  const { route } = stage.runtime.dispatch;
  stage.runtime.dispatch.route = async (model, signal) => {
    const decision = { kind: "pool", urls: ["http://10.0.0.9:11434"], reserve: [], reason: "" } as const;
    return { ...(await route(model, signal)), decision };
  };
  const response = await stage.fetch("/v1/rerank", post('{"model":"m","query":"a","documents":["b"]}'));
  expect([response.status, response.headers.get("x-synaptic-route")]).toEqual([200, "shard"]);
});

describe("on a node", () => {
  test("each text has its vector, the same in both encodings", async () => {
    const { nodes, client } = await setPool(1);
    const asked = { model: "m", input: ["a", "b"] };
    const usual = await client.embeddings.create(asked);
    const floats = await client.embeddings.create({ ...asked, encoding_format: "float" });
    for (const { data } of [usual, floats]) {
      expect(data.map(({ index }) => index)).toEqual([0, 1]);
      expect(data.map(({ embedding }) => embedding)).toEqual([near([0.6, 0.8]), near([0.6, 0.8])]);
    }
    expect(first(nodes).errands).toMatchObject([
      ["POST /api/embed", { model: "m:latest", truncate: false, input: ["a", "b"] }],
      ["POST /api/embed", {}],
    ]);
  });

  test("tokens are refused, and so are rankings: it takes text only", async () => {
    const { client, url } = await setPool(1);
    const tokens = client.embeddings.create({ model: "m", input: [1, 2] });
    const error = await tokens.then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ status: 400, param: "input" });
    const rank = await fetch(`${url}/v1/rerank`, post('{"model":"m","query":"a","documents":["b"]}'));
    expect(rank.status).toBe(400);
    expect(await errorOf(rank)).toMatchObject({ code: "unsupported_parameter", param: "model" });
  });
});
