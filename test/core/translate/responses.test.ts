import { describe, expect, test } from "bun:test";
import OpenAI from "openai";
import { SynapticError } from "../../../src/core/errors.ts";
import { readOpenAiAnswer } from "../../../src/core/translate/gathered-answer.ts";
import type { JsonObject } from "../../../src/core/translate/json.ts";
import { createNodeReader } from "../../../src/core/translate/node-events.ts";
import { createOpenAiReader } from "../../../src/core/translate/openai-events.ts";
import { toResponse } from "../../../src/core/translate/responses-answer.ts";
import { fromResponsesRequest } from "../../../src/core/translate/responses-request.ts";
import { createResponsesStream } from "../../../src/core/translate/responses-stream.ts";
import { createRandom } from "../../fixtures/random.ts";
import { bytesOf, cut, eventsOf, recorded, recordedJson, translate } from "./recorded.ts";

const identity = { id: "a1", model: "gpt-x", createdS: 1_795_000_000 };

function echoOf(fields: object = {}): JsonObject {
  const translated = fromResponsesRequest({ model: "m", input: "hi", ...fields });
  if (!translated.ok) throw translated.error;
  return translated.echo;
}
const stream = (remember?: (item: JsonObject) => void) =>
  createResponsesStream(createOpenAiReader(), { identity, echo: echoOf(), ...(remember && { remember }) });
const streamed = (name: string) => translate(stream(), [recorded(name)]);

/** The real SDK, with these bytes for an answer. */
function sdk(text: string): OpenAI {
  const headers = { "content-type": "text/event-stream" };
  const answer = async () => new Response(text, { headers });
  return new OpenAI({ apiKey: "x", maxRetries: 0, fetch: Object.assign(answer, { preconnect: () => {} }) });
}

const OUTPUT = [
  {
    id: "rs_a1_0",
    type: "reasoning",
    summary: [{ type: "summary_text", text: "They want weather: 東京, then 🌍 time.\n" }],
  },
  {
    id: "msg_a1_1",
    type: "message",
    role: "assistant",
    status: "completed",
    content: [{ type: "output_text", text: 'Let me look "both" up.\n', annotations: [] }],
  },
  {
    id: "fc_a1_2",
    type: "function_call",
    status: "completed",
    name: "get_weather",
    arguments: '{"city": "東京", "days": 2}',
  },
  { id: "fc_a1_3", type: "function_call", status: "completed", name: "get_time", arguments: '{"zone": "JST"}' },
];

