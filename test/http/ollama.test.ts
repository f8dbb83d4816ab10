/** Ollama's clients in front of a coordinator: translated both ways, with Ollama's own ways to wait and to fail. */
import { afterEach, describe, expect, test } from "bun:test";
import { RECITATION } from "../../scripts/recitation.ts";
import { SynapticError } from "../../src/core/errors.ts";
import { createFakeClock } from "../fakes/clock.ts";
import { chatChunk, recite, refuse } from "../fakes/llama-answers.ts";
import { post } from "../fakes/runtime.ts";
import { linesOf, ollamaErrorOf, said } from "./ollama-lines.ts";
import { clearStages, type Stage, setStage } from "./stage.ts";

afterEach(clearStages);

const ask = (more: object = {}) =>
  post(JSON.stringify({ model: "m", messages: [{ role: "user", content: "hi" }], ...more }));
const generate = (more: object = {}) => post(JSON.stringify({ model: "m", ...more }));
const waiting = async ({ runtime }: Stage): Promise<void> => {
  while (runtime.waiting() === 0) await new Promise(setImmediate);
};
const bodyOf = ({ upstream }: Stage): unknown => JSON.parse(new TextDecoder().decode(upstream.asked[0]?.body));

describe("/api/chat", () => {
  test("streams unless told not to: lines that end with done, a reason and six figures", async () => {
    const { fetch } = setStage(recite);
    const response = await fetch("/api/chat", ask());
    expect(response.headers.get("content-type")).toBe("application/x-ndjson");
    expect(response.headers.get("x-synaptic-route")).toBe("shard");
    const lines = linesOf(await response.text());
    expect(said(lines)).toBe(RECITATION);
    for (const line of lines) expect(line).toMatchObject({ model: "m", message: { role: "assistant" } });
    expect(lines.filter(({ done }) => done)).toEqual([lines.at(-1) ?? {}]);
    expect(lines.at(-1)).toMatchObject({ done_reason: "stop", prompt_eval_count: 22 });
    const figures = ["total_duration", "load_duration", "prompt_eval_duration", "eval_count", "eval_duration"];
    for (const name of figures) {
      expect(lines.at(-1)?.[name]).toBeNumber();
      expect(lines.slice(0, -1).some((line) => name in line)).toBe(false);
    }
  });

  test("whole: one object; options reach the model, num_ctx does not", async () => {
    const stage = setStage(recite);
    const response = await stage.fetch("/api/chat", ask({ stream: false, options: { num_predict: 3, num_ctx: 99 } }));
    expect(await response.json()).toMatchObject({ model: "m", done: true, done_reason: "length" });
    expect(bodyOf(stage)).toMatchObject({ max_tokens: 3 });
    expect(JSON.stringify(bodyOf(stage))).not.toContain("99");
  });

  test("says how long it waited for the load", async () => {
    const clock = createFakeClock();
    const stage = setStage(recite, { clock, loaded: false });
    const pending = stage.fetch("/api/chat", ask({ stream: false }));
    await waiting(stage);
    await clock.advance(7_000);
    stage.runtime.load();
    expect(await (await pending).json()).toMatchObject({ load_duration: 7e9, total_duration: 7e9 });
  });

  test("waits with pieces that have no text, and no line is blank", async () => {
    const clock = createFakeClock();
    const stage = setStage(recite, { clock, loaded: false });
    const pending = stage.fetch("/api/chat", ask());
    await waiting(stage);
    await clock.advance(10_000);
    const response = await pending;
    await clock.advance(10_000);
    stage.runtime.load();
    const lines = linesOf(await response.text());
    const empty = { role: "assistant", content: "" };
    for (const line of lines.slice(0, 3)) expect(line).toMatchObject({ model: "m", message: empty, done: false });
    expect(said(lines)).toBe(RECITATION);
  });

  test("a load that fails after the first byte ends with an error line and nothing else", async () => {
    const clock = createFakeClock();
    const stage = setStage(recite, { clock, loaded: false });
    const pending = stage.fetch("/api/chat", ask());
    await waiting(stage);
    await clock.advance(10_000);
    const response = await pending;
    stage.runtime.refuse(new SynapticError("does_not_fit", "Cannot place m: needs 2 GiB, 1 GiB free"));
    const lines = linesOf(await response.text());
    expect(lines.at(-1)).toEqual({ error: "Cannot place m: needs 2 GiB, 1 GiB free" });
    expect(lines.some(({ done }) => done === true)).toBe(false);
  });

  test("an upstream that breaks off in the middle: the text so far, then the error, and no done", async () => {
    const heard = Promise.withResolvers<void>();
    const { fetch, runtime } = setStage(async (reply) => {
      await reply.head();
      await reply.chunk(chatChunk({ content: "Hello" }));
      await heard.promise;
      reply.cut("rst");
    });
    let text = "";
    for await (const bytes of (await fetch("/api/chat", ask())).body ?? []) {
      text += new TextDecoder().decode(bytes);
      heard.resolve();
    }
    const lines = linesOf(text);
    expect(said(lines)).toBe("Hello");
    expect(lines.at(-1)?.error).toBeString();
    expect(lines.some(({ done }) => done === true)).toBe(false);
    expect(runtime.records).toMatchObject([{ status: 502 }]);
  });

  test("a client that leaves frees its slot", async () => {
    const { fetch, runtime, upstream } = setStage(async (reply) => {
      await reply.head();
      await reply.chunk(chatChunk({ content: "Hello" }));
    });
    const gone = new AbortController();
    const response = await fetch("/api/chat", { ...ask(), signal: gone.signal });
    await response.body?.getReader().read();
    gone.abort();
    await runtime.idle();
    const { left } = await upstream.request(0);
    if (!left.aborted) await new Promise((resolve) => left.addEventListener("abort", resolve, { once: true }));
    expect(runtime.records).toMatchObject([{ status: 499 }]);
  });

  test("keep_alive moves when the model is ended", async () => {
    const { fetch, runtime } = setStage(recite);
    for (const keep_alive of ["5m", 300, -1, 0, undefined]) {
      await (await fetch("/api/chat", ask({ stream: false, keep_alive }))).text();
    }
    expect(runtime.kept).toEqual([
      ["m", 300_000],
      ["m", 300_000],
      ["m", Number.POSITIVE_INFINITY],
      ["m", 0],
    ]);
  });
});

