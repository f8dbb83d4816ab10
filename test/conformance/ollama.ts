/** Checks of Ollama's API over both kinds of upstream, with its own SDK and LangChain's. */
import { describe, expect, test } from "bun:test";
import { RECITATION } from "../../scripts/recitation.ts";
import { chatOllama, ollama } from "./clients.ts";
import { ASK, failureOf, post, readLines } from "./wire.ts";
import { frailNode, KINDS, MIND, RECITE, TALE, TALE_TEXT, type World } from "./world.ts";

const TEXTS: Readonly<Record<string, string>> = { [RECITE]: RECITATION, [TALE.name]: TALE_TEXT };

const METRICS = [
  ...["total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration"],
  ...["eval_count", "eval_duration"],
];

export function ollamaChecks(world: World): void {
  const { main } = world;
  const client = ollama(main);

  describe("Ollama's API", () => {
    test.each(KINDS)(
      "5.28 O chat streams lines with model, created_at, content and done, and counts on the last one: %s",
      async (model) => {
        let text = "";
        for await (const { message } of await client.chat({ model, messages: ASK, stream: true }))
          text += message.content;
        expect(text).toBe(TEXTS[model] ?? "");
        const raw = await post(`${main.url}/api/chat`, { model, messages: ASK });
        expect(raw.headers.get("content-type")).toStartWith("application/x-ndjson");
        const lines = readLines(raw.text);
        for (const [at, line] of lines.entries()) {
          const last = at === lines.length - 1;
          expect(line).toMatchObject({
            model,
            message: { role: "assistant", content: expect.any(String) },
            done: last,
          });
          expect(Number.isNaN(Date.parse(String(line.created_at)))).toBe(false);
          const counts = METRICS.filter((key) => key in line);
          if (!last) expect(counts).toEqual([]);
        }
        const last = lines.at(-1) ?? {};
        expect(last.done_reason).toBe("stop");
        // Zero-valued ones may be missing, as in Ollama's own (facts/clients.md 3a): nothing is loaded for this answer.
        for (const key of METRICS) {
          if (key === "load_duration" && !(key in last)) continue;
          expect([key, Number.isInteger(last[key])]).toEqual([key, true]);
        }
        // Nanoseconds: an answer takes more than a tenth of a millisecond.
        expect(Number(last.total_duration)).toBeGreaterThan(100_000);
      },
    );

    test.each(KINDS)("5.28 L ChatOllama invokes, streams, and counts once: %s", async (model) => {
      const chain = chatOllama(main, model);
      const answer = await chain.invoke("Please recite.");
      expect(answer.content).toBe(TEXTS[model] ?? "");
      // As many as the one answer has: LangChain adds up the counts of all chunks.
      expect(answer).toMatchObject({ usage_metadata: { output_tokens: model === RECITE ? expect.any(Number) : 4 } });
      let text = "";
      for await (const piece of await chain.stream("Please recite.")) text += String(piece.content);
      expect(text).toBe(TEXTS[model] ?? "");
    });

    test("5.30 O: a node that breaks in the middle throws its message, and no line says done", async () => {
      const { url } = await world.serve({ nodes: [frailNode(world)] });
      let text = "";
      const error = await failureOf(
        (async () => {
          const stream = await ollama({ url }).chat({ model: TALE.name, messages: ASK, stream: true });
          for await (const { message } of stream) text += message.content;
        })(),
      );
      expect(text).toBe("All is");
      expect(error).toMatchObject({ message: expect.stringMatching(/connection .*broke/i) });
      const again = await world.serve({ nodes: [frailNode(world)] });
      const raw = await post(`${again.url}/api/chat`, { model: TALE.name, messages: ASK });
      const lines = readLines(raw.text);
      expect(lines.at(-1)).toEqual({ error: expect.any(String) });
      expect(lines.some(({ done }) => done === true)).toBe(false);
      expect(raw.clean).toBe(true);
    });

    test("5.30 O: so it is with a backend of the shards, and with a node that just ends", async () => {
      const backends = await world.lab.backends(2);
      const node = world.startNode();
      node.manner = { withoutEnd: true };
      const { url, load } = await world.serve({ backends, nodes: [node] });
      await load(RECITE);
      const options = { num_predict: 1500, ignore_eos: true };
      const raw = await post(
        `${url}/api/generate`,
        { model: RECITE, prompt: "Recite", raw: true, options },
        { onText: (text) => text.length > 2_000 && backends[1]?.kill("SIGKILL") },
      );
      // Where it was through before the kill, there is nothing to see.
      const ended = readLines(raw.text);
      if (!ended.some(({ done }) => done === true)) expect(ended.at(-1)).toEqual({ error: expect.any(String) });
      const cut = readLines((await post(`${url}/api/chat`, { model: TALE.name, messages: ASK })).text);
      expect(cut.at(-1)).toEqual({ error: expect.any(String) });
      expect(cut.some(({ done }) => done === true)).toBe(false);
    });

    test.each(KINDS)("5.31 stream left out means true on /api and false on /v1: %s", async (model) => {
      const api = await post(`${main.url}/api/chat`, { model, messages: ASK });
      expect(readLines(api.text).length).toBeGreaterThan(2);
      const generated = await post(`${main.url}/api/generate`, { model, prompt: "Recite" });
      expect(readLines(generated.text).length).toBeGreaterThan(2);
      const whole = await client.chat({ model, messages: ASK });
      expect(whole).toMatchObject({ done: true, done_reason: "stop", message: { content: TEXTS[model] } });
      const open = await post(`${main.url}/v1/chat/completions`, { model, messages: ASK });
      expect(JSON.parse(open.text)).toMatchObject({ object: "chat.completion" });
    });

    test("5.42 clients with other num_ctx values do not load a model anew", async () => {
      const node = world.startNode();
      const { url } = await world.serve({ nodes: [node] });
      for (const num_ctx of [8192, 16384, 32768, 4096, 8192]) {
        await ollama({ url }).chat({ model: TALE.name, messages: ASK, options: { num_ctx } });
        await post(`${url}/v1/chat/completions`, { model: TALE.name, messages: ASK });
      }
      expect(node.loads.length).toBeLessThanOrEqual(1);
    });

    test.each(KINDS)(
      "5.43 keep_alive as 0, -1, text and seconds is taken, and an empty prompt loads: %s",
      async (model) => {
        for (const keep_alive of ["5m", 300, "300", -1]) {
          const answer = await client.generate({ model, prompt: "Recite", keep_alive, options: { num_predict: 2 } });
          expect(answer.done_reason).toBe("length");
        }
        expect(await client.generate({ model, prompt: "" })).toMatchObject({ done: true, done_reason: "load" });
        expect(await client.chat({ model, messages: [] })).toMatchObject({ done: true, done_reason: "load" });
        const odd = await post(`${main.url}/api/generate`, { model, prompt: "Recite", keep_alive: "soon" });
        expect(odd.status).toBe(400);
      },
    );

    test("5.43 keep_alive 0 with an empty prompt unloads a model of a node", async () => {
      const node = world.startNode();
      const { url } = await world.serve({ nodes: [node] });
      await ollama({ url }).generate({ model: TALE.name, prompt: "" });
      expect(node.loaded()).toEqual([TALE.name]);
      const gone = await ollama({ url }).generate({ model: TALE.name, prompt: "", keep_alive: 0 });
      expect(gone.done_reason).toBe("unload");
      expect(node.loaded()).toEqual([]);
    });

    test("5.39 think:false is harmless on models that do not think", async () => {
      for (const model of KINDS) {
        const answer = await client.chat({ model, messages: ASK, think: false });
        expect(answer.message.content).toBe(TEXTS[model] ?? "");
        const open = await post(`${main.url}/v1/chat/completions`, { model, messages: ASK, reasoning_effort: "none" });
        expect([model, open.status]).toEqual([model, 200]);
      }
    });

    test("5.56 (NICE) /api/generate knows suffix and raw", async () => {
      const filled = await client.generate({ model: MIND.name, prompt: "a = ", suffix: "b" });
      expect(filled.response).toBe(TALE_TEXT);
      const refused = await failureOf(client.generate({ model: TALE.name, prompt: "a = ", suffix: "b" }));
      expect(refused).toMatchObject({ status_code: 400 });
      const raw = await client.generate({ model: RECITE, prompt: "Recite", raw: true });
      expect(raw.response).toBe(RECITATION);
    });

    test("5.58 (NICE) pull, copy, delete, create and push reach a node", async () => {
      const node = world.startNode();
      const { url } = await world.serve({ nodes: [node] });
      const own = ollama({ url });
      const seen: string[] = [];
      for await (const { status } of await own.pull({ model: "fresh:1b", stream: true })) seen.push(status);
      expect([seen[0], seen.at(-1)]).toEqual(["pulling manifest", "success"]);
      const names = () => node.models.map(({ name }) => name);
      expect(names()).toContain("fresh:1b");
      await own.copy({ source: TALE.name, destination: "copied:8b" });
      expect(names()).toContain("copied:8b");
      await own.delete({ model: TALE.name });
      expect(names()).not.toContain(TALE.name);
    });
  });
}
