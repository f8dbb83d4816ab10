/** Checks of upstreams that break: before the first byte, and in the middle. */
import { describe, expect, test } from "bun:test";
import { streamText } from "ai";
import { APIError } from "openai";
import { RECITATION } from "../../scripts/recitation.ts";
import { chatOpenAi, compatible, openAi } from "./clients.ts";
import { ASK, failureOf, messages, post, readSse } from "./wire.ts";
import { ENDLESS, frailNode, RECITE, TALE, type World } from "./world.ts";

/** Two backends of their own, and a synaptic on them; `kill` ends one of them. Answers go on only if told so. */
async function frailShards({ lab, serve }: World, own: object = { resumeWithin: 0 }) {
  const backends = await lab.backends(2);
  const synaptic = await serve({ backends, own });
  await synaptic.load(RECITE);
  return { synaptic, kill: () => backends[1]?.kill("SIGKILL") };
}

interface Heard {
  readonly text: string;
  readonly error: unknown;
}

/** The text so far and the error that it ended with; null for a silent end. */
async function listen(pieces: AsyncIterable<string>, onText: (text: string) => void = () => {}): Promise<Heard> {
  let text = "";
  try {
    for await (const piece of pieces) {
      text += piece;
      onText(text);
    }
  } catch (error) {
    return { text, error };
  }
  return { text, error: null };
}

async function* deltas(url: string, body: { readonly model: string }): AsyncIterable<string> {
  // The SDK passes on what it does not know.
  const stream = await openAi({ url }).client.chat.completions.create({ messages: ASK, stream: true, ...body });
  for await (const { choices } of stream) yield choices[0]?.delta.content ?? "";
}

async function* pieces(url: string, model: string): AsyncIterable<string> {
  for await (const { content } of await chatOpenAi({ url, maxRetries: 0 }, model).stream("Please recite."))
    yield String(content);
}

