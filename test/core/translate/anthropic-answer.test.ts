import { describe, expect, test } from "bun:test";
import { type ErrorCode, SynapticError } from "../../../src/core/errors.ts";
import { countOnNode, toAnthropicCount, toAnthropicMessage } from "../../../src/core/translate/anthropic-answer.ts";
import { anthropicErrorEvent, toAnthropicError } from "../../../src/core/translate/anthropic-error.ts";
import { firstCallOf } from "../../../src/core/translate/first-call.ts";
import { readOpenAiAnswer } from "../../../src/core/translate/gathered-answer.ts";
import { createNodeLines } from "../../../src/core/translate/node-events.ts";
import { fromUpstream } from "../../../src/core/upstream-error.ts";
import { recorded, recordedJson } from "./recorded.ts";

const identity = { id: "a1", model: "claude-x", createdS: 1_795_000_000 };

function message(body: unknown, prefill?: string) {
  const answer = toAnthropicMessage(readOpenAiAnswer(body), { identity, ...(prefill !== undefined && { prefill }) });
  if (!answer.ok) throw answer.error;
  return answer.body;
}
const choice = (fields: object, finish_reason = "stop") => ({
  choices: [{ index: 0, message: fields, finish_reason }],
});
const call = (text: string) => ({ id: "x", type: "function", function: { name: "f", arguments: text } });

describe("toAnthropicMessage()", () => {
  test("makes Anthropic's message out of a real answer", () => {
    expect(message(recordedJson("chat-tools"))).toEqual({
      id: "msg_a1",
      type: "message",
      role: "assistant",
      model: "claude-x",
      content: [
        { type: "thinking", thinking: "They want weather: 東京, then 🌍 time.\n", signature: "" },
        { type: "text", text: 'Let me look "both" up.\n' },
        { type: "tool_use", id: expect.any(String), name: "get_weather", input: { city: "東京", days: 2 } },
        { type: "tool_use", id: expect.any(String), name: "get_time", input: { zone: "JST" } },
      ],
      stop_reason: "tool_use",
      stop_sequence: null,
      usage: {
        input_tokens: expect.any(Number),
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: expect.any(Number),
        output_tokens: 20,
      },
    });
  });

  test("names the stop sequence, where llama-server's own endpoint says end_turn", () => {
    expect(message(recordedJson("chat-stop"))).toMatchObject({ stop_reason: "stop_sequence", stop_sequence: " up" });
    expect(recordedJson("messages-stop")).toMatchObject({ stop_reason: "end_turn", stop_sequence: " up" });
  });

  test("leaves out what the client gave the answer to go on from, once (facts/llamacpp.md j)", () => {
    expect(message(recordedJson("chat-prefill"), "Let me").content).toEqual([{ type: "text", text: ' look "both"' }]);
    expect(message(recordedJson("chat-prefill"), "Other").content).toEqual([
      { type: "text", text: 'Let me look "both"' },
    ]);
  });

  test("arguments that are no object are an error, unless the limit cut them off", () => {
    const broken = (finish: string) =>
      toAnthropicMessage(readOpenAiAnswer(choice({ content: null, tool_calls: [call('{"a":')] }, finish)), {
        identity,
      });
    expect(broken("tool_calls")).toMatchObject({ ok: false, error: { code: "upstream_error" } });
    expect(broken("length")).toMatchObject({ ok: true, body: { stop_reason: "max_tokens", content: [{ input: {} }] } });
    const deep = `{"a":${"[".repeat(200)}${"]".repeat(200)}}`;
    const answer = readOpenAiAnswer(choice({ content: null, tool_calls: [call(deep)] }, "tool_calls"));
    expect(toAnthropicMessage(answer, { identity })).toMatchObject({ ok: false });
    expect(message(choice({ content: null, tool_calls: [call("")] }, "tool_calls")).content).toMatchObject([
      { input: {} },
    ]);
  });

  test.each([
    [null],
    ["x"],
    [{}],
    [{ choices: [] }],
    [{ choices: 5 }],
    [choice({ content: {} })],
    [{ error: { message: "no" } }],
  ])("an answer that is none, %j, is an upstream's failure", (body) => {
    const answer = toAnthropicMessage(readOpenAiAnswer(body), { identity });
    expect(answer).toMatchObject({ ok: false, error: { code: "upstream_error" } });
  });

  test("reads a whole answer of an Ollama node, and one that was broken off", () => {
    const lines = createNodeLines({ model: "m", contextSize: 4096, param: "messages" });
    const body = { model: "m", message: { role: "assistant", content: "Yes" }, done: true, done_reason: "length" };
    expect(toAnthropicMessage(lines(body), { identity })).toMatchObject({
      ok: true,
      body: { content: [{ type: "text", text: "Yes" }], stop_reason: "max_tokens" },
    });
    expect(toAnthropicMessage(lines({ ...body, done: false }), { identity })).toMatchObject({ ok: false });
  });

  test("keeps the first call alone for who wants no more", () => {
    const events = firstCallOf(readOpenAiAnswer(recordedJson("chat-tools")));
    const answer = toAnthropicMessage(events, { identity });
    expect(answer.ok && answer.body.content).toMatchObject([{}, {}, { name: "get_weather" }]);
  });
});