describe("createResponsesStream()", () => {
  test("satisfies the SDK's stream, which llama-server's own does not (facts/clients.md 0.9, 5.46)", async () => {
    const response = await sdk(streamed("chat-tools-stream"))
      .responses.stream({ model: "m", input: "hi" })
      .finalResponse();
    expect(response).toMatchObject({ id: "resp_a1", model: "gpt-x", status: "completed", error: null, output: OUTPUT });
    expect(response.output_text).toBe('Let me look "both" up.\n');
    expect(response.usage).toMatchObject({ output_tokens: 20, output_tokens_details: { reasoning_tokens: 0 } });
    const native = sdk(new TextDecoder().decode(recorded("responses-stream"))).responses.stream({
      model: "m",
      input: "hi",
    });
    await expect(native.finalResponse()).rejects.toThrow();
  });

  test("numbers its events without a gap, and adds, fills and ends one item after the other", () => {
    const events = eventsOf(streamed("chat-tools-stream"));
    expect(events.map(({ data }) => data.sequence_number)).toEqual(events.map((_, at) => at));
    const names = events.map(({ name }) => name.replace("response.", "")).filter((name) => !name.endsWith("delta"));
    const part = (kind: string, text: string) => [
      "output_item.added",
      `${kind}.added`,
      `${text}.done`,
      `${kind}.done`,
      "output_item.done",
    ];
    const call = ["output_item.added", "function_call_arguments.done", "output_item.done"];
    expect(names).toEqual([
      ...["created", "in_progress"],
      ...part("reasoning_summary_part", "reasoning_summary_text"),
      ...part("content_part", "output_text"),
      ...[...call, ...call, "completed"],
    ]);
    for (const { name, data } of events) if (/item|delta|part|text/.test(name)) expect(data.output_index).toBeNumber();
  });

  test("gives the same text however the bytes are cut", () => {
    for (const name of ["chat-tools-stream", "chat-broken-stream"]) {
      const whole = streamed(name);
      for (let seed = 1; seed <= 30; seed++) {
        expect(translate(stream(), cut(recorded(name), createRandom(seed))), `${name}, seed ${seed}`).toBe(whole);
      }
    }
  });

  test("a failure is a flat error, then response.failed with a code (facts/clients.md 2a, 5.47)", async () => {
    const events = eventsOf(streamed("chat-broken-stream"));
    expect(events.at(-2)).toMatchObject({
      name: "error",
      data: { code: "upstream_error", message: expect.any(String), param: null },
    });
    expect(events.at(-1)).toMatchObject({
      name: "response.failed",
      data: {
        response: { status: "failed", error: { code: "upstream_error" }, output: [{}, {}, { type: "function_call" }] },
      },
    });
    await expect(
      sdk(streamed("chat-broken-stream")).responses.stream({ model: "m", input: "hi" }).finalResponse(),
    ).rejects.toThrow();
  });

  test("a failure before all else still comes after response.created, which the SDK wants first", () => {
    const text = stream().fail(new SynapticError("context_length_exceeded", "Too long", { param: "messages" }));
    expect(eventsOf(text).map(({ name }) => name)).toEqual([
      "response.created",
      "response.in_progress",
      "error",
      "response.failed",
    ]);
    expect(text).toContain('"code":"context_length_exceeded"');
  });

  test("a first piece that makes no sense comes after response.created too", () => {
    const calls = Array.from({ length: 2000 }, (_, index) => ({
      index,
      id: `c${index}`,
      function: { name: "f", arguments: "" },
    }));
    const text = `data: ${JSON.stringify({ choices: [{ index: 0, delta: { tool_calls: calls } }] })}\n\n`;
    expect(eventsOf(translate(stream(), [bytesOf(text)])).map(({ name }) => name)).toEqual([
      ...["response.created", "response.in_progress", "error", "response.failed"],
    ]);
  });

  test("every stream that ends early says so", () => {
    const bytes = recorded("chat-tools-stream");
    const end = bytesOf(new TextDecoder().decode(bytes).split("data: [DONE]")[0] ?? "").length;
    for (let length = 0; length < end; length += 17) {
      expect(eventsOf(translate(stream(), [bytes.subarray(0, length)])).at(-1)?.name, `${length} bytes`).toBe(
        "response.failed",
      );
    }
  });

  test("keeps alive with events that Codex counts, in which the SDK finds all there is so far", async () => {
    const translator = stream();
    const [head, tail] = [
      recorded("chat-tools-stream").subarray(0, 3000),
      recorded("chat-tools-stream").subarray(3000),
    ];
    const text =
      translator.keepAlive() +
      translator.push(head) +
      translator.keepAlive() +
      translator.push(tail) +
      translator.end();
    expect(eventsOf(text).filter(({ name }) => name === "response.created")).toHaveLength(1);
    const response = await sdk(text).responses.stream({ model: "m", input: "hi" }).finalResponse();
    expect(response).toMatchObject({ status: "completed", output: OUTPUT });
    expect(translator.keepAlive()).toBe("");
  });

  test("an answer that the limit cut off is incomplete", () => {
    expect(eventsOf(streamed("chat-length-stream")).at(-1)).toMatchObject({
      name: "response.incomplete",
      data: { response: { status: "incomplete", incomplete_details: { reason: "max_output_tokens" } } },
    });
  });

  test("hands over each item when it is whole", () => {
    const items: JsonObject[] = [];
    translate(
      stream((item) => items.push(item)),
      [recorded("chat-tools-stream")],
    );
    expect(items).toMatchObject(OUTPUT);
  });

  test("reads an Ollama node as well", () => {
    const reader = createNodeReader({ model: "m", contextSize: 4096, param: "messages" });
    const answer = {
      model: "m",
      message: { role: "assistant", content: "Yes" },
      done: true,
      done_reason: "stop",
      prompt_eval_count: 3,
      eval_count: 1,
    };
    const text = translate(createResponsesStream(reader, { identity, echo: echoOf() }), [
      bytesOf(`${JSON.stringify(answer)}\n`),
    ]);
    expect(eventsOf(text).at(-1)).toMatchObject({
      name: "response.completed",
      data: { response: { usage: { input_tokens: 3, output_tokens: 1, total_tokens: 4 } } },
    });
  });
});

