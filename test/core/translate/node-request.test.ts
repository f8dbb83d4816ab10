/** Requests of OpenAI's clients as an Ollama node gets them: one golden pair per fact. */
import { describe, expect, test } from "bun:test";
import { toNodeChat } from "../../../src/core/translate/node-chat.ts";
import { toNodeCompletion } from "../../../src/core/translate/node-completion.ts";
import { type NodeRequest, type NodeTarget, pinContext } from "../../../src/core/translate/node-request.ts";

const TARGET: NodeTarget = { model: "llama3.2:1b", contextSize: 8192, canThink: null };
const USER = { role: "user", content: "hi" };
const BASE = { model: "whatever", messages: [USER] };
const ALWAYS = { model: "llama3.2:1b", truncate: false, shift: false };

function asked(request: NodeRequest) {
  if (!request.ok) throw request.error;
  return request;
}

function refusal(request: NodeRequest) {
  if (request.ok) throw new Error("it was not refused");
  const { code, param } = request.error;
  return { code, param };
}

const chat = (own: object, target: Partial<NodeTarget> = {}) =>
  asked(toNodeChat({ ...BASE, ...own }, { ...TARGET, ...target }));
const refused = (own: object) => refusal(toNodeChat({ ...BASE, ...own }, TARGET));
const text = (own: object) => asked(toNodeCompletion({ model: "whatever", prompt: "hi", ...own }, TARGET));
const textRefused = (own: object) => refusal(toNodeCompletion({ model: "whatever", prompt: "hi", ...own }, TARGET));
const messagesOf = (...messages: readonly object[]) => chat({ messages }).body.messages;

describe("a chat", () => {
  test("always has the context, is never cut, and sets nothing that the client did not (facts/clients.md 3)", () => {
    const { path, body, wants } = chat({});
    expect(path).toBe("/api/chat");
    expect(body).toEqual({ ...ALWAYS, stream: false, messages: [USER], options: { num_ctx: 8192 } });
    expect(wants).toEqual({ stream: false, includeUsage: false, oneToolCall: false });
    expect(chat({}, { keepAlive: "10m" }).body).toMatchObject({ keep_alive: "10m" });
  });

  test("passes sampling and limits on", () => {
    const same = {
      temperature: 0,
      top_p: 0.5,
      frequency_penalty: 1,
      presence_penalty: -1,
      top_k: 5,
      min_p: 0.1,
      seed: 42,
    };
    const { options } = chat({ ...same, typical_p: 0.9, repeat_penalty: 1.1, repeat_last_n: 8, max_tokens: 9 }).body;
    expect(options).toEqual({
      num_ctx: 8192,
      ...same,
      typical_p: 0.9,
      repeat_penalty: 1.1,
      repeat_last_n: 8,
      num_predict: 9,
    });
  });

  test("heeds max_completion_tokens, which Ollama's own /v1 forgets (facts/clients.md check 35)", () => {
    const limit = (own: object) => (chat(own).body.options as { num_predict?: number }).num_predict;
    expect(limit({ max_completion_tokens: 5, max_tokens: 9 })).toBe(5);
    expect(limit({ max_tokens: null, n_predict: 7 })).toBe(7);
    expect(limit({ max_tokens: 0 })).toBe(1);
    expect(limit({})).toBeUndefined();
  });

  test("has stops as a list", () => {
    expect(chat({ stop: "a" }).body.options).toMatchObject({ stop: ["a"] });
    expect(chat({ stop: ["a", "", "b"] }).body.options).toMatchObject({ stop: ["a", "b"] });
    for (const stop of [null, "", []]) expect(chat({ stop }).body.options).not.toContainKey("stop");
  });

  test("has response_format as `format`, and refuses kinds that it does not know (facts/clients.md check 40)", () => {
    const schema = { type: "object", properties: {} };
    const format = (response_format: unknown) => chat({ response_format }).body.format;
    expect(format({ type: "json_object" })).toBe("json");
    expect(format({ type: "json_object", schema })).toEqual(schema);
    expect(format({ type: "json_schema", json_schema: { name: "x", strict: true, schema } })).toEqual(schema);
    expect(format({ type: "text" })).toBeUndefined();
    expect(refused({ response_format: { type: "xml" } })).toEqual({
      code: "bad_request",
      param: "response_format.type",
    });
    expect(refused({ response_format: { type: "json_schema" } })).toMatchObject({ code: "bad_request" });
  });

  test("has reasoning_effort as `think`, and says nothing to a model that cannot (facts/clients.md check 39)", () => {
    const think = (own: object, canThink: boolean | null = true) => chat(own, { canThink }).body.think;
    const levels = {
      none: false,
      minimal: "low",
      low: "low",
      medium: "medium",
      high: "high",
      xhigh: "max",
      max: "max",
    };
    for (const [reasoning_effort, level] of Object.entries(levels)) {
      expect(think({ reasoning_effort })).toBe(level);
      expect(think({ reasoning: { effort: reasoning_effort } })).toBe(level);
      expect(think({ reasoning_effort }, false)).toBeUndefined();
    }
    expect(think({ chat_template_kwargs: { enable_thinking: false } })).toBe(false);
    expect(think({})).toBeUndefined();
    expect(refused({ reasoning_effort: "a lot" })).toEqual({ code: "bad_request", param: "reasoning_effort" });
  });

  test("has logprobs", () => {
    expect(chat({ logprobs: true, top_logprobs: 3 }).body).toMatchObject({ logprobs: true, top_logprobs: 3 });
    expect(chat({ logprobs: false }).body).not.toContainKeys(["logprobs", "top_logprobs"]);
    expect(refused({ top_logprobs: 3 })).toEqual({ code: "bad_request", param: "top_logprobs" });
  });

  test("says what its answer needs", () => {
    const stream = { stream: true, stream_options: { include_usage: true } };
    expect(chat(stream).wants).toEqual({ stream: true, includeUsage: true, oneToolCall: false });
    expect(chat({ stream: true }).wants.includeUsage).toBeFalse();
    expect(chat({ parallel_tool_calls: false }).wants.oneToolCall).toBeTrue();
    expect(chat({ parallel_tool_calls: true }).wants.oneToolCall).toBeFalse();
  });

  test("refuses what Ollama would take no notice of (facts/clients.md 3)", () => {
    const cases = {
      n: 2,
      logit_bias: { 5: 1 },
      grammar: "root ::= x",
      functions: [{ name: "f" }],
      modalities: ["text", "audio"],
    };
    for (const [param, value] of Object.entries(cases)) {
      expect(refused({ [param]: value })).toEqual({ code: "unsupported_parameter", param });
    }
    const harmless = {
      n: 1,
      logit_bias: {},
      user: "me",
      store: false,
      metadata: {},
      modalities: ["text"],
      functions: [],
    };
    expect(chat(harmless).body).toEqual(chat({}).body);
  });
});

