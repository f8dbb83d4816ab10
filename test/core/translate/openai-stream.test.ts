/** Ollama's lines as OpenAI's clients get them. The lines are written as facts/clients.md 3a has them. */
import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../../src/core/errors.ts";
import { createOpenAiStream, toOpenAiAnswer } from "../../../src/core/translate/openai-stream.ts";
import { allCuts, oneByOne, randomCuts } from "../../fixtures/byte-cuts.ts";
import { createRandom } from "../../fixtures/random.ts";
import { eventsOf, nodeOptions, type Read, run } from "./translated.ts";

const NAMED = { model: "llama3.2:1b", created_at: "2026-11-24T18:00:00.123456789Z" };
const END = {
  ...NAMED,
  message: { role: "assistant", content: "" },
  done: true,
  done_reason: "stop",
  total_duration: 5_000_000,
  load_duration: 1_000_000,
  prompt_eval_count: 26,
  prompt_eval_duration: 2_000_000,
  eval_count: 3,
  eval_duration: 2_000_000,
};
const piece = (own: object) => ({ ...NAMED, message: { role: "assistant", content: "", ...own }, done: false });
const stream = (...lines: readonly object[]): string => lines.map((line) => `${JSON.stringify(line)}\n`).join("");

const TEXT = stream(piece({ content: "Grüße " }), piece({ content: '🦙, "a\\b"\n' }), END);
const call = (name: string, args: object, own: object = {}) => ({
  ...own,
  function: { index: 0, name, arguments: args },
});
const CALLS = stream(
  piece({ thinking: "Rain?" }),
  piece({ content: "I ask." }),
  piece({ tool_calls: [call("get_weather", { city: "Oslo", days: [3] }, { id: "call_1" })] }),
  piece({ tool_calls: [call("get_time", {})] }),
  END,
);

const eventsFor = (lines: string, own = {}) => eventsOf(run(createOpenAiStream(nodeOptions(own)), lines));
const chunksOf = (lines: string, own = {}): readonly Read[] =>
  eventsFor(lines, own).filter((event) => event !== "[DONE]");
const choices = (lines: string, own = {}) => chunksOf(lines, own).map(({ choices }) => (choices as Read[])[0]);

describe("a chat", () => {
  test("has one role, its text, one reason to finish, usage last, and [DONE] (facts/clients.md checks 2, 4)", () => {
    const base = {
      id: "chatcmpl-abc123",
      object: "chat.completion.chunk",
      created: 1_795_557_728,
      model: "llama3.2:1b",
      system_fingerprint: "fp_synaptic",
    };
    const chunk = (delta: object, finish_reason: string | null = null) => ({
      ...base,
      choices: [{ index: 0, delta, finish_reason }],
    });
    expect(eventsFor(TEXT)).toEqual([
      chunk({ role: "assistant", content: "" }),
      chunk({ content: "Grüße " }),
      chunk({ content: '🦙, "a\\b"\n' }),
      chunk({}, "stop"),
      { ...base, choices: [], usage: { prompt_tokens: 26, completion_tokens: 3, total_tokens: 29 } },
      "[DONE]",
    ]);
  });

  test("has no usage unless asked for (facts/clients.md check 4)", () => {
    const events = eventsFor(TEXT, { includeUsage: false });
    expect(JSON.stringify(events)).not.toContain("usage");
    expect(events.at(-1)).toBe("[DONE]");
  });

  test("has thoughts under both names (facts/clients.md check 38)", () => {
    expect(choices(CALLS)[1]).toMatchObject({ delta: { reasoning_content: "Rain?", reasoning: "Rain?" } });
  });

  test("has calls numbered in order, with text for arguments and an id each (facts/clients.md check 32)", () => {
    const calls = choices(CALLS).flatMap((choice) => (choice?.delta as { tool_calls?: object[] })?.tool_calls ?? []);
    expect(calls).toEqual([
      {
        index: 0,
        id: "call_1",
        type: "function",
        function: { name: "get_weather", arguments: '{"city":"Oslo","days":[3]}' },
      },
      { index: 1, id: "call_abc123_1", type: "function", function: { name: "get_time", arguments: "{}" } },
    ]);
    expect(
      choices(CALLS)
        .map((choice) => choice?.finish_reason ?? null)
        .filter(Boolean),
    ).toEqual(["tool_calls"]);
  });

  test("has only the first call when the client wants no more", () => {
    expect(JSON.stringify(eventsFor(CALLS, { oneToolCall: true }))).not.toContain("get_time");
  });

  test("takes text and calls on the last line too, and a reason left out for a stop", () => {
    const { done_reason, ...end } = END;
    const last = { ...end, message: { role: "assistant", content: "x", tool_calls: [call("f", {})] } };
    expect(choices(stream(last)).at(-2)).toMatchObject({ finish_reason: "tool_calls" });
    expect(choices(stream({ ...end, message: { role: "assistant", content: "x" } })).at(-2)).toMatchObject({
      finish_reason: "stop",
    });
    const cut = { ...END, done_reason: "length" };
    expect(choices(stream(piece({ content: "x" }), cut)).at(-2)).toMatchObject({ finish_reason: "length" });
  });

  test("says nothing for pieces without text", () => {
    expect(
      run(createOpenAiStream(nodeOptions()), stream(piece({}), piece({}))).startsWith('data: {"error"'),
    ).toBeTrue();
  });

  test("has logprobs as OpenAI has them (facts/clients.md check 51)", () => {
    const token = { token: "x", logprob: -0.5 };
    const logprobs = [{ ...token, bytes: [120], top_logprobs: [token] }];
    const [, choice] = choices(stream({ ...piece({ content: "x" }), logprobs }, END));
    expect(choice?.logprobs).toEqual({
      content: [{ ...token, bytes: [120], top_logprobs: [{ ...token, bytes: null }] }],
      refusal: null,
    });
  });
});