describe("toResponse()", () => {
  test("makes the same output of a whole answer as of a stream", () => {
    const echo = echoOf({
      instructions: "Be brief",
      tools: [{ type: "function", name: "f", parameters: {} }],
      temperature: 0.5,
    });
    const answer = toResponse(readOpenAiAnswer(recordedJson("chat-tools")), { identity, echo });
    expect(answer).toMatchObject({
      ok: true,
      body: {
        id: "resp_a1",
        object: "response",
        created_at: 1_795_000_000,
        status: "completed",
        model: "gpt-x",
        instructions: "Be brief",
        temperature: 0.5,
        tools: [{ name: "f" }],
        tool_choice: "auto",
        parallel_tool_calls: true,
        error: null,
        incomplete_details: null,
        output: OUTPUT,
      },
    });
    expect(toResponse(readOpenAiAnswer({}), { identity, echo })).toMatchObject({
      ok: false,
      error: { code: "upstream_error" },
    });
  });
});

describe("fromResponsesRequest()", () => {
  function chat(fields: object, recall?: (id: string) => unknown) {
    const translated = fromResponsesRequest({ model: "m", input: "hi", ...fields }, recall);
    if (!translated.ok) throw translated.error;
    return translated.body;
  }
  const refusal = (fields: object) => {
    const translated = fromResponsesRequest({ model: "m", input: "hi", ...fields });
    return translated.ok ? null : translated.error;
  };

  test("translates what a simple request has", () => {
    const json_schema = { name: "n", schema: { type: "object" }, strict: true };
    const body = chat({
      instructions: "Be brief",
      max_output_tokens: 9,
      temperature: 0,
      top_p: 0.5,
      stream: true,
      reasoning: { effort: "low", summary: "auto" },
      text: { format: { type: "json_schema", ...json_schema }, verbosity: "low" },
      store: true,
      include: ["reasoning.encrypted_content"],
    });
    expect(body).toEqual({
      model: "m",
      messages: [
        { role: "system", content: "Be brief" },
        { role: "user", content: "hi" },
      ],
      max_tokens: 9,
      temperature: 0,
      top_p: 0.5,
      stream: true,
      stream_options: { include_usage: true },
      reasoning_effort: "low",
      response_format: { type: "json_schema", json_schema },
    });
  });

  test("keeps a conversation as Codex sends it: thoughts without content, calls, outputs, images", () => {
    const image_url = "data:image/png;base64,iVBORw0KGgo=";
    const input = [
      { type: "message", role: "developer", content: [{ type: "input_text", text: "Careful" }] },
      {
        role: "user",
        content: [
          { type: "input_text", text: "see" },
          { type: "input_image", image_url, detail: "auto" },
        ],
      },
      {
        type: "reasoning",
        id: "rs_1",
        summary: [{ type: "summary_text", text: "hm" }],
        content: null,
        encrypted_content: "x",
      },
      { type: "message", role: "assistant", content: [{ type: "output_text", text: "ok", annotations: [] }] },
      { type: "function_call", id: "fc_1", call_id: "c1", name: "f", arguments: '{"a":1}' },
      { type: "function_call", call_id: "c2", name: "g", arguments: "{}" },
      { type: "function_call_output", call_id: "c1", output: "one" },
      {
        type: "function_call_output",
        call_id: "c2",
        output: [
          { type: "input_text", text: "two" },
          { type: "input_image", image_url },
        ],
      },
    ];
    const image = { type: "image_url", image_url: { url: image_url } };
    const called = (id: string, name: string, text: string) => ({
      id,
      type: "function",
      function: { name, arguments: text },
    });
    expect(chat({ instructions: "Be brief", input }).messages).toEqual([
      { role: "system", content: "Be brief\n\nCareful" },
      { role: "user", content: [{ type: "text", text: "see" }, image] },
      {
        role: "assistant",
        content: "ok",
        reasoning_content: "hm",
        tool_calls: [called("c1", "f", '{"a":1}'), called("c2", "g", "{}")],
      },
      { role: "tool", tool_call_id: "c1", content: "one", name: "f" },
      { role: "tool", tool_call_id: "c2", content: "two", name: "g" },
      { role: "user", content: [image] },
    ]);
  });

  test("finds items that the AI SDK refers to by id, and says what to do when they are gone", () => {
    const item = {
      id: "msg_1",
      type: "message",
      status: "completed",
      role: "assistant",
      content: [{ type: "output_text", text: "ok" }],
    };
    const input = [
      { role: "user", content: "a" },
      { type: "item_reference", id: "msg_1" },
      { role: "user", content: "b" },
    ];
    expect(chat({ input }, (id) => (id === "msg_1" ? item : null)).messages).toMatchObject([
      {},
      { role: "assistant", content: "ok" },
      {},
    ]);
    expect(refusal({ input })).toMatchObject({
      code: "bad_request",
      param: "input[1].id",
      hint: expect.stringContaining("store"),
    });
  });

  const f = { type: "function", name: "f", description: "d", parameters: { type: "object" }, strict: false };
  const g = { type: "function", name: "g", parameters: null };
  const chatF = {
    type: "function",
    function: { name: "f", description: "d", parameters: { type: "object" }, strict: false },
  };
  const chatG = { type: "function", function: { name: "g", parameters: { type: "object", properties: {} } } };

  test.each([
    [undefined, [chatF, chatG], undefined],
    ["auto", [chatF, chatG], "auto"],
    ["required", [chatF, chatG], "required"],
    [{ type: "function", name: "g" }, [chatG], "required"],
    [{ type: "allowed_tools", mode: "auto", tools: [{ type: "function", name: "f" }] }, [chatF], "auto"],
  ])("offers functions with choice %j, and leaves out what runs on OpenAI's servers", (tool_choice, tools, choice) => {
    const body = chat({
      tools: [f, { type: "web_search" }, g],
      parallel_tool_calls: false,
      ...(tool_choice && { tool_choice }),
    });
    expect(body).toMatchObject({ tools, parallel_tool_calls: false });
    expect(body.tool_choice).toBe(choice);
  });

  test.each([
    [{ input: undefined }, "bad_request", "input"],
    [{ input: [] }, "bad_request", "input"],
    [{ input: [{ type: "web_search_call", id: "w" }] }, "bad_request", "input[0].type"],
    [
      { input: [{ role: "user", content: [{ type: "input_file", file_id: "x" }] }] },
      "bad_request",
      "input[0].content[0].type",
    ],
    [
      { input: [{ role: "user", content: [{ type: "input_image", image_url: "http://10.0.0.1/" }] }] },
      "unsupported_parameter",
      "input[0].content[0].image_url",
    ],
    [{ previous_response_id: "resp_1" }, "unsupported_parameter", "previous_response_id"],
    [{ conversation: { id: "c" } }, "unsupported_parameter", "conversation"],
    [{ background: true }, "unsupported_parameter", "background"],
    [{ include: ["message.output_text.logprobs"] }, "unsupported_parameter", "include"],
    [{ tools: [{ type: "web_search" }] }, "unsupported_parameter", "tools"],
    [{ tools: [f], tool_choice: { type: "web_search" } }, "unsupported_parameter", "tool_choice"],
    [{ max_output_tokens: "9" }, "bad_request", "max_output_tokens"],
  ])("refuses %j", (fields, code, param) => {
    expect(refusal(fields)).toMatchObject({ code, param });
  });
});
