/** Checks of who may ask, from where, and how much. */
import { describe, expect, test } from "bun:test";
import { AuthenticationError } from "openai";
import { openAi } from "./clients.ts";
import { ASK, failureOf, messages, openAiErrorOf, post } from "./wire.ts";
import { MIND, RECITE, TALE, type World } from "./world.ts";

const BROWSER = "http://localhost:3000";
/** What the SDKs' preflights list (facts/clients.md 1c). */
const SDK_HEADERS =
  "authorization,content-type,openai-beta,x-stainless-lang,x-stainless-package-version,x-stainless-os,x-stainless-arch,x-stainless-runtime,x-stainless-runtime-version,x-stainless-retry-count,x-stainless-timeout,x-stainless-async,x-stainless-helper-method,x-stainless-poll-helper,x-stainless-custom-poll-interval,x-api-key,anthropic-version,anthropic-beta,anthropic-dangerous-direct-browser-access";

export function guardChecks(world: World): void {
  const { main } = world;

  describe("guards", () => {
    test("5.17 a wrong key is 401 invalid_api_key, x-api-key is taken, and without keys anything is", async () => {
      const { url } = await world.serve({ env: { SYNAPTIC_API_KEY: "right" } });
      const wrong = openAi({ url, apiKey: "wrong" });
      const error = await failureOf(wrong.client.models.list());
      expect(error).toBeInstanceOf(AuthenticationError);
      expect(error).toMatchObject({ status: 401, code: "invalid_api_key" });
      expect(wrong.requests).toHaveLength(1);
      expect((await openAi({ url, apiKey: "right" }).client.models.list()).object).toBe("list");
      for (const [path, headers, status] of [
        ["/v1/models", { "x-api-key": "right" }, 200],
        ["/v1/models", {}, 401],
        ["/api/tags", {}, 401],
        ["/api/tags", { authorization: "Bearer right" }, 200],
        ["/", {}, 200],
        ["/healthz", {}, 200],
      ] as const) {
        const answer = await fetch(`${url}${path}`, { headers });
        expect([path, answer.status]).toEqual([path, status]);
        if (status === 401) expect(answer.headers.get("www-authenticate")).toBe("Bearer");
      }
      expect((await openAi({ ...main, apiKey: "whatever" }).client.models.list()).object).toBe("list");
    });

    test("5.23 a browser's preflight passes without a key and lists its headers by name; POST and 4xx are allowed it", async () => {
      const { url } = await world.serve({ env: { SYNAPTIC_API_KEY: "right" } });
      for (const path of ["/v1/chat/completions", "/v1/messages", "/api/chat"]) {
        const preflight = await fetch(`${url}${path}`, {
          method: "OPTIONS",
          headers: {
            origin: BROWSER,
            "access-control-request-method": "POST",
            "access-control-request-headers": SDK_HEADERS,
          },
        });
        expect(preflight.ok).toBe(true);
        expect(preflight.headers.get("access-control-allow-origin")).toBe(BROWSER);
        const allowed = (preflight.headers.get("access-control-allow-headers") ?? "").toLowerCase().split(/, */);
        for (const name of SDK_HEADERS.split(",")) expect(allowed).toContain(name);
      }
      const origin = { origin: BROWSER };
      const good = await post(
        `${main.url}/v1/chat/completions`,
        { model: TALE.name, messages: ASK, stream: true },
        { headers: origin },
      );
      const bad = await post(`${main.url}/v1/chat/completions`, "{", { headers: origin });
      const unknown = await post(`${main.url}/api/chat`, { model: "nothing:1b", messages: ASK }, { headers: origin });
      for (const [answer, status] of [
        [good, 200],
        [bad, 400],
        [unknown, 404],
      ] as const) {
        expect(answer.status).toBe(status);
        expect(answer.headers.get("access-control-allow-origin")).toBe(BROWSER);
        const exposed = answer.headers.get("access-control-expose-headers") ?? "";
        for (const name of ["x-request-id", "retry-after", "x-should-retry"]) expect(exposed).toContain(name);
      }
    });

    test("5.53 no address of an image is fetched by anybody", async () => {
      let fetched = 0;
      const bait = Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        fetch() {
          fetched++;
          return new Response("");
        },
      });
      try {
        const image = { type: "image_url", image_url: { url: `http://127.0.0.1:${bait.port}/x.png` } };
        for (const model of [RECITE, TALE.name, MIND.name]) {
          const body = { model, messages: [{ role: "user", content: [{ type: "text", text: "What is it?" }, image] }] };
          const { status, text } = await post(`${main.url}/v1/chat/completions`, body);
          expect(status).toBe(400);
          openAiErrorOf(text);
          const source = { type: "image", source: { type: "url", url: image.image_url.url } };
          const told = { model, max_tokens: 9, messages: [{ role: "user", content: [source] }] };
          expect((await post(`${main.url}/v1/messages`, told)).status).toBe(400);
          const input = [{ role: "user", content: [{ type: "input_image", image_url: image.image_url.url }] }];
          expect((await post(`${main.url}/v1/responses`, { model, input })).status).toBe(400);
        }
        expect(fetched).toBe(0);
      } finally {
        await bait.stop(true);
      }
    });

    test("5.54 an 8 MB line, a large tool schema and a 20 MB body are taken, more than the limit is 413", async () => {
      const node = world.startNode([{ ...MIND, contextLength: 10_000_000 }]);
      // With what stands around it.
      const line = "x".repeat(8_000_000);
      node.pieces = [line];
      const { url } = await world.serve({ nodes: [node] });
      const heard = await post(`${url}/v1/chat/completions`, { model: MIND.name, messages: ASK, stream: true });
      expect(heard.text.length).toBeGreaterThan(line.length);
      expect(heard.text).toEndWith("data: [DONE]\n\n");
      node.pieces = ["fine"];
      const body = { model: MIND.name, messages: messages("y".repeat(20 * 1024 ** 2)) };
      expect((await post(`${url}/v1/chat/completions`, body)).status).toBe(200);
      const properties = Object.fromEntries(
        Array.from({ length: 5_000 }, (_, at) => [`field_${at}`, { type: "string", description: "a".repeat(100) }]),
      );
      const tool = { type: "function", function: { name: "f", parameters: { type: "object", properties } } };
      const tools = await post(`${url}/v1/chat/completions`, { model: MIND.name, messages: ASK, tools: [tool] });
      expect(tools.status).toBe(200);
      const most = await post(`${url}/v1/chat/completions`, { messages: messages("z".repeat(33 * 1024 ** 2)) });
      expect([most.status, openAiErrorOf(most.text).code]).toEqual([413, "request_too_large"]);
    });
  });
}
