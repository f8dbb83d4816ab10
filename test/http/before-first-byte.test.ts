/** Until the first byte an error keeps its HTTP status, and a coordinator that dies is replaced unseen. */
import { afterEach, describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { createFakeClock } from "../fakes/clock.ts";
import { recite, refuse } from "../fakes/llama-answers.ts";
import type { Script } from "../fakes/llama-server.ts";
import { chat, post } from "../fakes/runtime.ts";
import { clearStages, errorOf, type Stage, setStage } from "./stage.ts";
import { waitsForDeath } from "./stream.ts";

afterEach(clearStages);

const CHAT = "/v1/chat/completions";
const WAYS = [
  ["whole", chat()],
  ["streamed", chat({ stream: true })],
] as const;

describe("what llama-server refuses", () => {
  test.each<[string, Script, number, object, string | null]>([
    ["a bad value", refuse(400, "Field 'n': Value must be"), 400, { code: "invalid_value", param: "n" }, "false"],
    [
      "a prompt that is too long",
      refuse(400, "request exceeds", { type: "exceed_context_size_error", n_ctx: 512, n_prompt_tokens: 900 }),
      400,
      { code: "context_length_exceeded", param: "messages" },
      "false",
    ],
    ["a client's fault with 500", refuse(500, "image input is not supported"), 400, { code: null }, "false"],
    ["what it cannot do", refuse(501, "not supported"), 400, { code: "unsupported_parameter" }, "false"],
    ["while it loads", refuse(503, "Loading model"), 503, { code: "model_loading" }, null],
    ["our key", refuse(401, "Invalid API Key"), 502, { code: "upstream_error", type: "server_error" }, "false"],
    ["for a fault of its own", refuse(500, "Something broke"), 502, { code: "upstream_error" }, "false"],
    ["with no JSON", (reply) => reply.whole(500, "<html>"), 502, { code: "upstream_error" }, "false"],
    ["with a full context", refuse(500, "Context size has been exceeded."), 429, { code: "rate_limit_exceeded" }, null],
  ])("%s has our status and our four fields, whole and streamed", async (_, script, status, error, shouldRetry) => {
    const { fetch, runtime } = setStage(script);
    for (const [, body] of WAYS) {
      const response = await fetch(CHAT, post(body));
      expect(response.status).toBe(status);
      expect(response.headers.get("x-should-retry")).toBe(shouldRetry);
      expect(response.headers.has("retry-after")).toBe(status === 503 || status === 429);
      expect(await errorOf(response)).toMatchObject(error);
    }
    expect(runtime.records.map((record) => record.status)).toEqual([status, status]);
    expect(runtime.busy()).toBe(0);
  });

  test("is asked once only", async () => {
    const { fetch, upstream } = setStage(refuse(500, "Something broke"));
    await fetch(CHAT, post(chat()));
    expect(upstream.asked).toHaveLength(1);
  });
});

describe.each(WAYS)("a coordinator that breaks off before its answer (%s)", (_, body) => {
  test("and still runs: 502, after one try", async () => {
    const clock = createFakeClock();
    const { fetch, upstream, runtime } = setStage((reply) => reply.cut("rst"), { clock });
    const pending = fetch(CHAT, post(body));
    await waitsForDeath(clock);
    const response = await pending;
    expect(response.status).toBe(502);
    expect(await errorOf(response)).toMatchObject({ type: "server_error", code: "upstream_error" });
    expect(upstream.asked).toHaveLength(1);
    expect(runtime.busy()).toBe(0);
  });

  test("because it died: the next one answers, and the client sees nothing of it", async () => {
    const stage: Stage = setStage((reply) => {
      stage.upstream.script = recite;
      stage.runtime.die(new SynapticError("coordinator_failed", "Lost a backend of m"));
      reply.cut("rst");
    });
    const response = await stage.fetch(CHAT, post(body));
    expect(response.status).toBe(200);
    expect(await response.text()).toContain("Synaptic");
    expect(stage.upstream.asked).toHaveLength(2);
    expect(stage.runtime.records.map(({ status }) => status)).toEqual([200]);
  });

  test("because it died: the time of the next one's load is no silence", async () => {
    const clock = createFakeClock();
    const stage: Stage = setStage(
      (reply) => {
        stage.upstream.script = recite;
        stage.runtime.hold();
        stage.runtime.die(new SynapticError("coordinator_failed", "Lost a backend of m"));
        reply.cut("rst");
      },
      { clock, config: { silenceMs: 5_000, holdMs: 60_000 } },
    );
    const pending = stage.fetch(CHAT, post(body));
    while (stage.runtime.waiting() === 0) await new Promise(setImmediate);
    await clock.advance(50_000);
    stage.runtime.load();
    const response = await pending;
    expect(response.status).toBe(200);
    expect(await response.text()).toContain("proof.");
  });

  test("and dies twice: its reason, after two tries", async () => {
    const stage: Stage = setStage((reply) => {
      stage.runtime.die(new SynapticError("coordinator_failed", "Lost a backend of m"));
      reply.cut("rst");
    });
    const response = await stage.fetch(CHAT, post(body));
    expect(response.status).toBe(502);
    expect((await errorOf(response)).message).toBe("Lost a backend of m");
    expect(stage.upstream.asked).toHaveLength(2);
    expect(stage.runtime.log.lines()).toEqual(["error Lost a backend of m"]);
  });

  test("and says nothing at all: 504 after the allowed silence", async () => {
    const clock = createFakeClock();
    const silent: Script = () => new Promise(() => {});
    const { fetch, runtime, upstream } = setStage(silent, { clock, config: { silenceMs: 8_000 } });
    const pending = fetch(CHAT, post(body));
    await upstream.request(0);
    await clock.advance(8_000);
    const response = await pending;
    expect(response.status).toBe(504);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect((await errorOf(response)).code).toBe("upstream_timeout");
    expect(upstream.asked).toHaveLength(1);
    expect(runtime.busy()).toBe(0);
  });
});

test("a whole answer that is cut short is an error, not half an answer", async () => {
  const clock = createFakeClock();
  const { fetch } = setStage(
    async (reply) => {
      await reply.raw('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id":');
      reply.cut("fin");
    },
    { clock },
  );
  const pending = fetch(CHAT, post(chat()));
  await waitsForDeath(clock);
  expect((await pending).status).toBe(502);
});
