/** The whole server takes on so many requests and no more; each way that one can end makes room again. */
import { afterEach, describe, expect, test } from "bun:test";
import { recite } from "../fakes/llama-answers.ts";
import { connectRaw, rawPost } from "../fakes/raw-client.ts";
import { chat, post } from "../fakes/runtime.ts";
import { clearStages, errorOf, type Stage, setStage } from "./stage.ts";

afterEach(clearStages);

const CHAT = "/v1/chat/completions";

function setLimited(script = recite): Stage {
  return setStage(script, { own: { limits: { inFlight: 1 } } });
}

/** The server can be entered again, and nothing is left behind. */
async function expectRoom(stage: Stage): Promise<void> {
  while (stage.runtime.inFlight.count() > 0) await new Promise(setImmediate);
  expect((await stage.fetch(CHAT, post(chat()))).status).toBe(200);
  expect(stage.runtime.inFlight.count()).toBe(0);
}

describe("a server that is full", () => {
  test("refuses answers before it reads their bodies, and nothing else", async () => {
    const stage = setLimited(() => {});
    const client = await connectRaw(stage.port);
    client.send(rawPost(CHAT, chat()));
    await stage.upstream.request(0);
    for (const path of [CHAT, "/v1/completions"]) {
      const response = await stage.fetch(path, post("no JSON"));
      expect(response.status).toBe(429);
      expect(response.headers.get("retry-after")).toBe("5");
      expect(await errorOf(response)).toMatchObject({ type: "rate_limit_error", code: "rate_limit_exceeded" });
    }
    for (const path of ["/healthz", "/readyz", "/metrics", "/synaptic/status", "/v1/models"]) {
      expect((await stage.fetch(path)).status).toBe(200);
    }
    const metrics = await (await stage.fetch("/metrics")).text();
    expect(metrics).toContain('synaptic_requests_rejected_total{model="",reason="in_flight"} 2');
    expect(metrics).toContain("synaptic_requests_in_flight 1");
    expect(await (await stage.fetch("/synaptic/status")).json()).toMatchObject({ requests: { inFlight: 1, limit: 1 } });
    client.leave();
    stage.upstream.script = recite;
    await expectRoom(stage);
  });
});

describe("there is room again", () => {
  test("after a whole answer and after a stream", async () => {
    const stage = setLimited();
    expect((await stage.fetch(CHAT, post(chat()))).status).toBe(200);
    await (await stage.fetch(CHAT, post(chat({ stream: true })))).text();
    await expectRoom(stage);
  });

  test.each([
    ["no JSON", "{", 400],
    ["an unknown model", chat({ model: "n" }), 404],
    ["a wrong field", chat({ messages: 5 }), 400],
  ])("after a refusal: %s", async (_, body, status) => {
    const stage = setLimited();
    expect((await stage.fetch(CHAT, post(body))).status).toBe(status);
    await expectRoom(stage);
  });

  test("after an answer that failed", async () => {
    const stage = setLimited((reply) => reply.cut("rst"));
    expect((await stage.fetch(CHAT, post(chat()))).status).toBe(502);
    await (await stage.fetch(CHAT, post(chat({ stream: true })))).text();
    stage.upstream.script = recite;
    await expectRoom(stage);
  });

  test.each([
    ["whole", chat()],
    ["streamed", chat({ stream: true })],
  ])("after a client that left while it was answered: %s", async (_, body) => {
    const stage = setLimited(() => {});
    const client = await connectRaw(stage.port);
    client.send(rawPost(CHAT, body));
    await stage.upstream.request(0);
    client.leave();
    stage.upstream.script = recite;
    await expectRoom(stage);
  });

  test("after a client that left while it sent its body", async () => {
    const stage = setLimited();
    const client = await connectRaw(stage.port);
    client.send(rawPost(CHAT, chat()).replace(/Content-Length: \d+/, "Content-Length: 100000"));
    while (stage.runtime.inFlight.count() === 0) await new Promise(setImmediate);
    client.leave();
    await expectRoom(stage);
  });
});
