/** Streams that break at every byte, and what their clients get in the end. */
import { describe, expect, test } from "bun:test";
import { continuationOf, nextBody, type Resumable, whyNotResumable } from "../../src/core/continuation.ts";
import { createResumedStream } from "../../src/core/continuation-stream.ts";
import { readOpenAiChunk } from "../../src/core/translate/openai-chunk.ts";
import { chatChunk, DONE, event } from "../fakes/llama-answers.ts";
import streams from "../fixtures/llama-streams.json";
import { createRandom } from "../fixtures/random.ts";
import {
  CHAT,
  COMPLETION,
  hearAll,
  PROMPT,
  play,
  type Reciter,
  streamOf,
  TEXT,
  THOUGHT,
  withFields,
} from "./continuation-support.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const WITH_USAGE = withFields(CHAT, { stream_options: { include_usage: true } });

const KINDS: readonly [string, Reciter, Resumable][] = [
  ["a chat", { tokens: TEXT, promptTokens: 9 }, CHAT],
  ["a chat that counts its tokens", { tokens: TEXT, promptTokens: 9 }, WITH_USAGE],
  ["a chat with a limit", { tokens: TEXT, promptTokens: 9 }, withFields(WITH_USAGE, { max_tokens: 12 })],
  ["a chat that thinks", { tokens: [...THOUGHT, ...TEXT], promptTokens: 9 }, WITH_USAGE],
  ["a chat of one word", { tokens: TEXT.slice(0, 1), promptTokens: 9 }, WITH_USAGE],
  ["a completion", { tokens: TEXT, promptTokens: 9 }, COMPLETION],
  ["a completion with a limit", { tokens: TEXT, promptTokens: 9 }, withFields(COMPLETION, { max_tokens: 5 })],
];

describe.each(KINDS)("%s", (_, reciter, request) => {
  const unbroken = streamOf(reciter, request);
  const whole = hearAll(unbroken);
  const size = bytes(unbroken).length;

  test("that breaks at any byte is heard as if it had not", () => {
    for (let cut = 0; cut < size; cut++) expect(hearAll(play(reciter, request, [cut]))).toEqual(whole);
  });

  test("that breaks three times is too, wherever that is", () => {
    const random = createRandom(7);
    for (let run = 0; run < 300; run++) {
      const cuts = [0, 1, 2].map(() => random.whole(0, size));
      expect(hearAll(play(reciter, request, cuts))).toEqual(whole);
    }
  });
});

test("a stream that broke counts its tokens as one answer for the translators too, who look at timings first", () => {
  const reciter = { tokens: TEXT, promptTokens: 9 };
  const unbroken = streamOf(reciter, WITH_USAGE);
  const counts = (stream: string) => {
    const blocks = stream.split("\n\n").filter((block) => block.startsWith("data: {"));
    const events = blocks.flatMap((block) => readOpenAiChunk(JSON.parse(block.slice("data:".length))) ?? []);
    return events.flatMap((event) =>
      event.tag === "counts" ? [[event.counts.promptTokens, event.counts.answerTokens]] : [],
    );
  };
  expect(counts(unbroken)).toEqual([[9, TEXT.length + 1]]);
  const half = Math.floor(bytes(unbroken).length / 2);
  expect(counts(play(reciter, WITH_USAGE, [half]))).toEqual(counts(unbroken));
});

describe("a recorded stream", () => {
  test.each(["chat", "chatWithoutUsage"] as const)(
    "%s, cut at every byte, is gone on with from what was heard",
    (name) => {
      const all = bytes(streams[name]);
      for (let cut = 0; cut < all.length; cut++) {
        const before = new TextDecoder().decode(all.subarray(0, cut));
        const heard = before.slice(0, before.lastIndexOf("\n\n") + 2);
        const said = ["Synaptic", " turns", " the"].filter((word) => heard.includes(`${JSON.stringify(word)}}}`));
        const next = continuationOf(name === "chat" ? WITH_USAGE : CHAT, [all.subarray(0, cut)]);
        if (next.kind === "impossible") throw new Error(next.why);
        if (next.kind === "over") continue;
        const ends = next.said.finish === null ? -1 : said.length;
        expect(next.first.text).toBe(said.slice(0, ends).join(""));
      }
    },
  );

  test.each([
    ["chatLogprobs", CHAT, "its probabilities go with each token"],
    ["completion", COMPLETION, "its probabilities go with each token"],
    ["tools", CHAT, "it holds tool_calls"],
  ] as const)("%s is not, whatever its request was", (name, request, why) => {
    const half = bytes(streams[name]).subarray(0, streams[name].lastIndexOf('"finish_reason":null'));
    expect(continuationOf(request, [half])).toEqual({ kind: "impossible", why });
  });
});