describe("tools", () => {
  const tool = { type: "function", function: { name: "f", parameters: { type: "object", properties: {} } } };

  test("go as they are; a choice of none sends none, force is refused", () => {
    for (const own of [{}, { tool_choice: "auto" }, { tool_choice: null }]) {
      expect(chat({ tools: [tool], ...own }).body.tools).toEqual([tool]);
    }
    expect(chat({ tools: [tool], tool_choice: "none" }).body).not.toContainKey("tools");
    for (const tool_choice of ["required", { type: "function", function: { name: "f" } }]) {
      expect(refused({ tools: [tool], tool_choice })).toEqual({ code: "unsupported_parameter", param: "tool_choice" });
    }
    expect(refused({ tool_choice: "banana" })).toEqual({ code: "bad_request", param: "tool_choice" });
  });

  test("come with calls whose arguments are objects, and results with the tool's name (facts/clients.md 3)", () => {
    const call = (id: string, name: string, args: string) => ({
      id,
      type: "function",
      function: { name, arguments: args },
    });
    expect(
      messagesOf(
        { role: "assistant", content: null, tool_calls: [call("a", "f", '{"x":[1]}'), call("b", "g", "")] },
        { role: "tool", tool_call_id: "b", content: "22" },
        { role: "tool", tool_call_id: "a", name: "own", content: [{ type: "text", text: "33" }] },
      ),
    ).toEqual([
      {
        role: "assistant",
        content: "",
        tool_calls: [
          { id: "a", function: { index: 0, name: "f", arguments: { x: [1] } } },
          { id: "b", function: { index: 1, name: "g", arguments: {} } },
        ],
      },
      { role: "tool", content: "22", tool_name: "g", tool_call_id: "b" },
      { role: "tool", content: "33", tool_name: "own", tool_call_id: "a" },
    ]);
    const broken = { messages: [{ role: "assistant", tool_calls: [call("a", "f", "{")] }] };
    expect(refused(broken)).toEqual({ code: "bad_request", param: "messages[0].tool_calls[0].function.arguments" });
  });
});

