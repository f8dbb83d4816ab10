import { describe, expect, test } from "bun:test";
import { stripBilling } from "../../../src/core/translate/anthropic-billing.ts";
import { fromAnthropicCount, fromAnthropicRequest } from "../../../src/core/translate/anthropic-request.ts";
import { toNodeChat } from "../../../src/core/translate/node-chat.ts";

const HI = [{ role: "user", content: "hi" }];
const PNG = { type: "image", source: { type: "base64", media_type: "image/png", data: "iVBORw0KGgo=" } };
const PNG_PART = { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0KGgo=" } };
const TOOL = {
  name: "f",
  description: "does f",
  input_schema: { type: "object", properties: { a: { type: "number" } } },
};
const FUNCTION = { type: "function", function: { name: "f", description: "does f", parameters: TOOL.input_schema } };

function chat(fields: object): Readonly<Record<string, unknown>> {
  const translated = fromAnthropicRequest({ model: "m", max_tokens: 9, messages: HI, ...fields });
  if (!translated.ok) throw translated.error;
  expect(translated.path).toBe("/v1/chat/completions");
  return translated.body;
}
const messages = (list: readonly unknown[], fields: object = {}) => chat({ messages: list, ...fields }).messages;

function refusal(fields: object) {
  const translated = fromAnthropicRequest({ model: "m", max_tokens: 9, messages: HI, ...fields });
  return translated.ok ? null : translated.error;
}

describe("fromAnthropicRequest()", () => {
  test("passes limits, stops and sampling on", () => {
    const sampling = { temperature: 0.2, top_p: 0.9, top_k: 40, seed: 7, min_p: 0.1 };
    expect(
      chat({ ...sampling, stop_sequences: ["\n\nHuman:"], metadata: { user_id: "u" }, service_tier: "auto" }),
    ).toEqual({
      model: "m",
      messages: HI,
      max_tokens: 9,
      ...sampling,
      stop: ["\n\nHuman:"],
      // So that llama-server tells which one it met.
      verbose: true,
    });
  });

  test("asks a stream for its usage", () => {
    expect(chat({ stream: true })).toMatchObject({ stream: true, stream_options: { include_usage: true } });
    expect(chat({ stream: false })).not.toHaveProperty("stream");
  });

  test("joins the system's texts at the start", () => {
    expect(messages(HI, { system: "Be brief" })).toEqual([{ role: "system", content: "Be brief" }, ...HI]);
    const blocks = [
      { type: "text", text: "Be brief", cache_control: { type: "ephemeral" } },
      { type: "text", text: "Be kind" },
    ];
    expect(messages(HI, { system: blocks })).toEqual([{ role: "system", content: "Be brief\n\nBe kind" }, ...HI]);
    expect(messages(HI, { system: "" })).toEqual(HI);
  });

  test("leaves a later system text in its place: templates take one only at the start, and the prefix stays cached", () => {
    const list = [
      { role: "system", content: "First" },
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
      { role: "system", content: "Later" },
      { role: "user", content: "c" },
    ];
    expect(messages(list)).toEqual([
      { role: "system", content: "First" },
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
      {
        role: "user",
        content: [
          { type: "text", text: "<system-reminder>\nLater\n</system-reminder>" },
          { type: "text", text: "c" },
        ],
      },
    ]);
  });

  test("joins turns of the same side, which many templates refuse", () => {
    const list = [
      { role: "user", content: "a" },
      { role: "user", content: [{ type: "text", text: "b" }, PNG] },
      { role: "assistant", content: "c" },
      { role: "assistant", content: "d" },
    ];
    expect(messages(list)).toEqual([
      { role: "user", content: [{ type: "text", text: "a" }, { type: "text", text: "b" }, PNG_PART] },
      { role: "assistant", content: "cd" },
    ]);
  });

  test("keeps a round of tools: thoughts, calls, results first, then what else is said", () => {
    const list = [
      ...HI,
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "hm", signature: "s" },
          { type: "redacted_thinking", data: "?" },
          { type: "text", text: "ok" },
          { type: "tool_use", id: "t1", name: "f", input: { a: "ü" } },
          { type: "tool_use", id: "t2", name: "g", input: {} },
        ],
      },
      {
        role: "user",
        content: [
          { type: "text", text: "and hurry" },
          { type: "tool_result", tool_use_id: "t1", content: "one" },
          { type: "tool_result", tool_use_id: "t2", content: [{ type: "text", text: "two" }, PNG], is_error: true },
        ],
      },
    ];
    expect(messages(list)).toEqual([
      ...HI,
      {
        role: "assistant",
        content: "ok",
        reasoning_content: "hm",
        tool_calls: [
          { id: "t1", type: "function", function: { name: "f", arguments: '{"a":"ü"}' } },
          { id: "t2", type: "function", function: { name: "g", arguments: "{}" } },
        ],
      },
      { role: "tool", tool_call_id: "t1", content: "one", name: "f" },
      { role: "tool", tool_call_id: "t2", content: "Error: two", name: "g" },
      { role: "user", content: [PNG_PART, { type: "text", text: "and hurry" }] },
    ]);
  });

  test("an image of a result waits until all results are told", () => {
    const result = (id: string, content: unknown) => ({ type: "tool_result", tool_use_id: id, content });
    const list = [
      ...HI,
      { role: "user", content: [result("t1", [PNG])] },
      { role: "user", content: [result("t2", "two")] },
    ];
    expect(messages(list)).toEqual([
      ...HI,
      { role: "tool", tool_call_id: "t1", content: "" },
      { role: "tool", tool_call_id: "t2", content: "two" },
      { role: "user", content: [PNG_PART] },
    ]);
  });

  test.each([
    ["Error: no", "Error: no"],
    ["<tool_use_error>no</tool_use_error>", "<tool_use_error>no</tool_use_error>"],
    ["no", "Error: no"],
    [undefined, "Error: "],
  ])("a failed result %j says so once", (content, text) => {
    const block = { type: "tool_result", tool_use_id: "t", is_error: true, content };
    expect(messages([{ role: "user", content: [block] }])).toEqual([
      { role: "tool", tool_call_id: "t", content: text },
    ]);
  });

  test("shows documents, search results and unknown blocks of a result as text", () => {
    const document = { type: "document", title: "T", source: { type: "text", media_type: "text/plain", data: "body" } };
    const found = { type: "search_result", source: "s", title: "t", content: [{ type: "text", text: "x" }] };
    const other = { type: "tool_reference", tool_name: "f" };
    expect(messages([{ role: "user", content: [document, found] }])).toEqual([
      {
        role: "user",
        content: [
          { type: "text", text: "T" },
          { type: "text", text: "body" },
          { type: "text", text: "t\ns\nx" },
        ],
      },
    ]);
    const result = { type: "tool_result", tool_use_id: "t", content: [other] };
    expect(messages([{ role: "user", content: [result] }])).toMatchObject([{ content: JSON.stringify(other) }]);
  });

  test.each([
    [undefined, {}],
    [{ type: "auto" }, { tool_choice: "auto" }],
    [
      { type: "any", disable_parallel_tool_use: true },
      { tool_choice: "required", parallel_tool_calls: false },
    ],
    [{ type: "none" }, { tool_choice: "none" }],
  ])("offers tools with choice %j", (tool_choice, more) => {
    const {
      tools,
      tool_choice: choice,
      parallel_tool_calls,
    } = chat({ tools: [TOOL, { name: "g" }], ...(tool_choice && { tool_choice }) });
    const g = { type: "function", function: { name: "g", parameters: { type: "object", properties: {} } } };
    expect(tools).toEqual([FUNCTION, g]);
    expect({
      ...(choice !== undefined && { tool_choice: choice }),
      ...(parallel_tool_calls !== undefined && { parallel_tool_calls }),
    }).toEqual(more);
  });

  test("a named choice is the only tool offered: llama-server takes the name for `auto`", () => {
    const body = chat({ tools: [TOOL, { name: "g" }], tool_choice: { type: "tool", name: "f" } });
    expect(body).toMatchObject({ tools: [FUNCTION], tool_choice: "required" });
    expect(refusal({ tools: [TOOL], tool_choice: { type: "tool", name: "z" } })).toMatchObject({
      code: "bad_request",
      param: "tool_choice.name",
    });
  });

  test("leaves out tools that Anthropic runs, refuses those that only its models know", () => {
    const search = { type: "web_search_20250305", name: "web_search", max_uses: 8 };
    expect(chat({ tools: [search, TOOL] }).tools).toEqual([FUNCTION]);
    expect(refusal({ tools: [search] })).toMatchObject({ code: "unsupported_parameter", param: "tools" });
    expect(refusal({ tools: [TOOL, { type: "bash_20250124", name: "bash" }] })).toMatchObject({
      param: "tools[1].type",
    });
  });

  test.each([
    [{ thinking: { type: "disabled" } }, { reasoning_effort: "none" }],
    [{ thinking: { type: "enabled", budget_tokens: 2048 } }, { thinking_budget_tokens: 2048 }],
    [{ thinking: { type: "adaptive" }, output_config: { effort: "low" } }, { reasoning_effort: "low" }],
    [{}, {}],
  ])("thinks as asked: %j", (fields, thinking) => {
    const { reasoning_effort, thinking_budget_tokens } = chat(fields);
    expect({ reasoning_effort, thinking_budget_tokens }).toEqual({
      reasoning_effort: undefined,
      thinking_budget_tokens: undefined,
      ...thinking,
    });
  });

  test("asks for JSON by a schema", () => {
    const schema = { type: "object" };
    const response_format = { type: "json_schema", json_schema: { name: "answer", schema } };
    expect(chat({ output_config: { format: { type: "json_schema", schema } } })).toMatchObject({ response_format });
    expect(chat({ output_format: { type: "json_schema", schema } })).toMatchObject({ response_format });
  });

  test("tells what the answer goes on from", () => {
    const prefill = (list: readonly unknown[]) => {
      const translated = fromAnthropicRequest({ model: "m", max_tokens: 9, messages: list });
      return translated.ok ? translated.prefill : null;
    };
    expect(prefill([...HI, { role: "assistant", content: "{" }])).toBe("{");
    expect(
      prefill([...HI, { role: "assistant", content: [{ type: "tool_use", id: "t", name: "f", input: {} }] }]),
    ).toBe("");
    expect(prefill(HI)).toBe("");
  });

  test.each([
    [{ messages: undefined }, "bad_request", "messages"],
    [{ messages: [] }, "bad_request", "messages"],
    [{ max_tokens: undefined }, "bad_request", "max_tokens"],
    [{ max_tokens: "9" }, "bad_request", "max_tokens"],
    [{ messages: [{ role: "boss", content: "x" }] }, "bad_request", "messages[0].role"],
    [{ messages: [{ role: "user", content: [{ type: "video" }] }] }, "bad_request", "messages[0].content[0].type"],
    [{ messages: [{ role: "user", content: [{ type: "text" }] }] }, "bad_request", "messages[0].content[0].text"],
    [
      { messages: [{ role: "user", content: [{ type: "document", source: { type: "base64" } }] }] },
      "bad_request",
      "messages[0].content[0].source.type",
    ],
    [
      { messages: [{ role: "user", content: [{ type: "image", source: { type: "url", url: "http://10.0.0.1/x" } }] }] },
      "unsupported_parameter",
      "messages[0].content[0].source",
    ],
    [
      {
        messages: [
          {
            role: "user",
            content: [
              {
                type: "tool_result",
                tool_use_id: "t",
                content: [{ type: "image", source: { type: "url", url: "file:///x" } }],
              },
            ],
          },
        ],
      },
      "unsupported_parameter",
      "messages[0].content[0].content[0].source",
    ],
    [{ temperature: "hot" }, "bad_request", "temperature"],
    [{ thinking: { type: "enabled" } }, "bad_request", "thinking.budget_tokens"],
    [{ mcp_servers: [{ url: "x" }] }, "unsupported_parameter", "mcp_servers"],
  ])("refuses %j", (fields, code, param) => {
    expect(refusal(fields)).toMatchObject({ code, param });
  });

  test.each([[null], [5], ["x"], [[]], [undefined]])("refuses %j as a body", (body) => {
    expect(fromAnthropicRequest(body)).toMatchObject({ ok: false, error: { code: "bad_request" } });
  });

  test("goes on to an Ollama node: texts, images, calls and results, limits", () => {
    const body = chat({
      stop_sequences: ["x"],
      system: "s",
      tools: [TOOL],
      thinking: { type: "disabled" },
      messages: [
        { role: "user", content: [{ type: "text", text: "see" }, PNG] },
        { role: "assistant", content: [{ type: "tool_use", id: "t1", name: "f", input: { a: 1 } }] },
        { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "one" }] },
      ],
    });
    expect(toNodeChat(body, { model: "m", contextSize: 4096, canThink: true })).toMatchObject({
      ok: true,
      path: "/api/chat",
      body: {
        think: false,
        options: { num_ctx: 4096, num_predict: 9, stop: ["x"] },
        tools: [FUNCTION],
        messages: [
          { role: "system", content: "s" },
          { role: "user", content: "see", images: ["iVBORw0KGgo="] },
          { role: "assistant", tool_calls: [{ id: "t1", function: { name: "f", arguments: { a: 1 } } }] },
          { role: "tool", content: "one", tool_name: "f", tool_call_id: "t1" },
        ],
      },
    });
  });
});

