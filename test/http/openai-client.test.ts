/** OpenAI's own client in front of the app: against a fake coordinator that fails, and against the real llama-server. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import OpenAI, { APIError, AuthenticationError, BadRequestError, NotFoundError } from "openai";
import { expectedCompletion, RECITATION } from "../../scripts/recitation.ts";
import { createFakeClock } from "../fakes/clock.ts";
import { chatChunk, recite, refuse } from "../fakes/llama-answers.ts";
import { type RealLlamaServer, startRealLlamaServer } from "../fakes/real-llama-server.ts";
import type { FakeRuntimeOptions } from "../fakes/runtime.ts";
import { clearStages, type Stage, setStage } from "./stage.ts";

const MESSAGES = [{ role: "user" as const, content: "hi" }];

interface Client {
  readonly openai: OpenAI;
  /** Requests that it made. */
  requests(): number;
}

function clientOf({ url }: Stage, apiKey = "any"): Client {
  let requests = 0;
  const counting = (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    requests++;
    return fetch(input, init);
  };
  return { openai: new OpenAI({ baseURL: `${url}/v1`, apiKey, fetch: counting }), requests: () => requests };
}

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error("It succeeded");
}

describe("the client's errors", () => {
  afterEach(clearStages);

  test("an unknown model is a NotFoundError with code and param, after one request", async () => {
    const { openai, requests } = clientOf(setStage(recite));
    const error = await failureOf(openai.chat.completions.create({ model: "n", messages: MESSAGES }));
    expect(error).toBeInstanceOf(NotFoundError);
    expect(error).toMatchObject({ status: 404, code: "model_not_found", param: "model" });
    expect(requests()).toBe(1);
  });

  test("a wrong key is an AuthenticationError, after one request", async () => {
    const { openai, requests } = clientOf(setStage(recite, { env: { SYNAPTIC_API_KEY: "right" } }), "wrong");
    const error = await failureOf(openai.models.list());
    expect(error).toBeInstanceOf(AuthenticationError);
    expect(error).toMatchObject({ status: 401, code: "invalid_api_key" });
    expect(requests()).toBe(1);
  });

  test.each<[string, Parameters<typeof refuse>, string | null]>([
    ["a full context", [400, "exceeds", { type: "exceed_context_size_error", n_ctx: 8 }], "context_length_exceeded"],
    ["llama-server's 500 for a client's fault", [500, "image input is not supported"], null],
    ["llama-server's 501", [501, "This server does not support it"], "unsupported_parameter"],
  ])("%s is a BadRequestError, after one request", async (_, refusal, code) => {
    const { openai, requests } = clientOf(setStage(refuse(...refusal)));
    const error = await failureOf(openai.chat.completions.create({ model: "m", messages: MESSAGES }));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ status: 400, code });
    expect(requests()).toBe(1);
  });

  test("a silent upstream is not asked again by the client", async () => {
    const { openai, requests } = clientOf(setStage(() => {}, { config: { silenceMs: 50 } }));
    const error = await failureOf(openai.chat.completions.create({ model: "m", messages: MESSAGES }));
    expect(error).toMatchObject({ status: 504, code: "upstream_timeout" });
    expect(requests()).toBe(1);
  });

  test("a full queue is not seen: the client comes again after Retry-After, and succeeds", async () => {
    const first = Promise.withResolvers<void>();
    const stage = setStage(
      async (reply) => {
        if (stage.upstream.asked.length === 2) await first.promise;
        await recite(reply);
      },
      { slots: 1, own: { queue: { perModel: 1 } } },
    );
    const { openai, requests } = clientOf(stage);
    const ask = () => openai.chat.completions.create({ model: "m", messages: MESSAGES });
    // From then on it is known how long an answer takes: a moment, so that it comes again after the shortest time.
    await ask();
    const running = ask();
    await stage.upstream.request(1);
    const queued = ask();
    while (stage.runtime.waiting() === 0) await new Promise(setImmediate);
    const refusedFirst = ask();
    while (stage.runtime.records.length === 1) await new Promise(setImmediate);
    expect(stage.runtime.records[1]).toMatchObject({ status: 429, rejected: "queue_full" });
    first.resolve();
    for (const answer of [running, queued, refusedFirst]) {
      expect((await answer).choices[0]?.message.content).toBe(RECITATION);
    }
    expect(requests()).toBe(5);
  });

  test("a stream's comments about its place are not seen either", async () => {
    const clock = createFakeClock();
    const first = Promise.withResolvers<void>();
    const stage = setStage(
      async (reply) => {
        if (stage.upstream.asked.length === 1) await first.promise;
        await recite(reply);
      },
      { slots: 1, clock },
    );
    const { openai } = clientOf(stage);
    const running = openai.chat.completions.create({ model: "m", messages: MESSAGES });
    await stage.upstream.request(0);
    const streaming = openai.chat.completions.create({ model: "m", messages: MESSAGES, stream: true });
    while (stage.runtime.waiting() === 0) await new Promise(setImmediate);
    await clock.advance(30_000);
    const stream = await streaming;
    first.resolve();
    const chunks = await Array.fromAsync(stream);
    expect(chunks.map(({ choices: [choice] }) => choice?.delta.content ?? "").join("")).toBe(RECITATION);
    await running;
  });

  test("a stream that breaks is an APIError with its code, after the text so far, in all ways to read it", async () => {
    const { openai } = clientOf(
      setStage(async (reply) => {
        await reply.head();
        await reply.chunk(chatChunk({ role: "assistant", content: "So " }));
        await reply.chunk(chatChunk({ content: "far" }));
        await reply.end();
      }),
    );
    const body = { model: "m", messages: MESSAGES };
    let text = "";
    const error = await failureOf(
      (async () => {
        for await (const chunk of await openai.chat.completions.create({ ...body, stream: true })) {
          text += chunk.choices[0]?.delta.content ?? "";
        }
      })(),
    );
    expect(text).toBe("So far");
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject({ code: "upstream_error", type: "server_error" });
    const helper = await failureOf(openai.chat.completions.stream(body).finalChatCompletion());
    expect(helper).toMatchObject({ code: "upstream_error" });
  });
});

