import { describe, expect, test } from "bun:test";
import { stripBilling } from "../../../src/core/translate/anthropic-billing.ts";
import { fromAnthropicCount, fromAnthropicRequest } from "../../../src/core/translate/anthropic-request.ts";
import { createAnthropicStream } from "../../../src/core/translate/anthropic-stream.ts";
import { createOpenAiReader } from "../../../src/core/translate/openai-events.ts";
import { fromResponsesRequest } from "../../../src/core/translate/responses-request.ts";
import { createResponsesStream } from "../../../src/core/translate/responses-stream.ts";
import { createRandom, type Random } from "../../fixtures/random.ts";
import { readMessage } from "./anthropic-client.ts";
import { bytesOf, cut, eventsOf, recorded, translate } from "./recorded.ts";

const identity = { id: "a1", model: "m", createdS: 1 };
const streams = [
  () => createAnthropicStream(createOpenAiReader(), identity),
  () => createResponsesStream(createOpenAiReader(), { identity, echo: {} }),
] as const;

const MESSAGES = {
  model: "m",
  max_tokens: 5,
  system: [{ type: "text", text: "s" }],
  messages: [
    {
      role: "user",
      content: [
        { type: "text", text: "a" },
        { type: "image", source: { type: "base64", media_type: "image/png", data: "AA==" } },
      ],
    },
    {
      role: "assistant",
      content: [
        { type: "thinking", thinking: "t" },
        { type: "tool_use", id: "i", name: "f", input: { a: 1 } },
      ],
    },
    {
      role: "user",
      content: [{ type: "tool_result", tool_use_id: "i", content: [{ type: "text", text: "r" }], is_error: true }],
    },
  ],
  tools: [{ name: "f", input_schema: { type: "object" } }],
  tool_choice: { type: "tool", name: "f" },
  thinking: { type: "enabled", budget_tokens: 5 },
};
const RESPONSES = {
  model: "m",
  instructions: "s",
  input: [
    { role: "user", content: [{ type: "input_text", text: "a" }] },
    { type: "reasoning", summary: [{ text: "t" }] },
    { type: "function_call", call_id: "i", name: "f", arguments: "{}" },
    { type: "function_call_output", call_id: "i", output: "r" },
  ],
  tools: [{ type: "function", name: "f", parameters: {} }],
  tool_choice: { type: "allowed_tools", mode: "auto", tools: [{ type: "function", name: "f" }] },
  text: { format: { type: "json_schema", name: "n", schema: {} } },
};

const JUNK = [
  null,
  undefined,
  0,
  -1,
  1e300,
  "",
  "x",
  "text",
  [],
  [null],
  [[]],
  {},
  { type: "text" },
  { type: 5 },
  true,
] as const;

/** The same value with one place of it, at any depth, replaced by something that does not belong there. */
function spoil(value: unknown, random: Random): unknown {
  if (typeof value !== "object" || value === null || random.next() < 0.15) return random.pick(JUNK);
  const keys = Object.keys(value);
  const at = keys[random.whole(0, keys.length - 1)];
  if (Array.isArray(value)) return value.map((item, index) => (String(index) === at ? spoil(item, random) : item));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, key === at ? spoil(item, random) : item]));
}

describe("hostile input in dialects of messages", () => {
  test.each([
    ["Anthropic's requests", MESSAGES, fromAnthropicRequest],
    ["counts", MESSAGES, fromAnthropicCount],
    ["Responses", RESPONSES, fromResponsesRequest],
  ])("%s with anything anywhere are translated or refused, and nothing throws", (_, good, translateRequest) => {
    expect(translateRequest(good)).toMatchObject({ ok: true });
    let refused = 0;
    for (let seed = 1; seed <= 3000; seed++) {
      const random = createRandom(seed);
      const spoilt = spoil(random.next() < 0.5 ? spoil(good, random) : good, random);
      const translated = translateRequest(stripBilling(spoilt));
      if (translated.ok) expect(JSON.parse(JSON.stringify(translated.body)).messages, `seed ${seed}`).not.toBeEmpty();
      else {
        refused += 1;
        expect(["bad_request", "unsupported_parameter"], `seed ${seed}`).toContain(translated.error.code);
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });

  test("what is nested beyond all measure is refused", () => {
    let deep: unknown = 1;
    for (let level = 0; level < 100_000; level++) deep = { deep };
    const refused = { ok: false, error: { code: "bad_request" } };
    expect(fromAnthropicRequest({ ...MESSAGES, tools: [{ name: "f", input_schema: deep }] })).toMatchObject(refused);
    expect(fromResponsesRequest({ ...RESPONSES, metadata: deep })).toMatchObject(refused);
  });

  test("a stream with bytes changed anywhere ends in its dialect's way: whole or in an error", () => {
    for (const create of streams) {
      for (let seed = 1; seed <= 300; seed++) {
        const random = createRandom(seed);
        const bytes = new Uint8Array(recorded("chat-tools-stream"));
        for (let n = random.whole(1, 4); n > 0; n--) bytes[random.whole(0, bytes.length - 1)] = random.whole(0, 255);
        const text = translate(create(), cut(bytes, random));
        const last = eventsOf(text).at(-1)?.name ?? "";
        expect(
          ["message_stop", "error", "response.completed", "response.incomplete", "response.failed"],
          `seed ${seed}`,
        ).toContain(last);
        if (last === "message_stop") expect(readMessage(eventsOf(text)).error, `seed ${seed}`).toBeNull();
      }
    }
  });

  // Without what goes wrong before it, this would be a whole answer.
  const END = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n';

  test.each([
    ["no JSON", "data: nonsense\n\n"],
    ["another shape", 'data: {"choices":[{"delta":{"content":5}}]}\n\n'],
    ["a whole answer of another dialect", 'data: {"type":"message_stop"}\n\n'],
    ["a text for an error", 'data: {"error":"out of memory"}\n\n'],
    ["a line without end", `: ${"x".repeat(9 * 1024 ** 2)}\n\n`],
    ["an event without end", `${`data: ${"x".repeat(1024)}\n`.repeat(9 * 1024)}\n`],
  ])("%s is an error of the upstream", (_, text) => {
    for (const create of streams) {
      expect(eventsOf(translate(create(), [bytesOf(text + END)])).at(-1)?.name).toMatch(/^(?:error|response\.failed)$/);
    }
  });

  test("more calls than any answer has are an error, not a growing list", () => {
    const call = (index: number) => ({ index, id: `c${index}`, function: { name: "f", arguments: "{}" } });
    const text = `data: ${JSON.stringify({ choices: [{ index: 0, delta: { tool_calls: Array.from({ length: 2000 }, (_, at) => call(at)) } }] })}\n\n`;
    for (const create of streams)
      expect(eventsOf(translate(create(), [bytesOf(text + END)])).at(-1)?.name).toMatch(/error|failed/);
  });
});
