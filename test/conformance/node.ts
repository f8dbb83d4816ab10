/** The fake Ollama node itself, bare: the `ollama` SDK's whole surface works against it. */
import { afterAll, describe, expect, test } from "bun:test";
import { type FakeOllamaNode, startOllamaNode } from "../fakes/ollama-node.ts";
import { chatOllama, ollama } from "./clients.ts";
import { ASK, failureOf } from "./wire.ts";
import { MIND, TALE, TALE_TEXT, VECTORS } from "./world.ts";

const WEATHER = {
  type: "function",
  function: {
    name: "weather",
    description: "Tells the weather.",
    parameters: { type: "object", required: ["city"], properties: { city: { type: "string" } } },
  },
};

export function nodeChecks(): void {
  const node: FakeOllamaNode = startOllamaNode([TALE, MIND, VECTORS]);
  const client = ollama(node);
  const names = async () => (await client.list()).models.map(({ name }) => name);
  afterAll(async () => await node.stop());

  describe("the fake node", () => {
    test("lists, shows, and tells its version and what it has loaded", async () => {
      expect(await names()).toEqual([TALE.name, MIND.name, VECTORS.name]);
      expect(await client.show({ model: MIND.name })).toMatchObject({
        capabilities: [...(MIND.capabilities ?? [])],
        details: { family: "llama" },
        model_info: { "llama.context_length": 8192 },
      });
      expect((await client.version()).version).toBe("0.33.0");
      await client.generate({ model: TALE.name, prompt: "", keep_alive: "5m" });
      expect((await client.ps()).models).toMatchObject([{ name: TALE.name, size: TALE.bytes }]);
      expect(await client.generate({ model: TALE.name, prompt: "", keep_alive: 0 })).toMatchObject({
        done_reason: "unload",
      });
      expect((await client.ps()).models).toEqual([]);
    });

    test("chats and generates, whole and streamed", async () => {
      expect((await client.chat({ model: TALE.name, messages: ASK })).message.content).toBe(TALE_TEXT);
      expect((await client.generate({ model: TALE.name, prompt: "hi" })).response).toBe(TALE_TEXT);
      const chat = [];
      for await (const part of await client.chat({ model: TALE.name, messages: ASK, stream: true })) chat.push(part);
      expect(chat.map(({ message }) => message.content)).toEqual(["All", " is", " well", " ✓", ""]);
      expect(chat.at(-1)).toMatchObject({ done: true, done_reason: "stop", eval_count: 4, prompt_eval_count: 7 });
      let text = "";
      for await (const { response } of await client.generate({ model: TALE.name, prompt: "hi", stream: true }))
        text += response;
      expect(text).toBe(TALE_TEXT);
      expect((await chatOllama(node, TALE.name).invoke("hi")).content).toBe(TALE_TEXT);
    });

    test("has a mind: tools and what they say, formats, thinking, limits", async () => {
      const called = await client.chat({ model: MIND.name, messages: ASK, tools: [WEATHER] });
      const [call] = called.message.tool_calls ?? [];
      expect(call?.function).toMatchObject({ name: "weather", arguments: { city: "Oslo" } });
      const told = await client.chat({
        model: MIND.name,
        messages: [...ASK, called.message, { role: "tool", tool_name: "weather", content: "4 degrees" }],
        tools: [WEATHER],
      });
      expect(told.message.content).toBe("The tool says 4 degrees");
      const format = { type: "object", properties: { city: { type: "string" }, degrees: { type: "number" } } };
      const filled = await client.chat({ model: MIND.name, messages: ASK, format });
      expect(JSON.parse(filled.message.content)).toEqual({ city: "Oslo", degrees: 3 });
      expect(
        JSON.parse((await client.generate({ model: MIND.name, prompt: "hi", format: "json" })).response ?? ""),
      ).toEqual({
        answer: 42,
      });
      expect((await client.chat({ model: MIND.name, messages: ASK, think: true })).message).toMatchObject({
        thinking: "The user asks.",
      });
      const short = await client.chat({ model: TALE.name, messages: ASK, options: { num_predict: 2 } });
      expect(short).toMatchObject({ done_reason: "length", eval_count: 2, message: { content: "All is" } });
    });

    test("refuses as Ollama does", async () => {
      for (const [work, status, words] of [
        [() => client.chat({ model: "nothing", messages: ASK }), 404, "model 'nothing' not found"],
        [() => client.show({ model: "nothing" }), 404, "model 'nothing' not found"],
        [() => client.copy({ source: "nothing", destination: "x" }), 404, 'model "nothing" not found'],
        [() => client.delete({ model: "nothing" }), 404, "model 'nothing' not found"],
        [() => client.pull({ model: "missing" }), 500, "pull model manifest: file does not exist"],
        [() => client.chat({ model: TALE.name, messages: ASK, tools: [WEATHER] }), 400, "does not support tools"],
        [() => client.chat({ model: TALE.name, messages: ASK, think: true }), 400, "does not support thinking"],
        [() => client.chat({ model: VECTORS.name, messages: ASK }), 400, "does not support chat"],
        [() => client.embed({ model: TALE.name, input: "hi" }), 400, "does not support embeddings"],
      ] as const) {
        expect(await failureOf(work())).toMatchObject({ status_code: status, message: expect.stringContaining(words) });
      }
      const cut = { model: TALE.name, messages: [{ role: "user", content: "w ".repeat(5_000) }] };
      expect((await client.chat(cut)).message.content).toBe(TALE_TEXT);
    });

    test("embeds, one text and many, with the dimensions asked for", async () => {
      const { embeddings } = await client.embed({ model: VECTORS.name, input: ["a", "bbbb"], dimensions: 3 });
      expect(embeddings.map((vector) => vector.length)).toEqual([3, 3]);
      const { embedding } = await client.embeddings({ model: VECTORS.name, prompt: "a" });
      expect(embedding).toHaveLength(2);
      expect(Math.hypot(...embedding)).toBeCloseTo(1);
    });

    test("pulls with progress, copies, creates, pushes and deletes", async () => {
      const steps = [];
      for await (const step of await client.pull({ model: "fresh", stream: true })) steps.push(step);
      expect(steps.at(0)?.status).toBe("pulling manifest");
      expect(steps.filter(({ total }) => total).map(({ completed = 0, total }) => completed / total)).toEqual([0.5]);
      expect(steps.at(-1)?.status).toBe("success");
      await client.copy({ source: "fresh", destination: "second" });
      expect(await client.create({ model: "third", from: "fresh" })).toMatchObject({ status: "success" });
      const made = [];
      for await (const { status } of await client.create({ model: "fourth", from: "fresh", stream: true }))
        made.push(status);
      expect(made.at(-1)).toBe("success");
      expect(await client.push({ model: "third" })).toMatchObject({ status: "success" });
      for (const name of ["fresh", "second", "third", "fourth"]) {
        expect(await names()).toContain(`${name}:latest`);
        await client.delete({ model: name });
      }
      expect(await names()).toEqual([TALE.name, MIND.name, VECTORS.name]);
    });

    test("ends an answer whose client leaves", async () => {
      node.manner = { before: () => Bun.sleep(5) };
      node.pieces = Array.from({ length: 1_000 }, () => "on ");
      const stream = await client.chat({ model: TALE.name, messages: ASK, stream: true });
      const heard = failureOf(
        (async () => {
          for await (const _ of stream) stream.abort();
        })(),
      );
      expect(await heard).toMatchObject({ name: "AbortError" });
      node.manner = {};
      node.pieces = ["All", " is", " well", " ✓"];
    });
  });
}