describe.each(["fake", "real"])("in front of the %s llama-server", (kind) => {
  let real: RealLlamaServer | null = null;
  let stage: Stage;
  let client: Client;

  beforeAll(async () => {
    const options: Omit<FakeRuntimeOptions, "url"> = { models: ["hf.co/u/r:Q4_K_M"] };
    if (kind === "real") real = await startRealLlamaServer();
    stage = setStage(recite, real ? { ...options, url: real.url, apiKey: real.apiKey } : options);
    client = clientOf(stage);
  });
  afterAll(async () => {
    await clearStages();
    await real?.stop();
  });

  test("a whole completion has all that the client's types promise", async () => {
    const answer = await client.openai.chat.completions.create({ model: "m", messages: MESSAGES });
    expect(answer).toMatchObject({ object: "chat.completion", model: "m", id: expect.any(String) });
    expect(answer.choices.map(({ message, finish_reason }) => [message.content, finish_reason])).toEqual([
      [RECITATION, "stop"],
    ]);
    const { prompt_tokens = 0, completion_tokens = 0, total_tokens } = answer.usage ?? {};
    expect(total_tokens).toBe(prompt_tokens + completion_tokens);
    expect(answer._request_id).toMatch(/^[\w-]{16,}$/);
  });

  test("a stream has role, words, one reason and its usage at the end", async () => {
    const stream = await client.openai.chat.completions.create({
      model: "m",
      messages: MESSAGES,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await Array.fromAsync(stream);
    expect(chunks[0]?.choices[0]?.delta.role).toBe("assistant");
    expect(chunks.map(({ choices: [choice] }) => choice?.delta.content ?? "").join("")).toBe(RECITATION);
    expect(chunks.flatMap(({ choices }) => choices.flatMap((choice) => choice.finish_reason ?? []))).toEqual(["stop"]);
    expect(new Set(chunks.map(({ id, model }) => `${id} ${model}`)).size).toBe(1);
    expect(chunks.filter(({ usage }) => usage).map(({ choices }) => choices)).toEqual([[]]);
  });

  test("the stream helper resolves with the same text", async () => {
    const answer = await client.openai.chat.completions
      .stream({ model: "m", messages: MESSAGES })
      .finalChatCompletion();
    expect(answer.choices[0]?.message.content).toBe(RECITATION);
  });

  test("a completion of a text, whole and streamed", async () => {
    const body = { model: "m", prompt: "x", max_tokens: 64 };
    const whole = await client.openai.completions.create(body);
    const chunks = await Array.fromAsync(await client.openai.completions.create({ ...body, stream: true }));
    expect(whole.choices[0]?.text).toStartWith("Synaptic turns the machines");
    expect(expectedCompletion("x")).toStartWith(whole.choices[0]?.text ?? "nothing");
    expect(chunks.map(({ choices: [choice] }) => choice?.text ?? "").join("")).toBe(whole.choices[0]?.text ?? "");
  });

  test("an abort in the middle frees the place", async () => {
    const stream = await client.openai.chat.completions.create({ model: "m", messages: MESSAGES, stream: true });
    for await (const _ of stream) break;
    stream.controller.abort();
    await stage.runtime.idle();
    expect(stage.runtime.busy()).toBe(0);
  });

  test("models are listed, and retrieved by a name with slashes and a colon", async () => {
    const ids = (await Array.fromAsync(client.openai.models.list())).map(({ id }) => id);
    expect(ids).toEqual(["m", "hf.co/u/r:Q4_K_M"]);
    expect(await client.openai.models.retrieve("hf.co/u/r:Q4_K_M")).toMatchObject({ id: "hf.co/u/r:Q4_K_M" });
  });
});

describe("the real llama-server", () => {
  let real: RealLlamaServer;
  let stage: Stage;
  let client: Client;
  beforeAll(async () => {
    real = await startRealLlamaServer();
    stage = setStage(recite, { url: real.url, apiKey: real.apiKey });
    client = clientOf(stage);
  });
  afterAll(async () => {
    await clearStages();
    await real.stop();
  });

  test("says that a prompt is too long in the way that clients recognise", async () => {
    const content = "word ".repeat(real.contextSize);
    const messages = [{ role: "user" as const, content }];
    const error = await failureOf(client.openai.chat.completions.create({ model: "m", messages }));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ code: "context_length_exceeded", param: "messages" });
    expect(String(error)).toContain(`maximum context length is ${real.contextSize} tokens`);
  });

  test("names the field of a bad value", async () => {
    // What the client's types forbid, other clients send.
    const body = { model: "m", messages: MESSAGES, temperature: "hot" as unknown as number };
    const error = await failureOf(client.openai.chat.completions.create(body));
    expect(error).toMatchObject({ status: 400, param: "temperature", code: "invalid_value" });
  });

  test("gets 16 requests at once, twice, without waiting for the connections of the first", async () => {
    const started = performance.now();
    for (let round = 0; round < 2; round++) {
      const body = { model: "m", messages: MESSAGES, max_tokens: 1 };
      await Promise.all(Array.from({ length: 16 }, () => client.openai.chat.completions.create(body)));
    }
    // An idle connection would hold one of its threads for 5 s.
    expect(performance.now() - started).toBeLessThan(4_000);
  });

  test("uses up the shared context by two requests at once: both hear of it, as of something that passes", async () => {
    // Its own parameter, which the client's types do not know.
    const body = { model: "m", messages: MESSAGES, stream: true as const, max_tokens: 5_000, ignore_eos: true };
    const read = async (): Promise<unknown> => Array.fromAsync(await client.openai.chat.completions.create(body));
    const errors = await Promise.all([failureOf(read()), failureOf(read())]);
    for (const error of errors) expect(error).toMatchObject({ code: "rate_limit_exceeded", type: "rate_limit_error" });
  });
});