describe("a completion", () => {
  const lines = stream(
    { ...NAMED, response: "one ", done: false, logprobs: [{ token: "one ", logprob: -1 }] },
    {
      ...NAMED,
      response: "two",
      done: false,
      logprobs: [{ token: "two", logprob: -2, top_logprobs: [{ token: "2", logprob: -3 }] }],
    },
    { ...END, message: undefined, response: "" },
  );

  test("has no role, and logprobs in their old form", () => {
    const old = (text: string, own: object) => ({ index: 0, text, logprobs: own, finish_reason: null });
    expect(choices(lines, { kind: "completion", id: "cmpl-1" })).toEqual([
      old("one ", { tokens: ["one "], token_logprobs: [-1], top_logprobs: [{}], text_offset: [0] }),
      old("two", { tokens: ["two"], token_logprobs: [-2], top_logprobs: [{ 2: -3 }], text_offset: [4] }),
      { index: 0, text: "", logprobs: null, finish_reason: "stop" },
      undefined,
    ]);
    expect(chunksOf(lines, { kind: "completion" })[0]).toMatchObject({ object: "text_completion" });
  });
});

describe("what goes wrong", () => {
  const failureOf = (lines: string) => {
    const events = eventsFor(lines);
    expect(events).not.toContain("[DONE]");
    const last = events.at(-1) as { error: Read };
    expect(Object.keys(last.error).toSorted()).toEqual(["code", "message", "param", "type"]);
    return last.error;
  };
  const BEGUN = stream(piece({ content: "a" }));

  test("a late error is one frame, and no [DONE] follows (facts/clients.md 0.1, checks 5 and 7)", () => {
    expect(failureOf(BEGUN + stream({ error: "an error was encountered while running the model" }))).toMatchObject({
      code: "upstream_error",
      message: "Ollama failed: an error was encountered while running the model",
    });
    expect(failureOf(stream({ error: "the input length exceeds the context length" }))).toMatchObject({
      code: "context_length_exceeded",
      param: "messages",
    });
  });

  test("an end without `done` is a failure, wherever it comes (facts/clients.md check 8)", () => {
    const before = TEXT.lastIndexOf("\n", TEXT.length - 2) + 1;
    for (let at = 0; at < TEXT.length - 2; at += 3) {
      expect(failureOf(TEXT.slice(0, at)).message).toContain("ended in the middle");
    }
    expect(failureOf(TEXT.slice(0, before)).code).toBe("upstream_error");
  });

  test("the last line needs no line feed, and what follows it is nothing", () => {
    expect(eventsFor(TEXT.trimEnd())).toEqual(eventsFor(TEXT));
    expect(eventsFor(TEXT + TEXT)).toEqual(eventsFor(TEXT));
    expect(eventsFor(TEXT.replaceAll("\n{", "\r\n\r\n{"))).toEqual(eventsFor(TEXT));
  });

  test("lines that are none are a failure", () => {
    for (const line of ["nonsense\n", "5\n", "null\n", '{"done":"yes"}\n', '{"message":5}\n', "<html>\n"]) {
      expect(failureOf(BEGUN + line).code).toBe("upstream_error");
    }
  });

  test("a line without an end is given up at 8 MiB", () => {
    const translator = createOpenAiStream(nodeOptions());
    const mib = new Uint8Array(1024 ** 2).fill(97);
    let said = "";
    for (let sent = 0; sent < 9; sent++) said += translator.push(mib);
    expect(eventsOf(said)).toMatchObject([{ error: { message: expect.stringContaining("no end") } }]);
    expect(translator.push(mib) + translator.end()).toBe("");
  });

  test("nothing follows a good end", () => {
    const translator = createOpenAiStream(nodeOptions());
    translator.push(new TextEncoder().encode(TEXT));
    const late = new SynapticError("upstream_timeout", "Too late");
    expect(translator.keepAlive() + translator.fail(late) + translator.end()).toBe("");
  });

  test("nothing follows an error of ours", () => {
    const translator = createOpenAiStream(nodeOptions());
    const error = new SynapticError("upstream_timeout", "The node fell silent");
    expect(eventsOf(translator.fail(error))).toMatchObject([{ error: { code: "upstream_timeout" } }]);
    expect(run(translator, TEXT) + translator.keepAlive() + translator.fail(error)).toBe("");
  });
});

