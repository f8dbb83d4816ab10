/** Streams that go on with the next coordinator, and whole answers that are given again. */
import { afterEach, describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { hearAll, PROMPT, streamOf, TEXT, THOUGHT } from "../core/continuation-support.ts";
import { createFakeClock } from "../fakes/clock.ts";
import { chatChunk, DONE } from "../fakes/llama-answers.ts";
import { chat, post } from "../fakes/runtime.ts";
import {
  afterEvents,
  commentsOf,
  LOST,
  RECITER,
  type Staged,
  setDying,
  WHOLE_TEXT,
  withoutComments,
} from "./resuming.ts";
import { clearStages, lastError } from "./stage.ts";

afterEach(clearStages);

const CHAT = "/v1/chat/completions";
const USAGE = { stream: true, stream_options: { include_usage: true } };
const text = (length: number): string =>
  TEXT.slice(0, length)
    .map((token) => token.text)
    .join("");

async function read(
  { fetch }: Staged,
  body: Readonly<Record<string, unknown>> = USAGE,
  headers: Readonly<Record<string, string>> = {},
) {
  return await (await fetch(CHAT, post(chat(body), headers))).text();
}

const UNBROKEN = { text: WHOLE_TEXT, reasoning: "", roles: 1, names: 1, finishes: ["stop"], dones: 1 };

describe("a chat whose coordinator dies after six words", () => {
  test("is one answer for its client, with comments about what happened", async () => {
    const stage = setDying({ bytes: [afterEvents(7)] });
    const heard = await read(stage, { ...USAGE, max_tokens: 40 });
    expect(hearAll(withoutComments(heard))).toEqual({ ...UNBROKEN, usages: [[9, TEXT.length + 1, 10 + TEXT.length]] });
    expect(commentsOf(heard)).toEqual(["resuming", "resumed"]);
    expect(stage.runtime.records.map(({ status }) => status)).toEqual([200]);
    expect(stage.runtime.busy()).toBe(0);
  });

  test("is asked for the rest: the text without its last word, and fewer tokens", async () => {
    const stage = setDying({ bytes: [afterEvents(7)] });
    await read(stage, { ...USAGE, max_tokens: 40 });
    expect(stage.bodies()[1]).toMatchObject({
      messages: [
        { role: "user", content: "hi" },
        { role: "assistant", content: text(5) },
      ],
      max_tokens: 35,
    });
  });

  test("is counted, and the log says how long what took", async () => {
    const stage = setDying({ bytes: [afterEvents(7)] });
    await read(stage);
    expect(stage.runtime.resumes).toEqual(["resumed"]);
    const { text: metrics } = await stage.runtime.metrics.render(stage.runtime.snapshot());
    expect(metrics).toContain('synaptic_resumes_total{model="m",outcome="resumed"} 1');
    const told = stage.runtime.log.records.find(({ message }) => message === "m goes on with an answer that broke");
    const time = expect.any(Number);
    expect(told?.fields).toMatchObject({ after: 6, detectMs: time, loadMs: time, firstTokenMs: time });
  });
});

test("a completion goes on too, with its prompt and the text", async () => {
  const stage = setDying({ bytes: [afterEvents(6, "completion")] });
  const body = JSON.stringify({ model: "m", prompt: PROMPT, stream: true });
  const heard = await (await stage.fetch("/v1/completions", post(body))).text();
  const whole = hearAll(streamOf(RECITER, { dialect: "completion", fields: { prompt: PROMPT } }));
  expect(hearAll(withoutComments(heard))).toEqual(whole);
  expect(stage.bodies()[1]).toMatchObject({ prompt: `${PROMPT}${text(5)}` });
});

test.each([
  ["chat", { messages: [{ role: "user", content: "hi" }] }],
  ["generate", { prompt: "hi" }],
])("Ollama's %s goes on too, line after line", async (endpoint, input) => {
  const stage = setDying({ bytes: [afterEvents(7)] });
  const response = await stage.fetch(`/api/${endpoint}`, post(JSON.stringify({ model: "m", ...input })));
  const lines = (await response.text()).trimEnd().split("\n");
  // Ollama's own form.
  const pieces = lines.map(
    (line) => JSON.parse(line) as { message?: { content: string }; response?: string; done: boolean },
  );
  expect(pieces.map(({ message, response: said }) => message?.content ?? said).join("")).toBe(WHOLE_TEXT);
  expect(pieces.filter(({ done }) => done)).toEqual([pieces.at(-1) ?? { done: false }]);
  expect(stage.runtime.resumes).toEqual(["resumed"]);
});

test.each([
  [
    "Anthropic's messages",
    "/v1/messages",
    { messages: [{ role: "user", content: "hi" }], max_tokens: 99 },
    "message_stop",
  ],
  ["the Responses API", "/v1/responses", { input: "hi" }, "response.completed"],
])("%s goes on too, in its own events", async (_, path, input, last) => {
  const stage = setDying({ bytes: [afterEvents(7)] });
  const response = await stage.fetch(path, post(JSON.stringify({ model: "m", stream: true, ...input })));
  const heard = await response.text();
  // Either API's own form; of what the whole is repeated in, only the pieces count.
  const events = [...heard.matchAll(/^data: (.*)$/gm)].map(([, data = ""]) => {
    return JSON.parse(data) as { type: string; delta?: string | { text?: string } };
  });
  const pieces = events.filter(({ type }) => /^(content_block|response\.output_text)[._]?delta$/.test(type));
  expect(pieces.map(({ delta }) => (typeof delta === "string" ? delta : delta?.text)).join("")).toBe(WHOLE_TEXT);
  expect(events.at(-1)?.type).toBe(last);
  expect(events.map(({ type }) => type)).not.toContain("error");
  expect(stage.runtime.resumes).toEqual(["resumed"]);
});

test("the comments end with the first new word", async () => {
  const clock = createFakeClock();
  const gate = Promise.withResolvers<void>();
  let asked = 0;
  const stage = setDying({
    bytes: [afterEvents(7)],
    clock,
    async instead(reply) {
      if (!reply.asked.path.endsWith("completions") || ++asked !== 2) return false;
      await reply.head();
      await reply.chunk(chatChunk({ content: text(7).slice(text(5).length) }));
      await gate.promise;
      await reply.chunk(chatChunk({}, "stop") + DONE);
      await reply.end();
      return true;
    },
  });
  const heard = read(stage, { stream: true });
  while (stage.runtime.resumes.length === 0) await new Promise(setImmediate);
  await clock.advance(30_000);
  gate.resolve();
  expect(commentsOf(await heard)).toEqual(["resuming", "resumed"]);
});

test("a chat that thinks goes on in its thoughts, and after them", async () => {
  const reciter = { tokens: [...THOUGHT, ...TEXT], promptTokens: 9 };
  for (const events of [3, 9]) {
    const stage = setDying({ bytes: [afterEvents(events)], reciter });
    const heard = hearAll(withoutComments(await read(stage)));
    expect(heard).toMatchObject({ ...UNBROKEN, reasoning: "Let me think." });
    await clearStages();
  }
});

test("three losses in one stream are three seams that nobody sees", async () => {
  const stage = setDying({ bytes: [afterEvents(3), afterEvents(5), afterEvents(4)] });
  const heard = await read(stage);
  expect(hearAll(withoutComments(heard))).toMatchObject(UNBROKEN);
  expect(stage.runtime.resumes).toEqual(["resumed", "resumed", "resumed"]);
  expect(stage.bodies()).toHaveLength(4);
});

test("a loss within an event leaves no half of it", async () => {
  const stage = setDying({ bytes: [afterEvents(7) + 60] });
  expect(hearAll(withoutComments(await read(stage)))).toMatchObject(UNBROKEN);
});

test("a loss before the first word is the same request again", async () => {
  const stage = setDying({ bytes: [afterEvents(1)] });
  expect(hearAll(withoutComments(await read(stage)))).toMatchObject(UNBROKEN);
  expect(stage.bodies()[1]?.messages).toHaveLength(1);
});

test("a loss between the end and [DONE] needs no coordinator", async () => {
  const all = afterEvents(TEXT.length + 2);
  const stage = setDying({ bytes: [all] });
  expect(hearAll(withoutComments(await read(stage, { stream: true })))).toMatchObject({ ...UNBROKEN, usages: [] });
  expect(stage.bodies()).toHaveLength(1);
});

test("a loss between the end and the usage asks for that alone", async () => {
  const stage = setDying({ bytes: [afterEvents(TEXT.length + 2)] });
  const heard = hearAll(withoutComments(await read(stage)));
  expect(heard).toEqual({ ...UNBROKEN, usages: [[9, TEXT.length + 1, 10 + TEXT.length]] });
  expect(stage.bodies()[1]?.max_tokens).toBe(1);
});

test("a sampled word that does not come again is kept, and the whole text is gone on with", async () => {
  let asked = 0;
  const stage = setDying({
    bytes: [afterEvents(7)],
    async instead(reply) {
      if (!reply.asked.path.endsWith("completions") || ++asked !== 2) return false;
      await reply.head();
      await reply.chunk(chatChunk({ role: "assistant", content: null }) + chatChunk({ content: " else" }));
      return true;
    },
  });
  expect(hearAll(withoutComments(await read(stage)))).toMatchObject(UNBROKEN);
  expect(stage.bodies()[2]?.messages?.at(-1)?.content).toBe(text(6));
  const [, left] = stage.upstream.asked.filter(({ path }) => path.endsWith("completions"));
  while (left?.left.aborted === false) await new Promise(setImmediate);
  expect(stage.runtime.busy()).toBe(0);
});

describe("while its model loads again, a stream", () => {
  const WITHIN = {
    clock: createFakeClock(),
    onDeath: ({ runtime }: Staged | { runtime: Staged["runtime"] }) => runtime.hold(),
  };

  async function waiting(own: Readonly<Record<string, unknown>> = {}) {
    const clock = createFakeClock();
    const stage = setDying({ ...WITHIN, bytes: [afterEvents(7)], clock, own });
    const heard = read(stage);
    while (stage.runtime.waiting() === 0 || stage.runtime.granted() === 0) await new Promise(setImmediate);
    return { ...stage, clock, heard };
  }

  test("hears how long it takes as soon as that is known, and then every 5 s", async () => {
    const { runtime, clock, heard } = await waiting();
    await clock.advance(1_000);
    runtime.etaMs = 12_000;
    await clock.advance(11_000);
    runtime.load();
    expect(commentsOf(await heard)).toEqual(["resuming", ...Array(3).fill("resuming, ~12s"), "resumed"]);
  });

  test("ends at once when that is longer than resumeWithin, and says when to ask again", async () => {
    const { runtime, clock, heard } = await waiting();
    runtime.etaMs = 90_000;
    await clock.advance(250);
    const { message, code } = lastError(await heard);
    expect(code).toBe("upstream_error");
    expect(message).toStartWith(`${LOST}; its stream cannot go on: the model 'm' has to be loaded again`);
    expect(message).toContain("ask again in about 90 s");
    expect(runtime.resumes).toEqual(["failed"]);
    expect(runtime.waiting()).toBe(0);
  });

  test("waits for no longer than resumeWithin when nobody knows", async () => {
    const { clock, heard, runtime } = await waiting({ resumeWithin: "20s" });
    await clock.advance(19_500);
    expect(runtime.waiting()).toBe(1);
    await clock.advance(500);
    expect(lastError(await heard).message).toContain("it takes too long to load it");
  });

  test("is not taken for silent", async () => {
    const clock = createFakeClock();
    const stage = setDying({ ...WITHIN, bytes: [afterEvents(7)], clock, config: { silenceMs: 5_000 } });
    const heard = read(stage);
    while (stage.runtime.waiting() === 0) await new Promise(setImmediate);
    await clock.advance(50_000);
    stage.runtime.load();
    expect(hearAll(withoutComments(await heard))).toMatchObject(UNBROKEN);
  });

  test("has its turn before those that came meanwhile", async () => {
    const stage = setDying({ ...WITHIN, bytes: [afterEvents(7)], slots: 1, clock: createFakeClock() });
    const heard = read(stage);
    while (stage.runtime.granted() === 0) await new Promise(setImmediate);
    const other = read(stage, { stream: true, user: "other" });
    while (stage.runtime.waiting() < 2) await new Promise(setImmediate);
    stage.runtime.load();
    await Promise.all([heard, other]);
    expect(stage.bodies().map(({ user }) => user)).toEqual([undefined, undefined, "other"]);
  });

  test("ends when the survivors cannot hold it", async () => {
    const { runtime, heard } = await waiting();
    runtime.refuse(
      new SynapticError("does_not_fit", "Cannot place m: needs 2 GiB, 1 GiB usable", { hint: "add a backend" }),
    );
    const all = await heard;
    expect(lastError(all).message).toBe(
      `${LOST}; its stream cannot go on: Cannot place m: needs 2 GiB, 1 GiB usable (ask again; add a backend)`,
    );
    expect(all).not.toContain("[DONE]");
  });

  test("is left by its client, and nothing stays behind", async () => {
    const clock = createFakeClock();
    const stage = setDying({ ...WITHIN, bytes: [afterEvents(7)], clock });
    const leaving = new AbortController();
    const response = await stage.fetch(CHAT, { ...post(chat(USAGE)), signal: leaving.signal });
    const heard = response.text().catch(() => "left");
    while (stage.runtime.waiting() === 0) await new Promise(setImmediate);
    leaving.abort();
    expect(await heard).toBe("left");
    while (stage.runtime.records.length === 0) await new Promise(setImmediate);
    expect(stage.runtime.records.map(({ status }) => status)).toEqual([499]);
    expect([stage.runtime.waiting(), stage.runtime.busy(), stage.runtime.inFlight.count()]).toEqual([0, 0, 0]);
    expect(stage.runtime.resumes).toEqual([]);
  });
});

describe("a stream that is not gone on with", () => {
  test.each([
    ["because its request says so", {}, { "x-synaptic-resume": "off" }],
    ["because resumeWithin is 0", { own: { resumeWithin: 0 } }, {}],
  ])("%s ends with what was lost", async (_, options, headers) => {
    const stage = setDying({ bytes: [afterEvents(7)], ...options });
    const heard = await read(stage, USAGE, headers);
    expect(lastError(heard).message).toBe(LOST);
    expect(heard).not.toContain("[DONE]");
    expect(stage.bodies()).toHaveLength(1);
    expect(stage.runtime.resumes).toEqual([]);
  });

  test("because its text kills coordinators ends after two more of them", async () => {
    const stage = setDying({ bytes: [afterEvents(7), afterEvents(2), afterEvents(2), afterEvents(2), afterEvents(2)] });
    const { message } = lastError(await read(stage));
    expect(message).toContain("it breaks at the same place each time");
    expect(stage.bodies()).toHaveLength(3);
  });

  test.each<[string, string]>([
    [
      "refuses a beginning",
      '{"error":{"code":400,"message":"Assistant response prefill is incompatible with enable_thinking."}}',
    ],
    ["puts something behind it", '{"prompt":"Unbelievably long long<|im_end|>"}'],
  ])("because its template %s ends with an error that says so", async (_, answer) => {
    const stage = setDying({
      bytes: [afterEvents(7)],
      async instead(reply) {
        if (reply.asked.path !== "/apply-template") return false;
        await reply.whole(answer.includes("error") ? 400 : 200, answer);
        return true;
      },
    });
    expect(lastError(await read(stage)).message).toContain("its chat template cannot begin an answer with a text");
    expect(stage.bodies()).toHaveLength(1);
  });
});

describe("a whole answer", () => {
  const ANSWER = '{"choices":[{"message":{"content":"whole"}}]}';

  function setWhole(deaths: number, options: Partial<Parameters<typeof setDying>[0]> = {}) {
    let asked = 0;
    return setDying({
      bytes: [],
      ...options,
      async instead(reply, untilRead) {
        if (asked++ >= deaths) {
          await reply.whole(200, ANSWER);
          return true;
        }
        await reply.head(200, { "Content-Type": "application/json" });
        await reply.chunk(ANSWER.slice(0, 20));
        await untilRead(20);
        stage().runtime.die(new SynapticError("coordinator_failed", LOST));
        reply.cut("fin");
        return true;
      },
    });
  }
  let current: Staged | null = null;
  const stage = (): Staged => {
    if (!current) throw new Error("No stage is set");
    return current;
  };

  test("whose coordinator dies is given by the next one, and the one after that", async () => {
    current = setWhole(2);
    const response = await current.fetch(CHAT, post(chat()));
    expect(await response.text()).toBe(ANSWER);
    expect(current.runtime.resumes).toEqual(["rerun", "rerun"]);
    expect(current.runtime.records.map(({ status }) => status)).toEqual([200]);
    expect(current.runtime.busy()).toBe(0);
  });

  test.each([
    ["ends with what was lost after three deaths", 3, {}, 3],
    ["is not given again when its request says so", 1, { "x-synaptic-resume": "off" }, 1],
  ])("%s", async (_, deaths, headers, asked) => {
    current = setWhole(deaths);
    const response = await current.fetch(CHAT, post(chat(), headers));
    expect(response.status).toBe(502);
    expect(current.upstream.asked).toHaveLength(asked);
    expect(current.runtime.busy()).toBe(0);
  });
});

test("what is streamed while all is well passes as it came", async () => {
  const stage = setDying({ bytes: [] });
  expect(await read(stage, { stream: true })).toEndWith(DONE);
  expect(stage.upstream.asked).toHaveLength(1);
});
