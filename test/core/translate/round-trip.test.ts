/** There and back again: what a client said is what comes out. */
import { describe, expect, test } from "bun:test";
import { isObject, type JsonObject } from "../../../src/core/translate/json.ts";
import { toNodeChat } from "../../../src/core/translate/node-chat.ts";
import { translateOllamaChat } from "../../../src/core/translate/ollama-request.ts";
import { createOllamaStream } from "../../../src/core/translate/ollama-stream.ts";
import { createOpenAiStream } from "../../../src/core/translate/openai-stream.ts";
import streams from "../../fixtures/llama-streams.json";
import { createRandom, type Random } from "../../fixtures/random.ts";
import { eventsOf, nodeOptions, ollamaOptions, type Read, run } from "./translated.ts";

const ROUNDS = 300;
const TARGET = { model: "m", contextSize: 4096, canThink: null };
const WORDS = ["", "hi", "Grüße 🦙", 'a "b" \\n', "\u0000\u2028", "<|im_end|>", "{}", "x".repeat(300)] as const;
const PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhE";
const TOOLS = [{ type: "function", function: { name: "f", parameters: { type: "object", properties: {} } } }];

/** A history as OpenAI's SDKs send it: calls are answered in any order. */
function history(random: Random): readonly JsonObject[] {
  const messages: JsonObject[] = [];
  const text = (): string => random.pick(WORDS);
  for (let turn = random.whole(1, 6); turn > 0; turn--) {
    const kind = random.whole(0, 3);
    if (kind === 0) messages.push({ role: "system", content: text() });
    if (kind === 1) messages.push({ role: "user", content: text() });
    if (kind === 2) {
      const content = [
        { type: "text", text: `see ${text()}` },
        { type: "image_url", image_url: { url: PNG } },
      ];
      messages.push({ role: "user", content });
    }
    if (kind === 3) messages.push(...calls(random, messages.length));
  }
  return messages.length > 0 ? messages : [{ role: "user", content: "x" }];
}

function calls(random: Random, at: number): readonly JsonObject[] {
  const made = Array.from({ length: random.whole(1, 3) }, (_, index) => ({
    id: `id_${at}_${index}`,
    type: "function",
    function: {
      name: random.pick(["f", "g"]),
      arguments: JSON.stringify({ a: random.pick(WORDS), b: [random.whole(0, 9)] }),
    },
  }));
  const results = made.map(({ id, function: { name } }) => ({
    role: "tool",
    content: random.pick(WORDS),
    tool_call_id: id,
    name,
  }));
  const thought = random.next() < 0.5 ? { reasoning_content: "hm" } : {};
  return [
    { role: "assistant", content: "", ...thought, tool_calls: made },
    ...results.toSorted(() => random.next() - 0.5),
  ];
}

function request(random: Random): JsonObject {
  const maybe = (fields: JsonObject): JsonObject => (random.next() < 0.5 ? fields : {});
  const schema = { type: "object", properties: { a: { type: "integer" } } };
  return {
    model: "m",
    messages: history(random),
    stream: random.next() < 0.5,
    ...maybe({ temperature: random.whole(0, 20) / 10 }),
    ...maybe({ top_p: random.next() }),
    ...maybe({ top_k: random.whole(1, 100) }),
    ...maybe({ seed: random.whole(0, 2 ** 31) }),
    ...maybe({ stop: ["a", "\n"].slice(0, random.whole(1, 2)) }),
    ...maybe({ max_tokens: random.whole(1, 5000) }),
    ...maybe({ presence_penalty: 0.5, frequency_penalty: -0.5 }),
    ...maybe({ response_format: { type: "json_schema", json_schema: { name: "schema", schema } } }),
    ...maybe({ tools: TOOLS }),
    ...maybe({ logprobs: true, top_logprobs: random.whole(1, 5) }),
  };
}

describe("requests", () => {
  test("of OpenAI's clients keep roles, texts, images, tools, results, stops, seeds and limits", () => {
    const random = createRandom(3);
    for (let round = 0; round < ROUNDS; round++) {
      const said = request(random);
      const there = toNodeChat(said, TARGET);
      if (!there.ok) throw there.error;
      const back = translateOllamaChat(JSON.parse(JSON.stringify(there.body)));
      if (!back.ok || back.action !== "ask") throw new Error("it did not come back");
      const { stream_options, ...body } = back.body;
      expect(body).toEqual(said);
      expect(back.wants).toMatchObject({ stream: said.stream, contextSize: 4096 });
    }
  });
});

interface Told {
  readonly text: string;
  readonly reasoning: string;
  readonly calls: readonly { name: string; args: string; id: string }[];
  readonly finish: readonly unknown[];
  readonly usage: unknown;
  readonly done: boolean;
}

/** What a client makes of a stream of OpenAI's. */
function toldBy(text: string): Told {
  const events = eventsOf(text);
  const chunks = events.filter((event) => event !== "[DONE]");
  const choices = chunks.flatMap(({ choices }) => choices as Read[]);
  const deltas = choices.map(({ delta }) => (isObject(delta) ? delta : {}));
  const calls: { name: string; args: string; id: string }[] = [];
  for (const part of deltas.flatMap((delta) => (delta.tool_calls as Read[] | undefined) ?? [])) {
    const call = calls[Number(part.index)] ?? { name: "", args: "", id: "" };
    calls[Number(part.index)] = call;
    const called = part.function as { name?: string; arguments?: string };
    call.id ||= String(part.id);
    call.name += called.name ?? "";
    call.args += called.arguments ?? "";
  }
  return {
    text: deltas.map(({ content }) => content ?? "").join(""),
    reasoning: deltas.map(({ reasoning_content }) => reasoning_content ?? "").join(""),
    calls: calls.map(({ args, ...call }) => ({ ...call, args: JSON.stringify(JSON.parse(args)) })),
    finish: choices.map(({ finish_reason }) => finish_reason).filter((reason) => reason !== null),
    usage: chunks.at(-1)?.usage,
    done: events.at(-1) === "[DONE]",
  };
}

describe("streams", () => {
  const throughOllama = (stream: string) =>
    run(createOpenAiStream(nodeOptions()), run(createOllamaStream(ollamaOptions()), stream));

  test("of llama-server mean the same after a way through Ollama's dialect", () => {
    for (const name of ["chat", "chatSchema", "tools"] as const) {
      const { usage, ...told } = toldBy(throughOllama(streams[name]));
      const { usage: before, ...original } = toldBy(streams[name]);
      expect(told).toEqual(original);
      expect(before).toMatchObject(usage as object);
    }
  });

  test("that break stay broken", () => {
    for (let at = 0; at < streams.tools.indexOf("data: [DONE]"); at += 13) {
      const said = throughOllama(streams.tools.slice(0, at));
      expect(said).not.toContain("[DONE]");
      expect(eventsOf(said).at(-1)).toMatchObject({ error: { code: "upstream_error" } });
    }
  });
});