describe("a sampled word that does not come again", () => {
  const said =
    chatChunk({ role: "assistant", content: null }) + chatChunk({ content: "One" }) + chatChunk({ content: " two" });
  const next = continuationOf(CHAT, [bytes(said)]);
  if (next.kind !== "go") throw new Error("It must go on");

  test.each([
    ["another word", [chatChunk({ content: " three" })]],
    ["another word after its beginning", [chatChunk({ content: " t" }), chatChunk({ content: "en" })]],
    ["an end", [chatChunk({}, "stop")]],
    ["an end after its beginning", [chatChunk({ content: " tw" }), DONE]],
    ["a thought", [chatChunk({ reasoning_content: " two" })]],
    ["a call", [chatChunk({ tool_calls: [{}] })]],
  ])("is seen: %s", (_, events) => {
    const stream = createResumedStream({ said: next.said, seam: next.first, tokens: 1 });
    expect(events.map((each) => stream.push(bytes(each))).at(-1)).toBe("");
    expect(stream.hasDiverged()).toBe(true);
  });

  test("leaves the whole text to go on from", () => {
    expect(next.first).toMatchObject({ text: "One", pieces: 1 });
    expect(next.whole).toMatchObject({ text: "One two", pieces: 2, dropped: [] });
    if (!next.whole) throw new Error("There is one");
    const stream = createResumedStream({ said: next.said, seam: next.whole, tokens: 2 });
    const heard = stream.push(bytes(chatChunk({ role: "assistant", content: null }) + chatChunk({ content: " more" })));
    expect(hearAll(heard)).toMatchObject({ text: " more", roles: 0 });
  });
});

describe("the word that is said again", () => {
  const drop = (...pieces: readonly string[]) => {
    const next = continuationOf(COMPLETION, [
      bytes(pieces.map((text) => event({ choices: [{ text, index: 0 }] })).join("")),
    ]);
    return next.kind === "go" ? next.first.dropped.map(({ text }) => text) : next;
  };

  test.each([
    [
      [" un", "believ", "able"],
      [" un", "believ", "able"],
    ],
    [
      ["so", " un", "believ"],
      [" un", "believ"],
    ],
    [["日", "本", "語"], ["語"]],
    [["one", "\n\n"], ["\n\n"]],
    [["one"], ["one"]],
    [[" a", ..."bcdefghij"], ["j"]],
  ])("of %j is %j", (pieces, dropped) => {
    expect(drop(...pieces)).toEqual(dropped);
  });
});

describe("the next request", () => {
  const seam = { reasoning: "", text: "One two", pieces: 2, dropped: [] };
  const options = { tokens: 2, hasFinished: false };

  test.each<[string, object, object]>([
    ["a text", { prompt: "x" }, { prompt: "xOne two" }],
    ["a list of one text", { prompt: ["x"] }, { prompt: "xOne two" }],
    ["tokens", { prompt: [1, 2] }, { prompt: [1, 2, "One two"] }],
  ])("of %s", (_, fields, next) => {
    expect(nextBody(withFields(COMPLETION, fields), seam, options)).toMatchObject(next);
  });

  test("of a client's own beginning goes on with that, and keeps what else the message has", () => {
    const messages = [
      { role: "user", content: "hi" },
      { role: "assistant", name: "a", content: "Zero " },
    ];
    const next = nextBody(withFields(CHAT, { messages }), { ...seam, reasoning: "Hm" }, options);
    expect(next.messages).toEqual([
      { role: "user", content: "hi" },
      { role: "assistant", name: "a", content: "Zero One two", reasoning_content: "Hm" },
    ]);
  });

  test("has less to say, at least one token, and no limit where there was none", () => {
    const limits = { max_tokens: 10, max_completion_tokens: 2, n_predict: -1 };
    expect(nextBody(withFields(CHAT, limits), seam, options)).toMatchObject({
      ...{ max_tokens: 8, max_completion_tokens: 1, n_predict: -1 },
    });
    expect(nextBody(CHAT, seam, options)).not.toHaveProperty("max_tokens");
  });

  test("is the first one again when nothing was said", () => {
    const next = continuationOf(CHAT, []);
    if (next.kind !== "go") throw new Error("It must go on");
    expect(nextBody(CHAT, next.first, { tokens: 0, hasFinished: false }).messages).toEqual(CHAT.fields.messages);
  });
});