describe("messages", () => {
  const image = (url: unknown) => ({
    role: "user",
    content: [
      { type: "text", text: "a" },
      { type: "image_url", image_url: url },
      { type: "text", text: "b" },
    ],
  });

  test("have their parts in one, with bare base64 beside (facts/clients.md check 44)", () => {
    const merged = [{ role: "user", content: "a\nb", images: ["AAAA"] }];
    expect(messagesOf(image({ url: "data:image/png;base64,AAAA", detail: "low" }))).toEqual(merged);
    expect(messagesOf(image("data:;base64,AAAA"))).toEqual(merged);
  });

  test("never have an image by its address (facts/clients.md check 53)", () => {
    const param = "messages[0].content[1].image_url";
    for (const url of ["https://a/b.png", "file:///etc/passwd"]) {
      expect(refused({ messages: [image({ url })] })).toEqual({ code: "unsupported_parameter", param });
    }
    expect(refused({ messages: [image({ url: "data:text/html,x" })] })).toEqual({ code: "bad_request", param });
    expect(refused({ messages: [image({})] })).toEqual({ code: "bad_request", param: `${param}.url` });
  });

  test("know no developers, and keep thoughts under either name (facts/clients.md 3)", () => {
    expect(messagesOf({ role: "developer", content: "x" })).toEqual([{ role: "system", content: "x" }]);
    for (const key of ["reasoning", "reasoning_content"]) {
      expect(messagesOf({ role: "assistant", content: "x", [key]: "hm" })).toEqual([
        { role: "assistant", content: "x", thinking: "hm" },
      ]);
    }
  });

  test("that are wrong are refused by their name (facts/clients.md check 15, 16)", () => {
    const cases: readonly (readonly [unknown, string])[] = [
      [undefined, "messages"],
      [[], "messages"],
      ["hi", "messages"],
      [[{ role: "wizard", content: "x" }], "messages[0].role"],
      [[{ content: "x" }], "messages[0].role"],
      [[{ role: "user", content: 5 }], "messages[0].content"],
      [[{ role: "user", content: [{ type: "text" }] }], "messages[0].content[0].text"],
      [
        [{ role: "user", content: [{ type: "input_audio", input_audio: {} }] }],
        "messages[0].content[0].input_audio.data",
      ],
    ];
    for (const [messages, param] of cases) expect(refused({ messages })).toEqual({ code: "bad_request", param });
    const video = { role: "user", content: [{ type: "video_url", video_url: {} }] };
    expect(refused({ messages: [video] })).toEqual({
      code: "unsupported_parameter",
      param: "messages[0].content[0].type",
    });
  });
});

describe("a completion", () => {
  test("goes to the model as it is, as with llama-server (measured, 0.7.0)", () => {
    expect(text({ max_tokens: 3 })).toMatchObject({
      path: "/api/generate",
      body: {
        ...ALWAYS,
        stream: false,
        prompt: "hi",
        raw: true,
        think: false,
        options: { num_ctx: 8192, num_predict: 3 },
      },
    });
    expect(text({ prompt: ["hi"] }).body.prompt).toBe("hi");
  });

  test("with a suffix needs the model's template", () => {
    const { body } = text({ suffix: "}" });
    expect(body).toMatchObject({ suffix: "}" });
    expect(body).not.toContainKey("raw");
  });

  test("has a count of logprobs, or a schema", () => {
    expect(text({ logprobs: 2 }).body).toMatchObject({ logprobs: true, top_logprobs: 2 });
    expect(text({ json_schema: { type: "object" } }).body).toMatchObject({ format: { type: "object" } });
  });

  test("takes one text, and refuses what Ollama cannot do", () => {
    for (const prompt of [[1, 2], [[1, 2]], ["a", "b"]]) {
      expect(textRefused({ prompt })).toEqual({ code: "unsupported_parameter", param: "prompt" });
    }
    for (const prompt of [undefined, "", [], {}])
      expect(textRefused({ prompt })).toEqual({ code: "bad_request", param: "prompt" });
    for (const own of [{ echo: true }, { best_of: 3 }, { n: 2 }])
      expect(textRefused(own).code).toBe("unsupported_parameter");
  });
});

test("wrong fields are refused by their name, on this kind of node too (facts/clients.md check 15)", () => {
  const cases: readonly (readonly [object, string])[] = [
    [{ temperature: "hot" }, "temperature"],
    [{ stream: "yes" }, "stream"],
    [{ stop: 5 }, "stop"],
    [{ max_tokens: 1.5 }, "max_tokens"],
    [{ tools: [{ type: "function" }] }, "tools[0].function"],
    [{ tools: "f" }, "tools"],
    [{ stream_options: 5 }, "stream_options"],
  ];
  for (const [own, param] of cases) expect(refused(own)).toEqual({ code: "bad_request", param });
  for (const body of [null, [], 5])
    expect(refusal(toNodeChat(body, TARGET))).toEqual({ code: "bad_request", param: undefined });
});

test("an Ollama client's own request gets the context that is loaded, and nothing else (facts/clients.md check 42)", () => {
  const body = { model: "m", messages: [USER], options: { num_ctx: 32_768, seed: 1 } };
  expect(pinContext(body, 8192)).toEqual({ ...body, options: { num_ctx: 8192, seed: 1 } });
  expect(pinContext({ model: "m" }, 8192)).toEqual({ model: "m", options: { num_ctx: 8192 } });
});
