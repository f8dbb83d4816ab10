/** Whatever is sent, by clients or by upstreams, nothing throws, and nothing unfinished passes for finished. */
import { describe, expect, test } from "bun:test";
import { toNodeChat } from "../../../src/core/translate/node-chat.ts";
import { toNodeCompletion } from "../../../src/core/translate/node-completion.ts";
import { fromNodeEmbed, toNodeEmbed } from "../../../src/core/translate/node-embed.ts";
import { toOllamaAnswer } from "../../../src/core/translate/ollama-answer.ts";
import {
  toOllamaEmbed,
  translateOllamaEmbed,
  translateOllamaEmbeddings,
} from "../../../src/core/translate/ollama-embed.ts";
import { translateOllamaGenerate } from "../../../src/core/translate/ollama-generate.ts";
import { translateOllamaChat } from "../../../src/core/translate/ollama-request.ts";
import { createOllamaStream } from "../../../src/core/translate/ollama-stream.ts";
import { createOpenAiStream, toOpenAiAnswer } from "../../../src/core/translate/openai-stream.ts";
import streams from "../../fixtures/llama-streams.json";
import { createRandom, type Random } from "../../fixtures/random.ts";
import { eventsOf, linesOf, nodeOptions, ollamaOptions, run } from "./translated.ts";

const ROUNDS = 1500;
const TARGET = { model: "m", contextSize: 4096, canThink: null };
const KEYS = [
  ...[
    "model",
    "messages",
    "role",
    "content",
    "images",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "options",
    "stop",
  ],
  ...["format", "response_format", "type", "json_schema", "schema", "keep_alive", "think", "tools", "prompt", "suffix"],
  ...["raw", "template", "context", "input", "dimensions", "logprobs", "top_logprobs", "stream", "index", "choices"],
  ...["delta", "message", "text", "finish_reason", "usage", "timings", "error", "code", "done", "done_reason", "data"],
  ...["embedding", "embeddings", "response", "image_url", "url", "tool_choice", "seed", "num_predict", "__proto__"],
] as const;
const LEAVES = [
  ...[
    null,
    true,
    false,
    0,
    1,
    -1,
    1.5,
    1e308,
    2 ** 53,
    "",
    "x",
    "user",
    "assistant",
    "tool",
    "json",
    "text",
    "image_url",
  ],
  ...["stop", "length", "5m", "AAAA", "data:image/png;base64,AAAA", "{{ .Prompt }}", "{", "\ud800", "required"],
] as const;

function value(random: Random, depth: number): unknown {
  const kind = depth === 0 ? 0 : random.whole(0, 3);
  if (kind <= 1) return LEAVES[random.whole(0, LEAVES.length - 1)];
  const items = Array.from({ length: random.whole(0, 4) }, () => value(random, depth - 1));
  if (kind === 2) return items;
  return Object.fromEntries(items.map((item) => [KEYS[random.whole(0, KEYS.length - 1)], item]));
}

/** Almost a request: enough is right to get past the first check. */
function nearly(random: Random): unknown {
  if (random.next() < 0.1) return value(random, 3);
  const base = { model: "m", messages: [{ role: "user", content: "x" }], prompt: "x", input: "x" };
  const own = Array.from({ length: random.whole(0, 5) }, () => [
    KEYS[random.whole(0, KEYS.length - 1)],
    value(random, 4),
  ]);
  return { ...base, ...Object.fromEntries(own) };
}

describe("requests", () => {
  const translators = [
    translateOllamaChat,
    translateOllamaGenerate,
    translateOllamaEmbed,
    translateOllamaEmbeddings,
    (body: unknown) => toNodeChat(body, TARGET),
    (body: unknown) => toNodeCompletion(body, TARGET),
    (body: unknown) => toNodeEmbed(body, TARGET),
  ];

  test("of any shape are translated or refused as the client's fault", () => {
    const random = createRandom(21);
    let translated = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const body = nearly(random);
      for (const translate of translators) {
        const result = translate(body);
        if (result.ok) translated++;
        else expect(["bad_request", "unsupported_parameter"]).toContain(result.error.code);
      }
    }
    expect(translated).toBeGreaterThan(ROUNDS);
  });

  test("nested without end are refused, also when the nest is within a text", () => {
    let deep: unknown = {};
    for (let level = 0; level < 200_000; level++) deep = { a: deep };
    const call = { role: "assistant", tool_calls: [{ function: { name: "f", arguments: deep } }] };
    expect(translateOllamaChat({ model: "m", messages: [call] })).toMatchObject({
      ok: false,
      error: { code: "bad_request" },
    });
    const text = `${'{"a":'.repeat(200_000)}1${"}".repeat(200_000)}`;
    const parsed = { role: "assistant", tool_calls: [{ function: { name: "f", arguments: text } }] };
    expect(toNodeChat({ messages: [parsed] }, TARGET)).toMatchObject({ ok: false, error: { code: "bad_request" } });
    const schema = { model: "m", messages: [{ role: "user", content: "x" }], format: deep };
    expect(translateOllamaChat(schema)).toMatchObject({ ok: false, error: { code: "bad_request" } });
  });
});