describe("/api/generate", () => {
  test("answers with response instead of message", async () => {
    const { fetch } = setStage(recite);
    const lines = linesOf(await (await fetch("/api/generate", generate({ prompt: "hi" }))).text());
    expect(said(lines)).toBe(RECITATION);
    expect(lines.every((line) => !("message" in line))).toBe(true);
  });

  test("without a prompt loads the model, takes no slot and asks nobody", async () => {
    const clock = createFakeClock();
    const stage = setStage(recite, { clock, loaded: false, slots: 1 });
    const pending = stage.fetch("/api/generate", generate({ keep_alive: "1h" }));
    await waiting(stage);
    stage.runtime.load();
    const lines = linesOf(await (await pending).text());
    expect(lines).toEqual([
      { model: "m", created_at: expect.any(String), response: "", done: true, done_reason: "load" },
    ]);
    expect(stage.runtime.kept).toEqual([["m", 3_600_000]]);
    expect(stage.runtime.busy()).toBe(0);
    expect(stage.upstream.asked).toHaveLength(0);
  });

  test("without a prompt does not wait for a slot where all are taken", async () => {
    const { fetch, upstream } = setStage((reply) => reply.head(), { slots: 1 });
    const leaving = new AbortController();
    void fetch("/api/chat", { ...ask(), signal: leaving.signal });
    await upstream.request(0);
    expect(await (await fetch("/api/generate", generate())).json()).toMatchObject({ done_reason: "load" });
    leaving.abort();
  });

  test("of an empty prompt that takes long: pieces that keep the client, then done", async () => {
    const clock = createFakeClock();
    const stage = setStage(recite, { clock, loaded: false });
    const pending = stage.fetch("/api/generate", generate());
    await waiting(stage);
    await clock.advance(10_000);
    const response = await pending;
    stage.runtime.load();
    const lines = linesOf(await response.text());
    expect(lines.map(({ done }) => done)).toEqual([false, true]);
  });

  test("without a prompt and with keep_alive 0 ends the model as soon as it is idle", async () => {
    const { fetch, runtime } = setStage(recite);
    const response = await fetch("/api/generate", generate({ keep_alive: 0 }));
    expect(await response.json()).toMatchObject({ response: "", done: true, done_reason: "unload" });
    expect(runtime.kept).toEqual([["m", 0]]);
    expect(runtime.inFlight.count()).toBe(0);
  });
});

