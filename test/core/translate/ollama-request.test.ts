/** Requests of Ollama's clients as llama-server gets them: one golden pair per fact. */
import { describe, expect, test } from "bun:test";
import type { OllamaRequest } from "../../../src/core/translate/ollama-request.ts";
import { translateOllamaChat } from "../../../src/core/translate/ollama-request.ts";

const USER = { role: "user", content: "hi" };
const BASE = { model: "m", messages: [USER] };

function asked(request: OllamaRequest) {
  if (!request.ok) throw request.error;
  if (request.action !== "ask") throw new Error(`it only says ${request.action}`);
  return request;
}

function refusal(request: OllamaRequest) {
  if (request.ok) throw new Error("it was not refused");
  const { code, param, message } = request.error;
  return { code, param, message };
}

const bodyOf = (own: object) => asked(translateOllamaChat({ ...BASE, ...own })).body;
const messagesOf = (...messages: readonly object[]) => bodyOf({ messages }).messages;

describe("a chat", () => {
  test("streams unless told not to, and asks for counts then (facts/clients.md 3a)", () => {
    const streamed = asked(translateOllamaChat(BASE));
    expect(streamed.path).toBe("/v1/chat/completions");
    expect(streamed.body).toEqual({ ...BASE, stream: true, stream_options: { include_usage: true } });
    expect(bodyOf({ stream: false })).toEqual({ ...BASE, stream: false });
  });

  test("says beside it what is no business of the upstream's", () => {
    const request = { ...BASE, keep_alive: "5m", options: { num_ctx: 8192 }, stream: false };
    expect(asked(translateOllamaChat(request)).wants).toEqual({
      model: "m",
      stream: false,
      keepAliveMs: 300_000,
      contextSize: 8192,
      topLogprobs: false,
      dimensions: null,
      truncate: true,
    });
  });

  test("takes Home Assistant's request as it comes (facts/clients.md 1a)", () => {
    const { body, wants } = asked(
      translateOllamaChat({ ...BASE, options: { num_ctx: 8192 }, keep_alive: -1, think: false, tools: [], format: "" }),
    );
    expect(body).toMatchObject({ chat_template_kwargs: { enable_thinking: false } });
    expect(body).not.toContainKeys(["tools", "response_format", "num_ctx", "keep_alive"]);
    expect(wants.keepAliveMs).toBe(Number.POSITIVE_INFINITY);
  });

  test("has its options as fields of llama-server's, and leaves out what belongs to a load", () => {
    const options = {
      num_predict: 7.9,
      num_keep: 4,
      seed: 42,
      temperature: 0.1,
      top_k: 3,
      top_p: 0.5,
      min_p: 0.2,
      typical_p: 0.9,
      repeat_last_n: 64,
      repeat_penalty: 1.1,
      presence_penalty: 0.3,
      frequency_penalty: 0.4,
      mirostat: 0,
      stop: ["a", "", "b"],
      num_gpu: 99,
      num_thread: 2,
      numa: true,
      num_batch: null,
      n_discard: -5,
    };
    const { model, messages, stream, stream_options, ...fields } = bodyOf({ options });
    expect(fields).toEqual({
      max_tokens: 7,
      n_keep: 4,
      seed: 42,
      temperature: 0.1,
      top_k: 3,
      top_p: 0.5,
      min_p: 0.2,
      typical_p: 0.9,
      repeat_last_n: 64,
      repeat_penalty: 1.1,
      presence_penalty: 0.3,
      frequency_penalty: 0.4,
      mirostat: 0,
      stop: ["a", "b"],
    });
  });

  test("without a limit has none, since llama-server refuses numbers below -1 (measured, 0.7.0)", () => {
    for (const num_predict of [-1, -2, null, 2 ** 31])
      expect(bodyOf({ options: { num_predict } })).not.toContainKey("max_tokens");
    expect(bodyOf({ options: { num_predict: 0 } })).toMatchObject({ max_tokens: 0 });
  });

  test("looks back over the whole context for -1, and never so far that memory goes (measured, 0.7.0)", () => {
    const lookBack = (options: object) => bodyOf({ options }).repeat_last_n;
    expect(lookBack({ repeat_last_n: -1 })).toBe(32_768);
    expect(lookBack({ repeat_last_n: -1, num_ctx: 131_072 })).toBe(131_072);
    expect(lookBack({ repeat_last_n: 2 ** 31 - 1 })).toBe(2 ** 20);
    expect(lookBack({ repeat_last_n: 0 })).toBe(0);
  });

  test("has a seed of 32 bits, or a random one", () => {
    expect(bodyOf({ options: { seed: -7 } })).toMatchObject({ seed: -1 });
    expect(bodyOf({ options: { seed: 2 ** 32 + 5 } })).toMatchObject({ seed: 5 });
  });

  test("asks for JSON or for a schema (facts/clients.md 3a)", () => {
    expect(bodyOf({ format: "json" })).toMatchObject({ response_format: { type: "json_object" } });
    const schema = { type: "object", properties: { a: { type: "integer" } } };
    const json_schema = { name: "schema", schema };
    expect(bodyOf({ format: schema })).toMatchObject({ response_format: { type: "json_schema", json_schema } });
    for (const format of ["", null]) expect(bodyOf({ format })).not.toContainKey("response_format");
  });

  test("thinks, or does not, as the template is told", () => {
    const told = (think: unknown) => bodyOf({ think }).chat_template_kwargs;
    expect(told(true)).toEqual({ enable_thinking: true });
    expect(told("high")).toEqual({ enable_thinking: true, reasoning_effort: "high" });
    expect(told(null)).toBeUndefined();
  });

  test("asks for at least one logprob, since without a number llama-server gives none", () => {
    expect(bodyOf({ logprobs: true })).toMatchObject({ logprobs: true, top_logprobs: 1 });
    const { body, wants } = asked(translateOllamaChat({ ...BASE, logprobs: true, top_logprobs: 5 }));
    expect(body).toMatchObject({ top_logprobs: 5 });
    expect(wants.topLogprobs).toBeTrue();
    expect(bodyOf({ top_logprobs: 5 })).not.toContainKeys(["logprobs", "top_logprobs"]);
  });

  test("keeps its tools as they are", () => {
    const tool = { type: "function", function: { name: "f", description: "d", parameters: { type: "object" } } };
    expect(bodyOf({ tools: [tool] }).tools).toEqual([tool]);
    expect(bodyOf({ tools: [{ function: { name: "f" } }] }).tools).toEqual([
      { type: "function", function: { name: "f" } },
    ]);
  });
});

