/** The fake llama-server is kept honest: what it says when all is well, the real one says too. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { RECITATION } from "../../scripts/recitation.ts";
import { createSseReader } from "../../src/core/sse.ts";
import { recite } from "../fakes/llama-answers.ts";
import { startFakeLlamaServer } from "../fakes/llama-server.ts";
import { startRealLlamaServer } from "../fakes/real-llama-server.ts";

interface Server {
  readonly url: string;
  readonly apiKey: string;
  stop(): unknown;
}

const SERVERS: Readonly<Record<string, () => Server | Promise<Server>>> = {
  fake: () => ({ ...startFakeLlamaServer(recite), apiKey: "any" }),
  real: startRealLlamaServer,
};

const MESSAGES = [{ role: "user", content: "hi" }];

interface Chunk {
  readonly id: string;
  readonly object: string;
  readonly created: number;
  readonly model: string;
  readonly usage?: Readonly<Record<string, unknown>>;
  readonly choices: readonly {
    readonly finish_reason: string | null;
    readonly delta?: { readonly role?: string; readonly content?: string | null };
    readonly message?: { readonly role: string; readonly content: string };
    readonly text?: string;
  }[];
}

describe.each(Object.keys(SERVERS))("the %s llama-server", (name) => {
  let server: Server;
  beforeAll(async () => {
    const start = SERVERS[name];
    if (start) server = await start();
  });
  afterAll(() => server?.stop());

  const send = (path: string, body: unknown): Promise<Response> =>
    fetch(`${server.url}${path}`, {
      method: "POST",
      body: typeof body === "string" ? body : JSON.stringify(body),
      headers: { "content-type": "application/json", authorization: `Bearer ${server.apiKey}` },
      keepalive: false,
    });
  const streamed = async (path: string, body: object): Promise<readonly string[]> => {
    const response = await send(path, { ...body, stream: true });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("transfer-encoding")).toBe("chunked");
    return createSseReader()(await response.text());
  };
  const chunks = (events: readonly string[]): readonly Chunk[] =>
    events.filter((data) => data !== "[DONE]").map((data) => JSON.parse(data) as Chunk);

  test("recites in a whole chat completion", async () => {
    const answer = (await (await send("/v1/chat/completions", { model: "m", messages: MESSAGES })).json()) as Chunk;
    const [choice] = answer.choices;
    expect(choice?.message).toEqual({ role: "assistant", content: RECITATION });
    expect(choice?.finish_reason).toBe("stop");
    expect(answer).toMatchObject({ object: "chat.completion", model: "m", id: expect.stringMatching(/^chatcmpl-/) });
    expect(answer.usage).toMatchObject({ prompt_tokens: expect.any(Number), total_tokens: expect.any(Number) });
  });

  test("streams a chat: role, words, finish, usage, [DONE], all with one id", async () => {
    const body = { model: "m", messages: MESSAGES, max_tokens: 3, stream_options: { include_usage: true } };
    const events = await streamed("/v1/chat/completions", body);
    expect(events.at(-1)).toBe("[DONE]");
    const all = chunks(events);
    expect(new Set(all.map(({ id, object, created }) => `${id} ${object} ${created}`)).size).toBe(1);
    expect(all.map(({ choices: [choice] }) => choice && [choice.delta, choice.finish_reason])).toEqual([
      [{ role: "assistant", content: null }, null],
      [{ content: "Synaptic" }, null],
      [{ content: " turns" }, null],
      [{ content: " the" }, null],
      [{}, "length"],
      undefined,
    ]);
    expect(all.at(-1)?.usage).toMatchObject({ completion_tokens: 3 });
  });

  test("streams a completion: words, then the reason with the usage, then [DONE]", async () => {
    const events = await streamed("/v1/completions", { model: "m", prompt: "x", max_tokens: 2 });
    expect(events.at(-1)).toBe("[DONE]");
    const all = chunks(events);
    expect(all.map(({ choices: [choice] }) => choice && [choice.text, choice.finish_reason])).toEqual([
      ["Synaptic", null],
      [" turns", null],
      ["", "length"],
    ]);
    expect(all.at(-1)?.usage).toMatchObject({ completion_tokens: 2 });
  });

  test("sends one event per write, each ended by a blank line", async () => {
    const response = await send("/v1/chat/completions", { model: "m", messages: MESSAGES, stream: true });
    for await (const piece of response.body ?? []) expect(new TextDecoder().decode(piece)).toEndWith("\n\n");
  });

  test.each([
    ["not JSON", "/v1/chat/completions", "{bad", 400, "invalid_request_error"],
    ["no messages", "/v1/chat/completions", { model: "m" }, 400, "invalid_request_error"],
    ["an unknown path", "/v1/nothing", {}, 404, "not_found_error"],
    ["embeddings, which are off", "/v1/embeddings", { input: "x" }, 501, "not_supported_error"],
  ])("refuses %s with a number as code and no param", async (_, path, body, status, type) => {
    const response = await send(path, body);
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual({ error: { code: status, type, message: expect.any(String) } });
  });

  test("answers /health with 200 and its own headers", async () => {
    const response = await fetch(`${server.url}/health`, { keepalive: false });
    expect(response.status).toBe(200);
    expect(response.headers.get("server")).toBe("llama.cpp");
    expect(response.headers.get("access-control-allow-origin")).toBe("");
  });
});
