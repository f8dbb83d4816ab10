/** llama-server's streams as Ollama's clients get them. The streams are recorded (scripts/capture-streams.ts). */
import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../../src/core/errors.ts";
import { createOllamaStream } from "../../../src/core/translate/ollama-stream.ts";
import { allCuts, oneByOne, randomCuts } from "../../fixtures/byte-cuts.ts";
import streams from "../../fixtures/llama-streams.json";
import { createRandom } from "../../fixtures/random.ts";
import { linesOf, ollamaOptions, run, START_MS, stillOllamaOptions } from "./translated.ts";

const SPLIT = "\n\n";
const MODEL = "llama3.2:1b";

const linesFor = (stream: string, own = {}) => linesOf(run(createOllamaStream(ollamaOptions(own)), stream));
const messages = (stream: string, own = {}) => linesFor(stream, own).map(({ message }) => message);

describe("a chat", () => {
  test("comes piece by piece, and figures in nanoseconds on the last line alone (facts/clients.md 3a)", () => {
    const lines = linesFor(streams.chat);
    expect(lines.slice(0, -1)).toEqual(
      ["Synaptic", " turns", " the"].map((content) => ({
        model: MODEL,
        created_at: expect.stringMatching(/^2026-11-24T18:00:02\.\d{3}Z$/),
        message: { role: "assistant", content },
        done: false,
      })),
    );
    const timings = JSON.parse(/"timings":(\{.*?\})/.exec(streams.chat)?.[1] ?? "");
    expect(lines.at(-1)).toEqual({
      model: MODEL,
      created_at: expect.any(String),
      message: { role: "assistant", content: "" },
      done: true,
      done_reason: "length",
      total_duration: expect.any(Number),
      load_duration: 1_500_000_000,
      prompt_eval_count: timings.prompt_n + timings.cache_n,
      prompt_eval_duration: Math.round(timings.prompt_ms * 1e6),
      eval_count: 3,
      eval_duration: Math.round(timings.predicted_ms * 1e6),
    });
    expect(lines.at(-1)?.total_duration).toBeGreaterThan(2_000_000_000);
  });

  test("has the same figures when they come with the reason to finish", () => {
    const timings = JSON.parse(/"timings":(\{.*?\})/.exec(streams.chatWithoutUsage)?.[1] ?? "");
    const counted = { prompt_eval_count: timings.prompt_n + timings.cache_n, eval_count: 3 };
    expect(linesFor(streams.chatWithoutUsage).at(-1)).toMatchObject(counted);
  });

  test("counts by usage and measures itself where an upstream has no timings", () => {
    const chunk = (own: object): string => `data: ${JSON.stringify(own)}\n\n`;
    const stream =
      chunk({ choices: [{ index: 0, delta: { content: "a" }, finish_reason: null }] }) +
      chunk({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }) +
      chunk({ choices: [], usage: { prompt_tokens: 7, completion_tokens: 1, total_tokens: 8 } }) +
      "data: [DONE]\n\n";
    expect(linesFor(stream).at(-1)).toMatchObject({
      done_reason: "stop",
      prompt_eval_count: 7,
      prompt_eval_duration: 510_000_000,
      eval_count: 1,
      eval_duration: 20_000_000,
    });
  });

  test("has thoughts apart from its text, and whole tool calls with objects before the last line", () => {
    expect(messages(streams.tools)).toEqual([
      { role: "assistant", content: "", thinking: "Rain?" },
      { role: "assistant", content: "", thinking: " Let" },
      { role: "assistant", content: "", thinking: " me\nlook.\n" },
      { role: "assistant", content: "I" },
      { role: "assistant", content: " ask." },
      { role: "assistant", content: " " },
      {
        role: "assistant",
        content: "",
        tool_calls: [
          {
            id: expect.any(String),
            function: { index: 0, name: "get_weather", arguments: { city: 'Osl"ø', days: 3 } },
          },
          { id: expect.any(String), function: { index: 1, name: "get_time", arguments: {} } },
        ],
      },
      { role: "assistant", content: "" },
    ]);
    // Ollama knows no reason of its own for calls (facts/clients.md 3a).
    expect(linesFor(streams.tools).at(-1)).toMatchObject({ done: true, done_reason: "stop" });
  });

  test("keeps calls apart that only their ids tell apart", () => {
    const part = (id: string | null, name: string | null, args: string) => ({
      id,
      function: { name, arguments: args },
    });
    const chunk = (tool_calls: readonly object[], finish_reason: string | null = null): string =>
      `data: ${JSON.stringify({ choices: [{ index: 0, delta: { tool_calls }, finish_reason }] })}\n\n`;
    const stream =
      chunk([part("a", "f", '{"x":')]) + chunk([part(null, null, "1}")]) + chunk([part("b", "g", "{}")], "tool_calls");
    expect(messages(`${stream}data: [DONE]\n\n`)[0]).toMatchObject({
      tool_calls: [
        { id: "a", function: { index: 0, name: "f", arguments: { x: 1 } } },
        { id: "b", function: { index: 1, name: "g", arguments: {} } },
      ],
    });
  });

  test("leaves out a call that the limit of tokens cut, and says that it was the limit", () => {
    const lines = linesFor(streams.toolsCut);
    expect(JSON.stringify(lines)).not.toContain("tool_calls");
    expect(lines.at(-1)).toMatchObject({ done: true, done_reason: "length" });
  });

  test("has logprobs, and the likeliest others only when they were asked for", () => {
    const [first] = linesFor(streams.chatLogprobs);
    const token = { token: "Synaptic", logprob: 0, bytes: [83, 121, 110, 97, 112, 116, 105, 99] };
    expect(first?.logprobs).toEqual([token]);
    const [withTop] = linesFor(streams.chatLogprobs, { topLogprobs: true });
    expect(withTop?.logprobs).toMatchObject([{ ...token, top_logprobs: [token, { token: expect.any(String) }] }]);
  });

  test("that keeps to a schema is text like any other", () => {
    const text = linesFor(streams.chatSchema).map(({ message }) => (message as { content: string }).content);
    expect(JSON.parse(text.join(""))).toEqual({ a: expect.any(Number) });
  });
});