describe("messages", () => {
  test("have images as parts, their kind told from their first bytes", () => {
    const kinds = {
      png: "iVBORw0KGgoAAAANSUhE",
      jpeg: "/9j/4AAQSkZJRgABAQAA",
      gif: "R0lGODlhAQABAIAAAAAA",
      webp: "UklGRhoAAABXRUJQVlA4",
    };
    for (const [kind, data] of Object.entries(kinds)) {
      const url = `data:image/${kind};base64,${data}`;
      expect(messagesOf({ ...USER, images: [data] })).toEqual([
        {
          role: "user",
          content: [
            { type: "text", text: "hi" },
            { type: "image_url", image_url: { url } },
          ],
        },
      ]);
    }
    const wave = "UklGRiQAAABXQVZFZm10";
    expect(messagesOf({ role: "user", images: [wave] })).toEqual([
      { role: "user", content: [{ type: "input_audio", input_audio: { data: wave, format: "wav" } }] },
    ]);
  });

  test("never have an image by its address: llama-server would fetch it (facts/clients.md 3)", () => {
    for (const image of ["http://10.0.0.1/a.png", "HTTPS://a/b", "file:///etc/passwd"]) {
      expect(refusal(translateOllamaChat({ ...BASE, messages: [{ ...USER, images: [image] }] }))).toMatchObject({
        code: "unsupported_parameter",
        param: "messages[0].images[0]",
      });
    }
    const broken = { ...BASE, messages: [{ ...USER, images: ["not base64!"] }] };
    expect(refusal(translateOllamaChat(broken))).toMatchObject({ code: "bad_request" });
  });

  test("have calls with their arguments as text, and results with the id of their call", () => {
    const call = (name: string, args: object) => ({ function: { name, arguments: args } });
    const history = messagesOf(
      USER,
      {
        role: "assistant",
        content: "",
        thinking: "hm",
        tool_calls: [call("f", { a: 1 }), call("g", {}), call("f", { a: 2 })],
      },
      { role: "tool", content: "of g", tool_name: "g" },
      { role: "tool", content: "of f1", tool_name: "f" },
      { role: "tool", content: "of f2" },
    );
    const sent = (id: string, name: string, args: string) => ({
      id,
      type: "function",
      function: { name, arguments: args },
    });
    expect(history).toEqual([
      USER,
      {
        role: "assistant",
        content: "",
        reasoning_content: "hm",
        tool_calls: [sent("call_1_0", "f", '{"a":1}'), sent("call_1_1", "g", "{}"), sent("call_1_2", "f", '{"a":2}')],
      },
      { role: "tool", content: "of g", name: "g", tool_call_id: "call_1_1" },
      { role: "tool", content: "of f1", name: "f", tool_call_id: "call_1_0" },
      { role: "tool", content: "of f2", name: "f", tool_call_id: "call_1_2" },
    ]);
  });

  test("keep ids that the client sends", () => {
    const tool_calls = [{ id: "abc", function: { name: "f", arguments: {} } }];
    expect(
      messagesOf({ role: "Assistant", content: null, tool_calls }, { role: "tool", content: "x", tool_call_id: "abc" }),
    ).toMatchObject([
      { role: "assistant", content: "", tool_calls: [{ id: "abc" }] },
      { tool_call_id: "abc", name: "f" },
    ]);
  });
});