describe("fromAnthropicCount()", () => {
  test("counts what the translated request would have, without limits", () => {
    expect(fromAnthropicCount({ model: "m", messages: HI, system: "s", tools: [TOOL] })).toEqual({
      ok: true,
      path: "/v1/chat/completions/input_tokens",
      body: { model: "m", messages: [{ role: "system", content: "s" }, ...HI], tools: [FUNCTION] },
    });
    expect(fromAnthropicCount({ model: "m" })).toMatchObject({ ok: false, error: { param: "messages" } });
  });
});

describe("stripBilling()", () => {
  const billing = (cch: string) => `x-anthropic-billing-header: cc_version=2.1.37.0d9; cc_entrypoint=cli; cch=${cch};`;
  const text = (value: string) => ({ type: "text", text: value });

  test("two turns that differ only in cch become the same (facts/clients.md 5.49)", () => {
    const body = (cch: string) => ({ model: "m", system: [text(billing(cch)), text("You are")], messages: HI });
    expect(stripBilling(body("fa690"))).toEqual({ model: "m", system: [text("You are")], messages: HI });
    expect(fromAnthropicRequest({ max_tokens: 1, ...body("fa690") })).toEqual(
      fromAnthropicRequest({ max_tokens: 1, ...body("1c8b4") }),
    );
  });

  test.each([
    [`${billing("a5145")}You are Claude Code`, "You are Claude Code"],
    [`${billing("a5145")}\nYou are`, "You are"],
    ["x-anthropic-billing-header: cc_version=1; cch=1\nYou are", "You are"],
    [billing("a5145"), ""],
    ["x-anthropic-billing-header:", ""],
  ])("takes it out of the front of %j", (system, rest) => {
    expect(stripBilling({ system })).toEqual({ system: rest });
  });

  test("gives back the very same object when there is nothing to take out", () => {
    for (const body of [
      { system: "About x-anthropic-billing-header: cch=1;" },
      { system: [text("a"), 5, null] },
      {},
      null,
      "x",
      [1],
    ]) {
      expect(stripBilling(body)).toBe(body);
    }
  });

  test("takes no more than a moment for a long one", () => {
    const system = `x-anthropic-billing-header:${" a=b".repeat(200_000)}`;
    const began = performance.now();
    expect(stripBilling({ system })).toEqual({ system: "" });
    expect(performance.now() - began).toBeLessThan(1000);
  });
});