describe("a generated text", () => {
  const generated = (stream: string) => linesFor(stream, { kind: "generate" });

  test("comes as `response`, from a chat, a completion or llama-server's own form", () => {
    for (const stream of [streams.chat, streams.completion, streams.own]) {
      const lines = generated(stream);
      expect(lines.map(({ response }) => response).join("")).toMatch(/^Synaptic turns/);
      expect(lines.every((line) => !("message" in line) && !("context" in line))).toBeTrue();
      expect(lines.at(-1)).toMatchObject({ done: true, done_reason: "length", response: "" });
      expect(lines.at(-1)?.prompt_eval_count).toBeGreaterThan(0);
    }
  });

  test("has its thoughts beside it", () => {
    expect(generated(streams.tools)[0]).toMatchObject({ response: "", thinking: "Rain?", done: false });
  });

  test("has logprobs in each form", () => {
    for (const stream of [streams.completion, streams.own]) {
      expect(generated(stream)[0]?.logprobs).toMatchObject([{ token: "Synaptic" }]);
    }
  });
});

describe("what goes wrong", () => {
  const errorOf = (stream: string) => {
    const lines = linesFor(stream);
    expect(lines.some(({ done }) => done === true)).toBeFalse();
    expect(Object.keys(lines.at(-1) ?? {})).toEqual(["error"]);
    return lines.at(-1)?.error;
  };
  const FRAME = 'data: {"error":{"code":500,"message":"Compute error.","type":"server_error"}}\n\n';

  test("an error frame is the last line, without `done` (facts/clients.md 2a)", () => {
    const begun = streams.chat.split(SPLIT).slice(0, 3).join(SPLIT) + SPLIT;
    expect(errorOf(begun + FRAME)).toBe("llama-server failed: Compute error.");
    expect(errorOf(`${begun}data: {"error":"no more"}\n\n`)).toBe("The upstream failed: no more");
    expect(errorOf(`${begun}data: {"error":{"message":"no more","code":"x"}}\n\n`)).toContain("no more");
  });

  test("a stream that ends early is an error, wherever it ends", () => {
    const events = streams.chat.trimEnd().split(SPLIT);
    for (let kept = 0; kept < events.length; kept++) {
      expect(
        errorOf(
          events
            .slice(0, kept)
            .map((event) => event + SPLIT)
            .join(""),
        ),
      ).toContain("ended in the middle");
    }
    const done = streams.chat.indexOf("data: [DONE]");
    for (let at = 0; at < done + 11; at += 7) expect(errorOf(streams.chat.slice(0, at))).toBeString();
  });

  test("`[DONE]` without a reason to finish is no end (facts/clients.md 2a, A2)", () => {
    expect(errorOf("data: [DONE]\n\n")).toContain("ended in the middle");
  });

  test("a missing blank line after `[DONE]` is nothing (facts/clients.md 2a, P)", () => {
    for (const ending of ["\n", "", "\r\n"]) {
      expect(linesFor(streams.chat.trimEnd() + ending).at(-1)).toMatchObject({ done: true });
    }
  });

  test("arguments that are no object are an error", () => {
    const call = { index: 0, id: "a", function: { name: "f", arguments: '{"a":' } };
    const stream =
      `data: ${JSON.stringify({ choices: [{ index: 0, delta: { tool_calls: [call] } }] })}\n\n` +
      `data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: "tool_calls" }] })}\n\ndata: [DONE]\n\n`;
    expect(errorOf(stream)).toContain("tool call");
  });

  test("an event without an end is given up at 8 MiB", () => {
    const translator = createOllamaStream(ollamaOptions());
    const mib = new Uint8Array(1024 ** 2).fill(97);
    let said = translator.push(new TextEncoder().encode('data: {"a":"'));
    for (let sent = 0; sent < 9; sent++) said += translator.push(mib);
    expect(linesOf(said)).toEqual([{ error: expect.stringContaining("has no end") }]);
    expect(translator.push(mib) + translator.end()).toBe("");
  });

  test("nothing follows an error of ours", () => {
    const translator = createOllamaStream(ollamaOptions());
    const error = new SynapticError("upstream_timeout", "The model fell silent");
    expect(linesOf(translator.fail(error))).toEqual([{ error: "The model fell silent" }]);
    expect(run(translator, streams.chat) + translator.keepAlive() + translator.fail(error)).toBe("");
  });
});

