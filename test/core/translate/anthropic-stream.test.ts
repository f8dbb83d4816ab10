import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../../src/core/errors.ts";
import { createAnthropicStream } from "../../../src/core/translate/anthropic-stream.ts";
import { firstCallReader } from "../../../src/core/translate/first-call.ts";
import { createNodeReader } from "../../../src/core/translate/node-events.ts";
import { createOpenAiReader } from "../../../src/core/translate/openai-events.ts";
import { createRandom } from "../../fixtures/random.ts";
import { readMessage } from "./anthropic-client.ts";
import { bytesOf, cut, eventsOf, recorded, translate } from "./recorded.ts";

const identity = { id: "a1", model: "claude-x", createdS: 1_795_000_000 };
const stream = () => createAnthropicStream(createOpenAiReader(), identity);
const node = { model: "m", contextSize: 4096, param: "messages" };
const nodeStream = () => createAnthropicStream(createNodeReader(node), identity);

const read = (name: string) => readMessage(eventsOf(translate(stream(), [recorded(name)])));
const readText = (text: string) => readMessage(eventsOf(translate(stream(), [bytesOf(text)])));
const chunk = (fields: object) => `data: ${JSON.stringify({ object: "chat.completion.chunk", ...fields })}\n\n`;
const said = (delta: object, finish_reason: string | null = null) =>
  chunk({ choices: [{ index: 0, delta, finish_reason }] });
const called = (index: number, id: string | null, name: string | null, text: string) =>
  said({ tool_calls: [{ index, ...(id && { id }), function: { ...(name && { name }), arguments: text } }] });
const END = `${said({}, "stop")}data: [DONE]\n\n`;