describe("a stream that cannot go on", () => {
  test.each<[string, object]>([
    ["may call tools", { tools: [{}] }],
    ["may call tools", { functions: [{}] }],
    ["form is prescribed", { response_format: { type: "json_object" } }],
    ["form is prescribed", { json_schema: {} }],
    ["form is prescribed", { grammar: "root ::= x" }],
    ["several answers", { n: 2 }],
    ["probabilities", { logprobs: true }],
    ["probabilities", { n_probs: 3 }],
    ["mirostat", { mirostat: 2 }],
    ["tokens go with it", { return_tokens: true }],
    ["reasoning_format", { reasoning_format: "none" }],
    ["how its prompt ends", { continue_final_message: true }],
    ["no plain text", { messages: [{ role: "assistant", content: [{ type: "text", text: "x" }] }] }],
  ])("as a chat: %s %j", (why, fields) => {
    expect(whyNotResumable(withFields(CHAT, fields))).toContain(why);
  });

  test.each<[string, object]>([
    ["echo", { echo: true }],
    ["suffix", { suffix: "end" }],
    ["several prompts", { prompt: ["a", "b"] }],
    ["several prompts", { prompt: { prompt_string: "x" } }],
    ["several answers", { best_of: 2 }],
    ["logprobs", { logprobs: 1 }],
  ])("as a completion: %s %j", (why, fields) => {
    expect(whyNotResumable(withFields(COMPLETION, fields))).toContain(why);
  });

  test.each<[string, object]>([
    ["tools that may not be called", { tools: [{}], tool_choice: "none" }],
    ["the form of a text", { response_format: { type: "text" } }],
    [
      "what is said to be off",
      { n: 1, logprobs: false, top_logprobs: 0, mirostat: 0, grammar: "", tools: [], stop: null },
    ],
    ["sampling", { temperature: 1, top_p: 0.9, seed: 4, stop: ["x"], repeat_penalty: 1.1 }],
  ])("is not one with %s", (_, fields) => {
    expect(whyNotResumable(withFields(CHAT, fields))).toBeNull();
    expect(whyNotResumable(withFields(COMPLETION, { ...fields, prompt: PROMPT }))).toBeNull();
  });

  test.each<[string, readonly Uint8Array[] | null]>([
    ["too much of it was sent", null],
    ["cannot be read", [bytes("data: {broken\n\n")]],
    ["cannot be read", [bytes("data: 7\n\n")]],
    ["cannot be read", [bytes('data: {"choices":[7]}\n\n')]],
    ["several answers", [bytes(event({ choices: [{ index: 1, delta: { content: "x" } }] }))]],
    ["several answers", [bytes(event({ choices: [{}, {}] }))]],
    ["reasoning goes on after", [bytes(chatChunk({ content: "x" }) + chatChunk({ reasoning_content: "y" }))]],
    ["thinking is part of its text", [bytes(chatChunk({ content: "<think>" }) + chatChunk({ content: "Hm" }))]],
    ["it holds refusal", [bytes(chatChunk({ refusal: "no" }))]],
  ])("for what was sent of it: %s", (why, chunks) => {
    const next = continuationOf(CHAT, chunks);
    expect(next).toEqual({ kind: "impossible", why: expect.stringContaining(why) });
  });
});