test("a piece without text keeps the client waiting (facts/clients.md 0.4)", () => {
  const chat = createOllamaStream(stillOllamaOptions()).keepAlive();
  const created_at = new Date(START_MS + 2000).toISOString();
  const message = { role: "assistant", content: "" };
  expect(linesOf(chat)).toEqual([{ model: MODEL, created_at, message, done: false }]);
  const text = createOllamaStream(stillOllamaOptions({ kind: "generate" })).keepAlive();
  expect(linesOf(text)).toEqual([{ model: MODEL, created_at, response: "", done: false }]);
});

test("the cuts of the bytes, line ends and comments change nothing", () => {
  const random = createRandom(7);
  const translate = (pieces: string | readonly Uint8Array[]) => run(createOllamaStream(stillOllamaOptions()), pieces);
  for (const stream of [streams.tools, streams.chatSchema, streams.own]) {
    const whole = translate(stream);
    expect(translate(oneByOne(stream))).toBe(whole);
    for (let round = 0; round < 20; round++) expect(translate(randomCuts(stream, random))).toBe(whole);
    const other = stream.replaceAll("\n\n", "\r\n\r\n: loading\r\n\r\nid: 1\r\nevent: message\r\n");
    expect(translate(other)).toBe(whole);
    expect(translate(randomCuts(other, random))).toBe(whole);
  }
  const whole = translate(streams.tools);
  for (const pieces of allCuts(streams.tools)) expect(translate(pieces)).toBe(whole);
});