describe("createAnthropicStream()", () => {
  test("makes thinking, text and two calls out of a real stream, each block closed before the next", () => {
    const { message, closed, error } = read("chat-tools-stream");
    expect(error).toBeNull();
    // On llama-server's own stream the SDK reports `tool_use` four times: all blocks are closed at its end.
    expect(closed).toEqual(["thinking", "text", "tool_use", "tool_use"]);
    expect(message).toMatchObject({
      id: "msg_a1",
      type: "message",
      role: "assistant",
      model: "claude-x",
      stop_reason: "tool_use",
      stop_sequence: null,
      content: [
        { type: "thinking", thinking: "They want weather: 東京, then 🌍 time.\n", signature: "" },
        { type: "text", text: 'Let me look "both" up.\n' },
        {
          type: "tool_use",
          id: expect.stringMatching(/^\w{32}$/),
          name: "get_weather",
          input: { city: "東京", days: 2 },
        },
        { type: "tool_use", id: expect.stringMatching(/^\w{32}$/), name: "get_time", input: { zone: "JST" } },
      ],
    });
  });

  test("llama-server's own stream of this request does not pass: blocks overlap", () => {
    const native = eventsOf(new TextDecoder().decode(recorded("messages-tools-stream")).trimEnd().concat("\n\n"));
    expect(() => readMessage(native)).toThrow("block 1 begins out of turn");
  });

  test("tells input tokens apart from those that the cache had, at the end", () => {
    const usage = { prompt_tokens: 40, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 30 } };
    const { message } = readText(`${said({ content: "x" }, "stop")}${chunk({ choices: [], usage })}data: [DONE]\n\n`);
    expect(message.usage).toEqual({
      input_tokens: 10,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 30,
      output_tokens: 7,
    });
  });

  test.each([
    ["chat-length-stream", "max_tokens", null],
    ["chat-stop-stream", "stop_sequence", " up"],
  ])("%s ends with %s", (name, reason, sequence) => {
    expect(read(name).message).toMatchObject({ stop_reason: reason, stop_sequence: sequence });
  });

  test.each([
    ["stop", "end_turn"],
    ["length", "max_tokens"],
    ["content_filter", "refusal"],
    ["tool_calls", "end_turn"],
  ])("finish_reason %s without a call is %s", (finish, reason) => {
    expect(readText(`${said({ content: "x" }, finish)}data: [DONE]\n\n`).message.stop_reason).toBe(reason);
  });

  test("gives the same text however the bytes are cut", () => {
    for (const name of ["chat-tools-stream", "chat-broken-stream", "chat-stop-stream"]) {
      const whole = translate(stream(), [recorded(name)]);
      for (let seed = 1; seed <= 40; seed++) {
        const pieces = cut(recorded(name), createRandom(seed));
        expect(translate(stream(), pieces), `${name}, seed ${seed}`).toBe(whole);
      }
    }
  });

  test("does not wait for the whole: each token goes out with its own bytes", () => {
    const translator = stream();
    translator.push(bytesOf(said({ role: "assistant", content: null })));
    expect(translator.push(bytesOf(said({ content: "Hal" })))).toContain('"text":"Hal"');
    expect(translator.push(bytesOf(said({ content: "lo" })))).toBe(
      'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}\n\n',
    );
    expect(translator.push(bytesOf(END))).toContain("event: message_stop");
    expect(translator.end()).toBe("");
  });

  test("a real error in the middle becomes Anthropic's, and nothing follows it (facts/clients.md 2a)", () => {
    const { message, error } = read("chat-broken-stream");
    expect(error).toEqual({ type: "api_error", message: expect.stringContaining("does not match the expected") });
    expect(message.stop_reason).toBeNull();
  });

  test("every stream that ends early says so, wherever it ends", () => {
    const bytes = recorded("chat-tools-stream");
    const end = new TextDecoder().decode(bytes).indexOf("data: [DONE]");
    const total = bytesOf(new TextDecoder().decode(bytes).slice(0, end)).length;
    for (let length = 0; length < total; length += 13) {
      const { error } = readMessage(eventsOf(translate(stream(), [bytes.subarray(0, length)])));
      expect(error, `after ${length} bytes`).toMatchObject({ type: "api_error" });
    }
  });

  test("[DONE] without a reason to finish is no end", () => {
    expect(readText(`${said({ content: "x" })}data: [DONE]\n\n`).error).toMatchObject({ type: "api_error" });
  });

  test("an error before the first piece is an error event alone", () => {
    const text = translate(stream(), [
      bytesOf('data: {"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}\n\n'),
    ]);
    expect(eventsOf(text)).toEqual([
      {
        name: "error",
        data: { type: "error", error: { type: "overloaded_error", message: expect.stringContaining("Loading") } },
      },
    ]);
  });

  test("keeps alive with Anthropic's ping, before and within the message, and not after it", () => {
    const translator = stream();
    const ping = 'event: ping\ndata: {"type":"ping"}\n\n';
    expect(translator.keepAlive()).toBe(ping);
    const begun = translator.push(bytesOf(said({ content: "x" })));
    expect(translator.keepAlive()).toBe(ping);
    expect(readMessage(eventsOf(ping + begun + ping + translator.push(bytesOf(END)))).error).toBeNull();
    expect(translator.keepAlive()).toBe("");
  });

  test("fail() ends it: one error, then silence", () => {
    const translator = stream();
    translator.push(bytesOf(said({ content: "x" })));
    expect(translator.fail(new SynapticError("upstream_timeout", "Too slow"))).toContain('"type":"timeout_error"');
    expect(translator.fail(new SynapticError("internal", "Again"))).toBe("");
    expect(translator.push(bytesOf(END)) + translator.end() + translator.keepAlive()).toBe("");
  });

  test("goes back to text after a call, and gives calls without an id one of its own", () => {
    const text = called(0, null, "f", "{}") + said({ content: "then" }) + called(1, null, "g", '{"a":1}') + END;
    expect(readText(text).message.content).toEqual([
      { type: "tool_use", id: "toolu_a1_1", name: "f", input: {} },
      { type: "text", text: "then" },
      { type: "tool_use", id: "toolu_a1_2", name: "g", input: { a: 1 } },
    ]);
  });

  test("tells calls apart that all have index 0 but ids of their own", () => {
    const text = called(0, "x", "f", "{}") + called(0, "y", "f", '{"a":1}') + END;
    expect(readText(text).message.content).toMatchObject([
      { id: "x", input: {} },
      { id: "y", input: { a: 1 } },
    ]);
  });

  test("waits for a call's name", () => {
    const text = called(0, "x", null, '{"a"') + called(0, null, "f", ":1}") + END;
    expect(readText(text).message.content).toEqual([{ type: "tool_use", id: "x", name: "f", input: { a: 1 } }]);
  });

  test.each([
    [
      "that go back to an earlier one",
      called(0, "x", "f", "{") + called(1, "y", "g", "{}") + called(0, null, null, "}") + END,
    ],
    ["that are begun anew", called(0, "x", "f", "{}") + called(1, "y", "g", "{}") + called(0, "x", "f", "{}") + END],
    ["that text comes between", called(0, "x", "f", "{") + said({ content: "?" }) + called(0, null, null, "}") + END],
    ["without a name", called(0, "x", null, "{}") + END],
  ])("calls %s are an error rather than guessed at", (_, text) => {
    expect(readText(text).error).toMatchObject({ type: "api_error" });
  });

  test("reads an Ollama node as well: thinking, text, a call, its counts", () => {
    const lines = [
      { message: { role: "assistant", content: "", thinking: "Hm" }, done: false },
      { message: { role: "assistant", content: "Yes" }, done: false },
      {
        message: { role: "assistant", content: "", tool_calls: [{ function: { name: "f", arguments: { a: 1 } } }] },
        done: false,
      },
      {
        message: { role: "assistant", content: "" },
        done: true,
        done_reason: "stop",
        prompt_eval_count: 9,
        eval_count: 4,
      },
    ].map((line) => `${JSON.stringify({ model: "m", created_at: "2026-11-24T00:00:00Z", ...line })}\n`);
    const { message } = readMessage(eventsOf(translate(nodeStream(), [bytesOf(lines.join(""))])));
    expect(message).toMatchObject({
      content: [
        { type: "thinking", thinking: "Hm" },
        { type: "text", text: "Yes" },
        { type: "tool_use", name: "f", input: { a: 1 } },
      ],
      stop_reason: "tool_use",
      usage: { input_tokens: 9, output_tokens: 4 },
    });
    const early = readMessage(eventsOf(translate(nodeStream(), [bytesOf(lines.slice(0, 3).join(""))])));
    expect(early.error).toMatchObject({ type: "api_error" });
  });

  test("passes one call only on to who wants no more, from nodes that take no notice", () => {
    const line = (name: string) => ({ function: { name, arguments: {} } });
    const answer = {
      message: { role: "assistant", content: "", tool_calls: [line("f"), line("g")] },
      done: true,
      done_reason: "stop",
    };
    const translator = createAnthropicStream(firstCallReader(createNodeReader(node)), identity);
    const { message } = readMessage(eventsOf(translate(translator, [bytesOf(`${JSON.stringify(answer)}\n`)])));
    expect(message.content).toMatchObject([{ name: "f" }]);
  });
});
