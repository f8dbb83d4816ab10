/** Ollama's API over the real engine: streamed and whole, loaded and unloaded, listed with what the file says. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { RECITATION } from "../../scripts/recitation.ts";
import { type Line, linesOf, said } from "../http/ollama-lines.ts";
import { type Lab, openLab } from "./lab.ts";
import type { Synaptic } from "./synaptic.ts";

setDefaultTimeout(60_000);

let lab: Lab;
let synaptic: Synaptic;

beforeAll(async () => {
  lab = await openLab();
  const [backends, path] = await Promise.all([lab.backends(2), lab.model({ layers: 4, type: "Q8_0" })]);
  const config = lab.config(
    backends.map(({ endpoint }) => endpoint),
    { models: { files: { reciter: path } }, contextSize: 2048 },
  );
  synaptic = await lab.serve({ config });
});

afterAll(async () => await lab[Symbol.asyncDispose]());

const MESSAGES = [{ role: "user", content: "Please recite." }];
const options = { num_predict: 200, temperature: 0, num_ctx: 512 };

async function ask(path: string, body: object): Promise<readonly Line[]> {
  const response = await synaptic.post(path, body);
  expect(response.status).toBe(200);
  return linesOf(await response.text());
}

describe("a model on shards", () => {
  test("is loaded by an empty prompt, and its load is not moved by another num_ctx", async () => {
    const [loaded] = await ask("/api/generate", { model: "reciter:latest", options, keep_alive: "10m" });
    expect(loaded).toMatchObject({ model: "reciter:latest", response: "", done: true, done_reason: "load" });
    const { pid, keepUntil } = await synaptic.coordinator("reciter");
    await ask("/api/chat", { model: "reciter", messages: MESSAGES, options: { ...options, num_ctx: 4096 } });
    const after = await synaptic.coordinator("reciter");
    expect(after.pid).toBe(pid);
    expect(Date.parse(after.keepUntil ?? "")).toBeGreaterThan(Date.parse(keepUntil ?? "") - 1_000);
  });

  test("chats in lines whose last one has real figures", async () => {
    const lines = await ask("/api/chat", { model: "reciter", messages: MESSAGES, options });
    expect(said(lines)).toBe(RECITATION);
    const last = lines.at(-1) ?? {};
    expect(last).toMatchObject({ done: true, done_reason: "stop" });
    for (const figure of [
      "prompt_eval_count",
      "prompt_eval_duration",
      "eval_count",
      "eval_duration",
      "total_duration",
    ]) {
      expect(last[figure]).toBeGreaterThan(0);
    }
  });

  test("answers whole, cut by num_predict, and completes raw text", async () => {
    const body = { model: "reciter", stream: false, options: { ...options, num_predict: 2 } };
    const [chat] = [(await (await synaptic.post("/api/chat", { ...body, messages: MESSAGES })).json()) as Line];
    expect(chat).toMatchObject({ done_reason: "length", eval_count: 2 });
    const lines = await ask("/api/generate", { model: "reciter", prompt: "Please recite.", raw: true, options });
    expect(lines.at(-1)).toMatchObject({ done: true });
    expect(said(lines)).not.toBe("");
  });

  test("is listed, shown and seen running", async () => {
    const tags = await (await synaptic.get("/api/tags")).json();
    expect(tags).toMatchObject({ models: [{ name: "reciter:latest", details: { family: "llama" } }] });
    const show = await (await synaptic.post("/api/show", { model: "reciter" })).json();
    expect(show).toMatchObject({
      capabilities: expect.arrayContaining(["completion"]),
      model_info: { "general.architecture": "llama", "llama.context_length": expect.any(Number) },
      parameters: expect.stringMatching(/^num_ctx +2048/),
    });
    const { models } = (await (await synaptic.get("/api/ps")).json()) as { models: readonly Line[] };
    expect(models).toMatchObject([{ name: "reciter:latest", size_vram: 0, context_length: 2048 }]);
    expect(models[0]?.size).toBeGreaterThan(1_000_000);
  });

  test("is unloaded by keep_alive 0, and stays loaded when it is asked for again", async () => {
    const [gone] = [await synaptic.post("/api/generate", { model: "reciter", keep_alive: 0 })];
    expect(await gone.json()).toMatchObject({ done: true, done_reason: "unload" });
    await synaptic.untilStatus("it is unloaded", ({ coordinators: [one] }) => (one?.state === "idle" ? one : null));
    await ask("/api/chat", { model: "reciter", messages: MESSAGES, options });
    const { state, keepUntil } = await synaptic.coordinator("reciter");
    expect(state).toBe("ready");
    expect(keepUntil === null || Date.parse(keepUntil) > Date.now() + 60_000).toBe(true);
  });

  test("is ended for a client that leaves in the middle, and answers the next one", async () => {
    const leaving = new AbortController();
    const body = { model: "reciter", messages: MESSAGES, options };
    const response = await synaptic.post("/api/chat", body, leaving.signal);
    await response.body?.getReader().read();
    leaving.abort();
    expect(said(await ask("/api/chat", body))).toBe(RECITATION);
  });
});
