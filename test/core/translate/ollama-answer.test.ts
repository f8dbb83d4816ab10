/** Whole answers and errors in Ollama's dialect. */
import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../../src/core/errors.ts";
import { ollamaLoaded, toOllamaAnswer } from "../../../src/core/translate/ollama-answer.ts";
import { toOllama } from "../../../src/core/translate/ollama-error.ts";
import streams from "../../fixtures/llama-streams.json";
import { ollamaOptions, START_MS } from "./translated.ts";

function answered(text: string, own = {}) {
  const answer = toOllamaAnswer(JSON.parse(text), ollamaOptions(own));
  if (!answer.ok) throw answer.error;
  return answer.body;
}

const FIGURES = {
  total_duration: expect.any(Number),
  load_duration: 1_500_000_000,
  prompt_eval_count: expect.any(Number),
  prompt_eval_duration: expect.any(Number),
  eval_count: expect.any(Number),
  eval_duration: expect.any(Number),
};

describe("a whole answer", () => {
  test("has text, thoughts, calls with objects, and all figures (facts/clients.md check 28)", () => {
    expect(answered(streams.toolsWhole)).toEqual({
      model: "llama3.2:1b",
      created_at: expect.any(String),
      message: {
        role: "assistant",
        content: "I ask. ",
        thinking: "Rain? Let me\nlook.\n",
        tool_calls: [
          {
            id: expect.any(String),
            function: { index: 0, name: "get_weather", arguments: { city: 'Osl"ø', days: 3 } },
          },
          { id: expect.any(String), function: { index: 1, name: "get_time", arguments: {} } },
        ],
      },
      done: true,
      done_reason: "stop",
      ...FIGURES,
    });
  });

  test("has `response` when it was generated, whatever endpoint it comes from", () => {
    for (const text of [streams.chatWhole, streams.completionWhole, streams.ownWhole]) {
      const { response, ...rest } = answered(text, { kind: "generate" });
      expect(response).toMatch(/^Synaptic turns/);
      expect(rest).toMatchObject({ done: true, done_reason: "length", ...FIGURES });
      expect(rest).not.toContainKeys(["context", "message"]);
    }
  });

  test("has logprobs", () => {
    expect(answered(streams.chatWhole).logprobs).toMatchObject([{ token: "Synaptic" }, {}, {}]);
  });

  test("that is none, or an error with status 200, is a failure", () => {
    for (const body of [
      null,
      5,
      [],
      {},
      { choices: [] },
      { choices: [{ message: { content: "a" } }] },
      { error: "x" },
    ]) {
      expect(toOllamaAnswer(body, ollamaOptions())).toMatchObject({ ok: false });
    }
    const call = { function: { name: "f", arguments: "{" } };
    const choices = [{ message: { tool_calls: [call] }, finish_reason: "tool_calls" }];
    expect(toOllamaAnswer({ choices }, ollamaOptions())).toMatchObject({ ok: false });
  });
});

test("what only loads or unloads has a reason and no figures (server/routes.go)", () => {
  const created_at = new Date(START_MS).toISOString();
  const said = { model: "m", created_at, done: true };
  const chat = ollamaLoaded({ kind: "chat", model: "m" }, { action: "load", nowMs: START_MS });
  expect(chat).toEqual({ ...said, message: { role: "assistant", content: "" }, done_reason: "load" });
  const text = ollamaLoaded({ kind: "generate", model: "m" }, { action: "unload", nowMs: START_MS });
  expect(text).toEqual({ ...said, response: "", done_reason: "unload" });
});

describe("an error", () => {
  test("is a text with the status of /v1; of an unknown model it is Ollama's own (facts/clients.md 2)", () => {
    const unknown = new SynapticError("model_not_found", "There is no model x", { hint: "look at /v1/models" });
    expect(toOllama(unknown, "x")).toMatchObject({ status: 404, body: { error: "model 'x' not found" } });
    const busy = new SynapticError("too_busy", "The queue is full", { hint: "try again", retryAfterMs: 3000 });
    expect(toOllama(busy, "x")).toEqual({
      status: 429,
      headers: { "retry-after": "3" },
      body: { error: "The queue is full (try again)" },
    });
  });
});
