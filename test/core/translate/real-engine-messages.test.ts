/** What Anthropic's and the Responses API's clients ask for, translated, put to the real llama-server. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { toAnthropicCount, toAnthropicMessage } from "../../../src/core/translate/anthropic-answer.ts";
import { toAnthropicError } from "../../../src/core/translate/anthropic-error.ts";
import { fromAnthropicCount, fromAnthropicRequest } from "../../../src/core/translate/anthropic-request.ts";
import { createAnthropicStream } from "../../../src/core/translate/anthropic-stream.ts";
import { readOpenAiAnswer } from "../../../src/core/translate/gathered-answer.ts";
import { createOpenAiReader } from "../../../src/core/translate/openai-events.ts";
import { toResponse } from "../../../src/core/translate/responses-answer.ts";
import { fromResponsesRequest } from "../../../src/core/translate/responses-request.ts";
import type { TranslatedRequest } from "../../../src/core/translate/types.ts";
import { fromUpstream } from "../../../src/core/upstream-error.ts";
import { type RealLlamaServer, startRealLlamaServer } from "../../fakes/real-llama-server.ts";
import { readMessage } from "./anthropic-client.ts";
import { eventsOf } from "./recorded.ts";

const DEADLINE_MS = 20_000;
const identity = { id: "a1", model: "claude-x", createdS: 1_795_000_000 };
const HI = [{ role: "user", content: "hi" }];
const TOOL = { name: "f", description: "d", input_schema: { type: "object", properties: {} } };
let server: RealLlamaServer;

beforeAll(async () => {
  server = await startRealLlamaServer();
}, 2 * DEADLINE_MS);
afterAll(() => server.stop());

async function send(request: TranslatedRequest): Promise<Response> {
  if (!request.ok) throw request.error;
  return await fetch(server.url + request.path, {
    method: "POST",
    headers: { authorization: `Bearer ${server.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify(request.body),
    keepalive: false,
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
}

async function answerOf(request: TranslatedRequest) {
  const response = await send(request);
  const text = await response.text();
  if (!response.ok) throw fromUpstream(response.status, text);
  return readOpenAiAnswer(JSON.parse(text));
}

async function message(fields: object) {
  const request = fromAnthropicRequest({ model: "m", max_tokens: 3, messages: HI, ...fields });
  const answer = toAnthropicMessage(await answerOf(request), { identity, prefill: request.ok ? request.prefill : "" });
  if (!answer.ok) throw answer.error;
  return answer.body;
}

describe("the real engine, spoken to as Anthropic", () => {
  test("takes a round of tools and all settings at once, and streams", async () => {
    const messages = [
      ...HI,
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "hm" },
          { type: "tool_use", id: "t", name: "f", input: {} },
        ],
      },
      {
        role: "user",
        content: [
          { type: "tool_result", tool_use_id: "t", content: "22" },
          { type: "text", text: "so?" },
        ],
      },
    ];
    const settings = {
      temperature: 0,
      top_k: 40,
      top_p: 0.9,
      stop_sequences: ["never said"],
      thinking: { type: "disabled" },
    };
    const body = { model: "m", max_tokens: 3, system: "s", messages, tools: [TOOL], stream: true, ...settings };
    const response = await send(fromAnthropicRequest(body));
    const translator = createAnthropicStream(createOpenAiReader(), identity);
    let text = "";
    for await (const bytes of response.body ?? []) text += translator.push(bytes);
    expect(readMessage(eventsOf(text + translator.end())).message).toMatchObject({
      content: [{ type: "text", text: "Synaptic turns the" }],
      stop_reason: "max_tokens",
      usage: { output_tokens: 3 },
    });
  });

  test("names the stop sequence that it met", async () => {
    expect(await message({ max_tokens: 30, stop_sequences: ["zz", " machines"] })).toMatchObject({
      content: [{ text: "Synaptic turns the" }],
      stop_reason: "stop_sequence",
      stop_sequence: " machines",
    });
  });

  test("goes on from a prefill without repeating it", async () => {
    const messages = [...HI, { role: "assistant", content: " every layer of" }];
    expect(await message({ messages })).toMatchObject({ content: [{ text: " this small model" }] });
  });

  test("a billing block that changes does not cost the cache (facts/clients.md 5.49)", async () => {
    const turn = (cch: string) =>
      message({
        system: [
          { type: "text", text: `x-anthropic-billing-header: cc_version=2.1.37.0d9; cc_entrypoint=cli; cch=${cch};` },
          { type: "text", text: "You are a careful assistant that is told this only once." },
        ],
      });
    await turn("fa690");
    const { usage } = await turn("1c8b4");
    expect(usage).toMatchObject({ input_tokens: 1, cache_read_input_tokens: expect.any(Number) });
  });

  test("counts as many tokens as the request then has", async () => {
    const body = { model: "m", system: "s", messages: HI, tools: [TOOL] };
    const response = await send(fromAnthropicCount(body));
    const counted = toAnthropicCount(await response.json());
    const { usage } = await message(body);
    const { input_tokens, cache_read_input_tokens } = {
      input_tokens: 0,
      cache_read_input_tokens: 0,
      ...(usage as object),
    };
    expect(counted).toEqual({ ok: true, body: { input_tokens: input_tokens + cache_read_input_tokens } });
  });

  test("refuses what is too long, and images that it can't see, as the client's fault", async () => {
    const long = await message({ messages: [{ role: "user", content: "hi ".repeat(4000) }] }).catch(toAnthropicError);
    expect(long).toMatchObject({
      status: 400,
      body: { error: { message: expect.stringContaining("prompt is too long") } },
    });
    const image = { type: "image", source: { type: "base64", media_type: "image/png", data: "iVBORw0KGgo=" } };
    const blind = await message({ messages: [{ role: "user", content: [image] }] }).catch(toAnthropicError);
    expect(blind).toMatchObject({ status: 400, body: { error: { type: "invalid_request_error" } } });
  });
});

describe("the real engine, spoken to through the Responses API", () => {
  test("answers a conversation with a schema and settings", async () => {
    const schema = { type: "object", properties: { a: { type: "integer", minimum: 1, maximum: 9 } }, required: ["a"] };
    const request = fromResponsesRequest({
      model: "m",
      instructions: "s",
      input: [
        { role: "user", content: [{ type: "input_text", text: "hi" }] },
        { type: "reasoning", summary: [{ type: "summary_text", text: "hm" }] },
        { type: "function_call", call_id: "c", name: "f", arguments: "{}" },
        { type: "function_call_output", call_id: "c", output: "22" },
      ],
      max_output_tokens: 300,
      temperature: 0,
      text: { format: { type: "json_schema", name: "n", schema } },
    });
    if (!request.ok) throw request.error;
    const answer = toResponse(await answerOf(request), { identity, echo: request.echo });
    expect(answer).toMatchObject({
      ok: true,
      body: {
        status: "completed",
        output: [{ type: "message", content: [{ text: expect.stringMatching(/^\{\s*"a"\s*:\s*\d\s*\}$/) }] }],
      },
    });
  });
});
