/** Checks of refusals: what a client did wrong, what is too much, and what nobody can do now. */
import { describe, expect, test } from "bun:test";
import { ContextOverflowError } from "@langchain/core/errors";
import { BadRequestError, InternalServerError, NotFoundError, RateLimitError } from "openai";
import { anthropic, chatOpenAi, ollama, openAi } from "./clients.ts";
import { ASK, failureOf, messages, openAiErrorOf, post } from "./wire.ts";
import { CONTEXT, KINDS, RECITE, TALE, VECTORS, type World } from "./world.ts";

const IMAGE = { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0KGgo=" } } as const;

/** What each client does wrong once, by what it is: path and body. */
const FAULTS: Readonly<Record<string, (model: string) => readonly [string, object]>> = {
  "an image to a model of text": (model) => [
    "chat/completions",
    { model, messages: [{ role: "user", content: [IMAGE] }] },
  ],
  "a role that is none": (model) => ["chat/completions", { model, messages: [{ role: "king", content: "hi" }] }],
  "a message without content": (model) => ["chat/completions", { model, messages: [{ role: "user" }] }],
  "embeddings of a chat model": (model) => ["embeddings", { model, input: "hi" }],
  "embeddings of nothing": () => ["embeddings", { model: VECTORS.name, input: [] }],
  "a chat with a model of embeddings": () => ["chat/completions", { model: VECTORS.name, messages: ASK }],
  "ten answers at once": (model) => ["chat/completions", { model, messages: ASK, n: 10 }],
  "a stop that is a number": (model) => ["chat/completions", { model, messages: ASK, stop: 5 }],
  "a schema that is none": (model) => [
    "chat/completions",
    { model, messages: ASK, response_format: { type: "json_schema", json_schema: { name: "x", schema: 5 } } },
  ],
  "tools that are none": (model) => ["chat/completions", { model, messages: ASK, tools: [{ type: "function" }] }],
  "a path that is none": (model) => ["chat/complete", { model }],
};

export function errorChecks(world: World): void {
  const { main } = world;
  const raw = (path: string, body: object | string) => post(`${main.url}/v1/${path}`, body);

  describe("errors", () => {
    test("5.13 N: an unknown model is a NotFoundError, model_not_found, param model, after one request", async () => {
      const { client, requests } = openAi(main);
      const error = await failureOf(client.chat.completions.create({ model: "nothing:1b", messages: ASK }));
      expect(error).toBeInstanceOf(NotFoundError);
      expect(error).toMatchObject({ status: 404, code: "model_not_found", param: "model" });
      expect(requests).toHaveLength(1);
    });

    test("5.13 O: it is a ResponseError 404 with Ollama's words", async () => {
      const client = ollama(main);
      for (const work of [
        () => client.chat({ model: "nothing:1b", messages: ASK }),
        () => client.generate({ model: "nothing:1b", prompt: "hi" }),
        () => client.embed({ model: "nothing:1b", input: "hi" }),
        () => client.show({ model: "nothing:1b" }),
      ]) {
        const error = await failureOf(work());
        expect(error).toMatchObject({ name: "ResponseError", status_code: 404, error: "model 'nothing:1b' not found" });
      }
    });

    test("5.14 malformed JSON is 400 invalid_request_error with all four fields, and not tried again", async () => {
      for (const body of ["{", "", "[]", '"text"', '{"model":']) {
        const { status, headers, text } = await raw("chat/completions", body);
        expect([status, headers.get("x-should-retry")]).toEqual([400, "false"]);
        expect(openAiErrorOf(text).type).toBe("invalid_request_error");
      }
      const { client, requests } = openAi(main);
      const broken = client.post("/chat/completions", { body: "{", headers: { "content-type": "application/json" } });
      expect(await failureOf(broken)).toBeInstanceOf(BadRequestError);
      expect(requests).toHaveLength(1);
    });

    test.each(KINDS)(
      "5.15 missing or ill-typed messages and temperature are 400 that name the param: %s",
      async (model) => {
        for (const [body, param] of [
          [{ model }, "messages"],
          [{ model, messages: "hi" }, "messages"],
          [{ model, messages: [] }, "messages"],
          [{ model, messages: [{ content: "hi" }] }, "messages[0].role"],
          [{ model, messages: ASK, temperature: "hot" }, "temperature"],
          [{ model, messages: ASK, max_tokens: "many" }, "max_tokens"],
          [{ model, messages: ASK, stream: "yes" }, "stream"],
        ] as const) {
          const { status, text } = await raw("chat/completions", body);
          const named = `${JSON.stringify(body)}: ${text}`;
          expect(status, named).toBe(400);
          expect(openAiErrorOf(text).param, named).toBe(param);
        }
      },
    );

    test.each(KINDS)("5.16 nothing that a client does wrong yields 5xx: %s", async (model) => {
      for (const [fault, ask] of Object.entries(FAULTS)) {
        const [path, body] = ask(model);
        const { status, text } = await raw(path, body);
        expect(status, `${fault}: ${text}`).toBeLessThan(500);
        if (status !== 200) openAiErrorOf(text);
      }
    });

    test.each(KINDS)(
      "5.18 a prompt longer than the context is 400 context_length_exceeded, L raises ContextOverflowError: %s",
      async (model) => {
        // More than the context of either kind: a node is told 8192.
        const long = "word ".repeat(9_000);
        const { status, text } = await raw("chat/completions", { model, messages: messages(long) });
        expect([status, openAiErrorOf(text).code]).toEqual([400, "context_length_exceeded"]);
        expect(text).toMatch(/maximum context length is \d+ tokens/);
        const streamed = await raw("chat/completions", { model, messages: messages(long), stream: true });
        expect([streamed.status, openAiErrorOf(streamed.text).code]).toEqual([400, "context_length_exceeded"]);
        const raised = await failureOf(chatOpenAi({ ...main, maxRetries: 0 }, model).invoke(long));
        expect(ContextOverflowError.isInstance(raised)).toBe(true);
        expect(CONTEXT).toBeLessThan(9_000);
      },
    );

    test("5.19 a full queue is 429 rate_limit_exceeded with Retry-After 1..59; N comes back as told, L too", async () => {
      const backends = await world.lab.backends(1);
      const { url, load } = await world.serve({ backends, own: { parallel: 1, queue: { perModel: 1, perKey: 1 } } });
      await load(RECITE);
      const gone = new AbortController();
      const long = { model: RECITE, messages: ASK, stream: true, max_tokens: 1900, ignore_eos: true };
      const ask = (onText: () => void) => post(`${url}/v1/chat/completions`, long, { signal: gone.signal, onText });
      // One at work and one waiting: it is full.
      const begun = Promise.withResolvers<void>();
      const busy = [ask(begun.resolve)];
      await begun.promise;
      busy.push(ask(() => {}));
      await Bun.sleep(100);
      const raw = await post(`${url}/v1/chat/completions`, { model: RECITE, messages: ASK });
      expect([raw.status, openAiErrorOf(raw.text).code]).toEqual([429, "rate_limit_exceeded"]);
      const after = Number(raw.headers.get("retry-after"));
      expect(after).toBeGreaterThanOrEqual(1);
      expect(after).toBeLessThanOrEqual(59);
      const { client, requests } = openAi({ url });
      const asked = client.chat.completions.create({ model: RECITE, messages: ASK, max_tokens: 2 });
      const outcome = await asked.catch((error: unknown) => error);
      // It may get through once the first one has ended; refused, it came three times.
      if (outcome instanceof RateLimitError) expect(requests).toHaveLength(3);
      for (let at = 1; at < requests.length; at++) {
        expect((requests[at] ?? 0) - (requests[at - 1] ?? 0)).toBeGreaterThan(900);
      }
      expect(requests.length).toBeGreaterThan(1);
      const chained = chatOpenAi({ url }, RECITE).invoke("Please recite.");
      gone.abort();
      await Promise.allSettled(busy);
      expect((await chained).content).toStartWith("Synaptic turns");
    });

    test("5.20 without a node 503 with Retry-After; a silent upstream is 504, which N does not try again", async () => {
      const dead = world.startNode();
      const node = world.startNode();
      const { url } = await world.serve({ nodes: [dead, node] });
      await dead.stop();
      node.models = [];
      await node.stop();
      const lost = await post(`${url}/v1/chat/completions`, { model: TALE.name, messages: ASK });
      expect([502, 503]).toContain(lost.status);
      const { client: other } = openAi({ url, maxRetries: 0 });
      const gone = await failureOf(other.chat.completions.create({ model: TALE.name, messages: messages("b") }));
      expect(gone).toBeInstanceOf(InternalServerError);
      const again = await post(`${url}/v1/chat/completions`, { model: TALE.name, messages: messages("c") });
      expect([again.status, again.headers.get("retry-after")]).toEqual([503, expect.stringMatching(/^[1-5]?\d$/)]);
      openAiErrorOf(again.text);
      const silent = world.startNode();
      silent.fault = (path) => (path === "/api/chat" ? new Promise(() => {}) : null);
      const config = world.lab.write("silent.json", {
        agent_timeout: 1,
        synaptic: { ollama: { nodes: [silent.url] }, probe: { intervalMs: 200 } },
      });
      const quiet = await world.lab.serve({ config });
      await quiet.untilStatus("polled", ({ nodes }) => (nodes[0]?.state === "up" ? true : null));
      const { client, requests } = openAi(quiet);
      const error = await failureOf(client.chat.completions.create({ model: TALE.name, messages: ASK }));
      expect(error).toMatchObject({ status: 504, code: "upstream_timeout" });
      expect(requests).toHaveLength(1);
    });

    test("5.21 every error has its dialect's form", async () => {
      const { text } = await raw("nowhere", {});
      openAiErrorOf(text);
      for (const [path, body] of [
        ["chat", { model: "nothing:1b", messages: ASK }],
        ["chat", "{"],
        ["generate", {}],
        ["nowhere", {}],
      ] as const) {
        const answer = await post(`${main.url}/api/${path}`, body);
        expect(answer.status).toBeGreaterThanOrEqual(400);
        expect(answer.status).toBeLessThan(500);
        expect(JSON.parse(answer.text)).toEqual({ error: expect.any(String) });
      }
      for (const body of [{ model: "nothing:1b", max_tokens: 9, messages: ASK }, "{", { model: RECITE }] as const) {
        const answer = await post(`${main.url}/v1/messages`, body);
        expect(answer.status).toBeGreaterThanOrEqual(400);
        expect(answer.status).toBeLessThan(500);
        expect(JSON.parse(answer.text)).toMatchObject({
          type: "error",
          error: { type: expect.stringMatching(/_error$/), message: expect.any(String) },
        });
      }
      const { client } = anthropic({ ...main, maxRetries: 0 });
      const error = await failureOf(client.messages.create({ model: "nothing:1b", max_tokens: 9, messages: ASK }));
      expect(error).toMatchObject({ status: 404, error: { error: { type: "not_found_error" } } });
    });
  });
}
