/** What Ollama's clients ask for, translated, put to the real llama-server, and its answers as they get them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { toOllamaAnswer } from "../../../src/core/translate/ollama-answer.ts";
import { toOllama } from "../../../src/core/translate/ollama-error.ts";
import { translateOllamaGenerate } from "../../../src/core/translate/ollama-generate.ts";
import { type OllamaRequest, translateOllamaChat } from "../../../src/core/translate/ollama-request.ts";
import { createOllamaStream } from "../../../src/core/translate/ollama-stream.ts";
import { fromUpstream } from "../../../src/core/upstream-error.ts";
import { type RealLlamaServer, startRealLlamaServer } from "../../fakes/real-llama-server.ts";
import { linesOf, ollamaOptions } from "./translated.ts";

const DEADLINE_MS = 20_000;
let server: RealLlamaServer;

beforeAll(async () => {
  server = await startRealLlamaServer();
}, 2 * DEADLINE_MS);
afterAll(() => server.stop());

async function send(request: OllamaRequest): Promise<Response> {
  if (!request.ok) throw request.error;
  if (request.action !== "ask") throw new Error(`it only says ${request.action}`);
  return await fetch(server.url + request.path, {
    method: "POST",
    headers: { authorization: `Bearer ${server.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify(request.body),
    keepalive: false,
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
}

async function streamed(request: OllamaRequest, kind: "chat" | "generate" = "chat") {
  const response = await send(request);
  if (!response.ok) throw new Error(await response.text());
  const translator = createOllamaStream(ollamaOptions({ kind }));
  let text = "";
  for await (const bytes of response.body ?? []) text += translator.push(bytes);
  return linesOf(text + translator.end());
}

const MESSAGES = [{ role: "user", content: "hi" }];
const EVERYTHING = {
  num_predict: 3,
  num_keep: 4,
  num_ctx: 2048,
  num_gpu: 1,
  seed: 7,
  temperature: 0,
  top_k: 40,
  top_p: 0.9,
  min_p: 0.05,
  typical_p: 1,
  repeat_last_n: -1,
  repeat_penalty: 1.1,
  presence_penalty: 0.1,
  frequency_penalty: 0.1,
  mirostat: 0,
  mirostat_tau: 5,
  mirostat_eta: 0.1,
  stop: ["never said"],
};

describe("the real engine", () => {
  test("takes all options of a chat at once, and streams", async () => {
    const request = { model: "m", messages: MESSAGES, options: EVERYTHING, think: "high", keep_alive: "5m" };
    const lines = await streamed(translateOllamaChat(request));
    expect(lines.map(({ message }) => (message as { content: string }).content).join("")).toBe("Synaptic turns the");
    expect(lines.at(-1)).toMatchObject({ done: true, done_reason: "length", eval_count: 3 });
    expect(lines.at(-1)?.prompt_eval_count).toBeGreaterThan(5);
  });

  test("takes tools, their calls and results", async () => {
    const tools = [
      { type: "function", function: { name: "f", description: "d", parameters: { type: "object", properties: {} } } },
    ];
    const called = { role: "assistant", content: "", tool_calls: [{ function: { name: "f", arguments: { a: 1 } } }] };
    const messages = [...MESSAGES, called, { role: "tool", content: "22", tool_name: "f" }];
    const lines = await streamed(translateOllamaChat({ model: "m", messages, tools, options: { num_predict: 2 } }));
    expect(lines.at(-1)).toMatchObject({ done: true });
  });

  test("keeps to a format in a chat, in a turn of generate and in raw text", async () => {
    const format = { type: "object", properties: { a: { type: "integer", minimum: 1, maximum: 9 } }, required: ["a"] };
    const asks = [
      [translateOllamaChat({ model: "m", messages: MESSAGES, format, stream: false }), "chat"],
      [translateOllamaGenerate({ model: "m", prompt: "hi", format, stream: false }), "generate"],
      [translateOllamaGenerate({ model: "m", prompt: "hi", raw: true, format, stream: false }), "generate"],
    ] as const;
    for (const [request, kind] of asks) {
      const answer = toOllamaAnswer(await (await send(request)).json(), ollamaOptions({ kind }));
      if (!answer.ok) throw answer.error;
      const { message, response } = answer.body as { message?: { content: string }; response?: string };
      expect(JSON.parse(message?.content ?? response ?? "")).toEqual({ a: expect.any(Number) });
    }
  });

  test("generates raw text and a rendered template", async () => {
    for (const own of [{ raw: true }, { template: "[{{ .Prompt }}]" }]) {
      const request = { model: "m", prompt: "hi", options: { num_predict: 2 }, logprobs: true, ...own };
      const lines = await streamed(translateOllamaGenerate(request), "generate");
      expect(lines.map(({ response }) => response).join("")).toBe("Synaptic turns");
      expect(lines[0]?.logprobs).toMatchObject([{ token: "Synaptic" }]);
    }
  });

  test("refuses a prompt that is too long, a gap it cannot fill and an image it cannot see as the client's fault", async () => {
    const image = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    const asks = [
      translateOllamaChat({ model: "m", messages: [{ role: "user", content: "word ".repeat(2000) }] }),
      translateOllamaGenerate({ model: "m", prompt: "a", suffix: "b" }),
      translateOllamaChat({ model: "m", messages: [{ role: "user", content: "x", images: [image] }] }),
    ];
    for (const request of asks) {
      const response = await send(request);
      const { status, body } = toOllama(fromUpstream(response.status, await response.text()), "m");
      expect([status, body.error.length > 0]).toEqual([400, true]);
    }
  });
});