describe("count_tokens", () => {
  test("is what llama-server counts", () => {
    expect(toAnthropicCount(recordedJson("chat-count"))).toEqual({
      ok: true,
      body: { input_tokens: expect.any(Number) },
    });
    expect(toAnthropicCount({})).toMatchObject({ ok: false, error: { code: "upstream_error" } });
  });

  test("is a clean 404 for a model on a node (facts/clients.md 5.50)", () => {
    expect(toAnthropicError(countOnNode())).toMatchObject({
      status: 404,
      body: { error: { type: "not_found_error" } },
    });
  });
});

const FORMS: Readonly<Record<ErrorCode, readonly [status: number, type: string]>> = {
  usage: [400, "invalid_request_error"],
  config_invalid: [500, "api_error"],
  config_missing: [500, "api_error"],
  bad_request: [400, "invalid_request_error"],
  context_length_exceeded: [400, "invalid_request_error"],
  unsupported_parameter: [400, "invalid_request_error"],
  forbidden: [403, "permission_error"],
  unknown_url: [404, "not_found_error"],
  method_not_allowed: [405, "invalid_request_error"],
  unauthorized: [401, "authentication_error"],
  model_not_found: [404, "not_found_error"],
  body_too_large: [413, "request_too_large"],
  too_busy: [429, "rate_limit_error"],
  model_unreadable: [500, "api_error"],
  coordinator_failed: [502, "api_error"],
  upstream_error: [502, "api_error"],
  does_not_fit: [503, "api_error"],
  no_backends: [529, "overloaded_error"],
  model_loading: [529, "overloaded_error"],
  shutting_down: [529, "overloaded_error"],
  coordinator_timeout: [504, "timeout_error"],
  upstream_timeout: [504, "timeout_error"],
  client_gone: [499, "invalid_request_error"],
  internal: [500, "api_error"],
};

// Object.entries loses the keys' type; FORMS has each code, or it would not compile.
const CODES = Object.entries(FORMS) as [ErrorCode, readonly [number, string]][];

describe("toAnthropicError()", () => {
  test.each(CODES)("%s is %j", (code, [status, type]) => {
    const error = toAnthropicError(new SynapticError(code, "Cannot go on", { hint: "wait" }), "req_1");
    expect(error.status).toBe(status);
    expect(error.body).toEqual({
      type: "error",
      error: { type, message: "Cannot go on (wait)" },
      request_id: "req_1",
    });
  });

  test("keeps the retry headers, which Anthropic's SDK obeys", () => {
    expect(toAnthropicError(new SynapticError("too_busy", "x", { retryAfterMs: 7000 })).headers).toEqual({
      "retry-after": "7",
    });
    expect(toAnthropicError(new SynapticError("bad_request", "x")).headers).toEqual({ "x-should-retry": "false" });
  });

  test("says what Claude Code looks for when a prompt is too long", () => {
    const error = toAnthropicError(fromUpstream(400, new TextDecoder().decode(recorded("chat-too-long"))));
    expect(error.status).toBe(400);
    expect(error.body.error.message).toMatch(/prompt is too long/);
    expect(error.body).not.toHaveProperty("request_id");
  });

  test("llama-server's own endpoint answers a client's fault in another form, with a 500", () => {
    expect(recordedJson("messages-refused")).toEqual({
      error: { code: 500, message: "'messages' is required", type: "server_error" },
    });
  });

  test("names the event in a stream, without which the SDK is silent (facts/clients.md 2a)", () => {
    expect(anthropicErrorEvent(new SynapticError("no_backends", "None"))).toBe(
      'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"None"}}\n\n',
    );
  });
});