export function failureChecks(world: World): void {
  describe("failures", () => {
    test("5.5 N: a node that dies in the middle is an APIError upstream_error after the text so far", async () => {
      const { url } = await world.serve({ nodes: [frailNode(world)] });
      const { text, error } = await listen(deltas(url, { model: TALE.name }));
      expect(text).toBe("All is");
      expect(error).toBeInstanceOf(APIError);
      expect(error).toMatchObject({ code: "upstream_error", type: "server_error" });
    });

    test("5.5 N: so it is with a backend of the shards", async () => {
      const { synaptic, kill } = await frailShards(world);
      const body = { model: RECITE, ...ENDLESS };
      const { text, error } = await listen(deltas(synaptic.url, body), (heard) => {
        if (heard.length > 200) kill();
      });
      expect(text.length).toBeGreaterThan(200);
      expect(error).toBeInstanceOf(APIError);
      expect(error).toMatchObject({ code: "upstream_error" });
    });

    test("5.5 N: where the backend that is left can go on, the answer is whole", async () => {
      const { synaptic, kill } = await frailShards(world, {});
      const body = { model: RECITE, ...ENDLESS };
      let atKill = 0;
      const { text, error } = await listen(deltas(synaptic.url, body), (heard) => {
        if (atKill > 0 || heard.length < 200) return;
        atKill = heard.length;
        kill();
      });
      expect(error).toBeNull();
      expect(text.length).toBeGreaterThan(atKill);
      expect(text).toStartWith(RECITATION);
    });

    test("5.5 P: it is one error frame with all four fields", async () => {
      const { url } = await world.serve({ nodes: [frailNode(world)] });
      const raw = await post(`${url}/v1/chat/completions`, { model: TALE.name, messages: ASK, stream: true });
      const { text, error, chunks } = readSse(raw.text);
      expect([text, error?.code]).toEqual(["All is", "upstream_error"]);
      expect(Object.keys(error ?? {}).toSorted()).toEqual(["code", "message", "param", "type"]);
      expect(chunks.filter((chunk) => chunk.error)).toHaveLength(1);
    });

    test("5.5 L: it is raised, after the text so far", async () => {
      const { url } = await world.serve({ nodes: [frailNode(world)] });
      const { text, error } = await listen(pieces(url, TALE.name));
      expect(text).toBe("All is");
      expect(error).toMatchObject({ code: "upstream_error" });
    });

    test("5.6 A: it is one error part, and finishReason error", async () => {
      const { url } = await world.serve({ nodes: [frailNode(world)] });
      const errors: unknown[] = [];
      const result = streamText({ model: compatible({ url }, TALE.name), prompt: "Please recite.", onError() {} });
      let text = "";
      for await (const part of result.fullStream) {
        if (part.type === "text-delta") text += part.text;
        if (part.type === "error") errors.push(part.error);
      }
      expect(text).toBe("All is");
      expect(errors).toHaveLength(1);
      expect(await result.finishReason).toBe("error");
    });

    test("5.7 H: after the error frame comes no [DONE], and the body ends cleanly", async () => {
      const { url } = await world.serve({ nodes: [frailNode(world)] });
      const raw = await post(`${url}/v1/chat/completions`, { model: TALE.name, messages: ASK, stream: true });
      const { done, events, error } = readSse(raw.text);
      expect([done, raw.clean, raw.status]).toEqual([false, true, 200]);
      expect(JSON.parse(events.at(-1) ?? "")).toEqual({ error });
      const { synaptic, kill } = await frailShards(world);
      const broken = await post(
        `${synaptic.url}/v1/chat/completions`,
        { model: RECITE, messages: ASK, stream: true, ...ENDLESS },
        { onText: (text) => text.length > 2_000 && kill() },
      );
      expect([readSse(broken.text).done, broken.clean]).toEqual([false, true]);
      expect(readSse(broken.text).error?.code).toBe("upstream_error");
    });

    test("5.8 a node that ends without done:true is reported as one that dies", async () => {
      const node = world.startNode();
      node.manner = { withoutEnd: true };
      const { url } = await world.serve({ nodes: [node] });
      const { text, error } = await listen(deltas(url, { model: TALE.name }));
      expect(text).toBe("All is well ✓");
      expect(error).toMatchObject({ code: "upstream_error" });
      const whole = await failureOf(
        openAi({ url, maxRetries: 0 })
          .client.chat.completions.create({ model: TALE.name, messages: messages("Again, please."), stream: true })
          .then(async (stream) => {
            for await (const _ of stream);
          }),
      );
      expect(whole).toBeInstanceOf(APIError);
    });

    test("5.8 an error line of Ollama's in the middle is reported too", async () => {
      const node = world.startNode();
      node.manner = { failsWith: "llama runner process has terminated: exit status 2" };
      const { url } = await world.serve({ nodes: [node] });
      const { text, error } = await listen(deltas(url, { model: TALE.name }));
      expect(text).toBe("All is well ✓");
      expect(error).toMatchObject({ message: expect.stringContaining("runner process has terminated") });
    });

    test("5.9 a node that dies before the first byte is not noticed while another one has the model", async () => {
      const [first, second] = [world.startNode(), world.startNode()];
      // With its headers out, or before: it is killed whatever it is asked first.
      first.fault = (path) => (path === "/api/chat" ? first.stop().then(() => null) : null);
      const { url } = await world.serve({ nodes: [first, second] });
      const { client, requests } = openAi({ url });
      for (const content of ["a", "b", "c", "d"]) {
        const answer = await client.chat.completions.create({ model: TALE.name, messages: messages(content) });
        expect(answer.choices[0]?.message.content).toBe("All is well ✓");
        const streamed = await listen(deltas(url, { model: TALE.name }));
        expect(streamed).toEqual({ text: "All is well ✓", error: null });
      }
      expect(requests).toHaveLength(4);
      expect(first.asked).toContain("/api/chat");
      // Also where the dead one had the model loaded, and the other one has to load it.
      const [warm, cold] = [world.startNode(), world.startNode()];
      warm.load(TALE.name, { vramBytes: TALE.bytes });
      const pair = await world.serve({ nodes: [warm, cold] });
      warm.fault = (path) => (path === "/api/chat" ? warm.stop().then(() => null) : null);
      expect(await listen(deltas(pair.url, { model: TALE.name }))).toEqual({ text: "All is well ✓", error: null });
      expect(warm.asked).toContain("/api/chat");
    });

    test("5.10 H: no retry:, id: or data-less events, and no comment that begins with ping", async () => {
      const { main } = world;
      const raws = [RECITE, TALE.name].map((model) =>
        post(`${main.url}/v1/chat/completions`, { model, messages: ASK, stream: true }),
      );
      for (const { text } of await Promise.all(raws)) {
        // Throws at whatever openai-python cannot read.
        expect(readSse(text).done).toBe(true);
        expect(text).not.toMatch(/^: *ping/m);
      }
    });
  });
}