test("a comment that is no ping keeps the client waiting (facts/clients.md 0.3)", () => {
  expect(createOpenAiStream(nodeOptions()).keepAlive()).toBe(": keep-alive\n\n");
});

test("the cuts of the bytes change nothing", () => {
  const random = createRandom(11);
  const translate = (pieces: string | readonly Uint8Array[]) => run(createOpenAiStream(nodeOptions()), pieces);
  for (const lines of [TEXT, CALLS]) {
    const whole = translate(lines);
    expect(whole).not.toContain("\ufffd");
    expect(translate(oneByOne(lines))).toBe(whole);
    for (const pieces of allCuts(lines)) expect(translate(pieces)).toBe(whole);
    for (let round = 0; round < 50; round++) expect(translate(randomCuts(lines, random))).toBe(whole);
  }
});

describe("a whole answer", () => {
  const message = { role: "assistant", content: "", thinking: "hm", tool_calls: [call("f", { a: 1 }), call("g", {})] };

  test("of a chat has all that a stream has (facts/clients.md checks 1, 32)", () => {
    const answer = toOpenAiAnswer({ ...END, message }, nodeOptions());
    expect(answer).toEqual({
      ok: true,
      body: {
        id: "chatcmpl-abc123",
        object: "chat.completion",
        created: 1_795_557_728,
        model: "llama3.2:1b",
        system_fingerprint: "fp_synaptic",
        choices: [
          {
            index: 0,
            message: {
              role: "assistant",
              content: null,
              refusal: null,
              reasoning_content: "hm",
              reasoning: "hm",
              tool_calls: [
                { id: "call_abc123_0", type: "function", function: { name: "f", arguments: '{"a":1}' } },
                { id: "call_abc123_1", type: "function", function: { name: "g", arguments: "{}" } },
              ],
            },
            logprobs: null,
            finish_reason: "tool_calls",
          },
        ],
        usage: { prompt_tokens: 26, completion_tokens: 3, total_tokens: 29 },
      },
    });
  });

  test("of a completion has its text", () => {
    const answer = toOpenAiAnswer(
      { ...END, message: undefined, response: "x" },
      nodeOptions({ kind: "completion", id: "cmpl-1" }),
    );
    expect(answer).toMatchObject({
      body: { object: "text_completion", choices: [{ index: 0, text: "x", logprobs: null, finish_reason: "stop" }] },
    });
  });

  test("that was broken off is a failure, though its status is 200 (facts/clients.md 0.2)", () => {
    expect(toOpenAiAnswer({ ...END, done: false }, nodeOptions())).toMatchObject({
      ok: false,
      error: { code: "upstream_error" },
    });
    expect(toOpenAiAnswer({ error: "model 'x' not found" }, nodeOptions())).toMatchObject({
      error: { code: "model_not_found" },
    });
    for (const body of [null, 5, "x", []]) expect(toOpenAiAnswer(body, nodeOptions())).toMatchObject({ ok: false });
  });
});