describe("errors", () => {
  test("of an unknown model have Ollama's own words and its status", async () => {
    const { fetch } = setStage(recite);
    for (const path of ["/api/chat", "/api/generate", "/api/show", "/api/embed"]) {
      const response = await fetch(path, post(JSON.stringify({ model: "x:1b", prompt: "hi", input: "hi" })));
      expect([response.status, await ollamaErrorOf(response)]).toEqual([404, "model 'x:1b' not found"]);
    }
  });

  test("of a request that makes no sense are 400 with a text, and no answer is counted in flight", async () => {
    const { fetch, runtime } = setStage(recite);
    const deep = JSON.parse(`${"[".repeat(200)}${"]".repeat(200)}`);
    const bodies = ["{", "[]", "{}", '{"model":7}', JSON.stringify({ model: "m", messages: deep })];
    for (const body of [...bodies, '{"model":"m","messages":[{"role":"user","content":"x"}],"keep_alive":"soon"}']) {
      const response = await fetch("/api/chat", post(body));
      expect([response.status, typeof (await ollamaErrorOf(response))]).toEqual([400, "string"]);
    }
    expect(runtime.inFlight.count()).toBe(0);
  });

  test("of the model's own refusal keep its status and words", async () => {
    const more = { type: "exceed_context_size_error", n_prompt_tokens: 9, n_ctx: 8 };
    const { fetch } = setStage(refuse(400, "request exceeds the available context size", more));
    const response = await fetch("/api/chat", ask());
    expect([response.status, await ollamaErrorOf(response)]).toEqual([
      400,
      expect.stringContaining("maximum context length is 8 tokens"),
    ]);
  });

  test("of keys, scopes, unknown paths and wrong methods are texts too", async () => {
    const keys = [
      { name: "k", hash: `sha256:${new Bun.CryptoHasher("sha256").update("use").digest("hex")}`, scopes: ["use"] },
    ];
    const { fetch } = setStage(recite, { own: { keys } });
    const headers = { authorization: "Bearer use" };
    const denied = await fetch("/api/tags");
    expect([denied.status, typeof (await ollamaErrorOf(denied))]).toEqual([401, "string"]);
    const pull = await fetch("/api/pull", { method: "POST", headers, body: '{"model":"m"}' });
    expect([pull.status, await ollamaErrorOf(pull)]).toEqual([403, expect.stringContaining("scope")]);
    const unknown = await fetch("/api/nothing", { headers });
    expect([unknown.status, typeof (await ollamaErrorOf(unknown))]).toEqual([404, "string"]);
    const method = await fetch("/api/chat", { headers });
    expect([method.status, typeof (await ollamaErrorOf(method))]).toEqual([405, "string"]);
  });

  test("beyond the limit of requests in flight: 429", async () => {
    const { fetch } = setStage(recite, { config: { limits: { inFlight: 0 } } });
    const response = await fetch("/api/chat", ask());
    expect([response.status, response.headers.has("retry-after")]).toEqual([429, true]);
    expect(await ollamaErrorOf(response)).toBeString();
  });

  test("of embeddings on a coordinator say what to do", async () => {
    const { fetch, upstream } = setStage(recite);
    const response = await fetch("/api/embed", post('{"model":"m","input":"hi"}'));
    expect([response.status, await ollamaErrorOf(response)]).toEqual([400, expect.stringContaining("ollama pull")]);
    expect(upstream.asked).toHaveLength(0);
  });
});