describe("answers", () => {
  test("of any shape are translated or a failure", () => {
    const random = createRandom(22);
    const embed = { model: "m", contextSize: 4096, wants: { count: 1, encoding: "float" } } as const;
    for (let round = 0; round < ROUNDS; round++) {
      const body = round % 2 === 0 ? nearly(random) : value(random, 6);
      expect(toOllamaAnswer(body, ollamaOptions()).ok).toBeBoolean();
      expect(toOpenAiAnswer(body, nodeOptions()).ok).toBeBoolean();
      expect(toOllamaEmbed(body, { ...ollamaOptions(), dimensions: 3 }).ok).toBeBoolean();
      expect(fromNodeEmbed(body, embed).ok).toBeBoolean();
    }
  });

  test("with calls nested without end are a failure", () => {
    const text = `${'{"a":'.repeat(200_000)}1${"}".repeat(200_000)}`;
    const line = `{"message":{"content":"","tool_calls":[{"function":{"name":"f","arguments":${text}}}]},"done":true}\n`;
    const said = eventsOf(run(createOpenAiStream(nodeOptions()), line));
    expect(said.at(-1)).toMatchObject({ error: { code: "upstream_error" } });
    const delta = { tool_calls: [{ index: 0, function: { name: "f", arguments: text } }] };
    const chunk = (own: object): string => `data: ${JSON.stringify({ choices: [{ index: 0, ...own }] })}\n\n`;
    const stream = `${chunk({ delta })}${chunk({ delta: {}, finish_reason: "tool_calls" })}data: [DONE]\n\n`;
    expect(linesOf(run(createOllamaStream(ollamaOptions()), stream)).at(-1)).toContainKey("error");
  });
});

/** A few bytes changed, taken out or put in. */
function damaged(text: string, random: Random): Uint8Array {
  const bytes = [...new TextEncoder().encode(text)];
  for (let times = random.whole(1, 4); times > 0; times--) {
    const at = random.whole(0, bytes.length - 1);
    const own = Array.from({ length: random.whole(0, 2) }, () => random.whole(0, 255));
    bytes.splice(at, random.whole(0, 3), ...own);
  }
  return Uint8Array.from(bytes);
}

describe("streams", () => {
  const ollamaLines = run(createOllamaStream(ollamaOptions()), streams.tools);

  test("of damaged bytes end once, as whole or as an error", () => {
    const random = createRandom(23);
    for (let round = 0; round < ROUNDS / 3; round++) {
      const stream = streams[random.pick(["chat", "tools", "completion", "own"])];
      const lines = linesOf(run(createOllamaStream(ollamaOptions()), [damaged(stream, random)]));
      const ends = lines.filter((line) => line.done === true || "error" in line);
      expect(ends).toEqual([lines.at(-1) as never]);

      const events = eventsOf(run(createOpenAiStream(nodeOptions()), [damaged(ollamaLines, random)]));
      const closed = events.filter((event) => event === "[DONE]" || "error" in event);
      expect(closed).toEqual([events.at(-1) as never]);
    }
  });

  test("of noise are errors", () => {
    const random = createRandom(24);
    for (let round = 0; round < 200; round++) {
      const noise = Uint8Array.from({ length: random.whole(0, 400) }, () => random.whole(0, 255));
      expect(linesOf(run(createOllamaStream(ollamaOptions()), [noise])).at(-1)).toContainKey("error");
      expect(eventsOf(run(createOpenAiStream(nodeOptions()), [noise])).at(-1)).toContainKey("error");
    }
  });

  test("of calls without end are given up", () => {
    const translator = createOllamaStream(ollamaOptions());
    const part = (index: number, text: string) => ({ index, function: { name: "f", arguments: text } });
    const push = (tool_calls: readonly object[]): string =>
      translator.push(
        new TextEncoder().encode(`data: ${JSON.stringify({ choices: [{ delta: { tool_calls } }] })}\n\n`),
      );
    let said = "";
    for (let sent = 0; sent < 10 && said === ""; sent++) said = push([part(0, "a".repeat(1024 ** 2))]);
    expect(linesOf(said)).toEqual([{ error: expect.stringContaining("no end") }]);
    const many = createOllamaStream(ollamaOptions());
    const calls = Array.from({ length: 2000 }, (_, index) => part(index, "{}"));
    const chunk = `data: ${JSON.stringify({ choices: [{ delta: { tool_calls: calls } }] })}\n\n`;
    expect(linesOf(run(many, chunk))).toEqual([{ error: expect.stringContaining("no end") }]);
  });
});