describe("a chat without messages", () => {
  test("loads, or unloads when nothing is to be kept (facts/clients.md check 43)", () => {
    for (const own of [{ messages: [] }, { messages: null }, {}]) {
      const model = "m";
      expect(translateOllamaChat({ model, ...own })).toMatchObject({ ok: true, action: "load" });
      expect(translateOllamaChat({ model, ...own, keep_alive: "10m" })).toMatchObject({ action: "load" });
      for (const keep_alive of [0, "0", "0s"]) {
        expect(translateOllamaChat({ model, ...own, keep_alive })).toMatchObject({ action: "unload" });
      }
    }
  });
});

describe("keep_alive", () => {
  test("is read in seconds, in Go's durations, and for ever (facts/clients.md check 43)", () => {
    const forever = Number.POSITIVE_INFINITY;
    const cases: readonly (readonly [unknown, number | null])[] = [
      [0, 0],
      [300, 300_000],
      [1.5, 1500],
      [-1, forever],
      ["5m", 300_000],
      ["1h30m", 5_400_000],
      ["1.5h", 5_400_000],
      ["250ms", 250],
      ["-1", forever],
      ["-1m", forever],
      ["300", 300_000],
      ["", null],
      [null, null],
      [undefined, null],
    ];
    for (const [keep_alive, ms] of cases) {
      expect(asked(translateOllamaChat({ ...BASE, keep_alive })).wants.keepAliveMs).toBe(ms);
    }
    for (const keep_alive of ["soon", "5 m", "5x", {}, [], true, "1".repeat(100), Number.NaN]) {
      expect(refusal(translateOllamaChat({ ...BASE, keep_alive }))).toMatchObject({
        code: "bad_request",
        param: "keep_alive",
      });
    }
  });
});

test("what is wrong is refused by its name (facts/clients.md check 15)", () => {
  const cases: readonly (readonly [unknown, string | undefined])[] = [
    [null, undefined],
    [[], undefined],
    ["x", undefined],
    [{ messages: [] }, "model"],
    [{ model: "" }, "model"],
    [{ ...BASE, stream: "yes" }, "stream"],
    [{ ...BASE, messages: "hi" }, "messages"],
    [{ ...BASE, messages: [{ content: "x" }] }, "messages[0].role"],
    [{ ...BASE, messages: [{ role: "user", content: [{ type: "text" }] }] }, "messages[0].content"],
    [{ ...BASE, messages: [{ role: "user", images: [1] }] }, "messages[0].images[0]"],
    [
      { ...BASE, messages: [{ role: "assistant", tool_calls: [{ function: {} }] }] },
      "messages[0].tool_calls[0].function.name",
    ],
    [{ ...BASE, options: { temperature: "hot" } }, "options.temperature"],
    [{ ...BASE, options: [] }, "options"],
    [{ ...BASE, options: { stop: 5 } }, "options.stop"],
    [{ ...BASE, options: { top_k: 2 ** 31 } }, "options.top_k"],
    [{ ...BASE, format: "xml" }, "format"],
    [{ ...BASE, think: "a bit" }, "think"],
    [{ ...BASE, tools: [{}] }, "tools[0].function"],
    [{ ...BASE, top_logprobs: 21 }, "top_logprobs"],
  ];
  for (const [body, param] of cases) {
    const { code, param: named, message } = refusal(translateOllamaChat(body));
    expect([code, named]).toEqual(["bad_request", param]);
    expect(message).not.toContain("undefined");
  }
});
