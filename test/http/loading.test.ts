/** A load is waited for: by a stream with comments, by a whole answer for as long as clients and proxies hold out. */
import { afterEach, describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { createFakeClock, type FakeClock } from "../fakes/clock.ts";
import { recite } from "../fakes/llama-answers.ts";
import type { Script } from "../fakes/llama-server.ts";
import { chat, post } from "../fakes/runtime.ts";
import { clearStages, errorOf, lastError, type Stage, setStage } from "./stage.ts";

afterEach(clearStages);

const CHAT = "/v1/chat/completions";

describe("a model that loads", () => {
  const loading = (clock: FakeClock, more = {}): Stage => setStage(recite, { clock, loaded: false, ...more });
  const waiting = async ({ runtime }: Stage): Promise<void> => {
    while (runtime.waiting() === 0) await new Promise(setImmediate);
  };

  test("within the grace: the stream begins with the model's own first byte", async () => {
    const clock = createFakeClock();
    const stage = loading(clock);
    const response = stage.fetch(CHAT, post(chat({ stream: true })));
    await waiting(stage);
    await clock.advance(9_000);
    stage.runtime.load();
    expect(await (await response).text()).toStartWith("data: ");
  });

  test("for longer: 200 and comments that no client stumbles over, then the stream", async () => {
    const clock = createFakeClock();
    const stage = loading(clock);
    const pending = stage.fetch(CHAT, post(chat({ stream: true })));
    await waiting(stage);
    await clock.advance(10_000);
    const response = await pending;
    expect(response.status).toBe(200);
    stage.runtime.progress = 0.61;
    await clock.advance(30_000);
    stage.runtime.load();
    const text = await response.text();
    const [comments = "", stream = ""] = text.split(/(?=data: )([\s\S]*)/);
    expect(comments).toBe(`: waiting for the model\n\n${": loading 61%\n\n".repeat(6)}`);
    expect(comments).not.toMatch(/^(?:: ?ping|retry:|id:|event:)/m);
    expect(stream).toEndWith("data: [DONE]\n\n");
    expect(stream).not.toMatch(/^:/m);
    // Comments are no first byte.
    expect(stage.runtime.records).toMatchObject([{ status: 200, firstByteMs: 40_000 }]);
  });

  test("for longer, and fails: 200, comments, the error frame", async () => {
    const clock = createFakeClock();
    const stage = loading(clock);
    const pending = stage.fetch(CHAT, post(chat({ stream: true })));
    await waiting(stage);
    await clock.advance(10_000);
    const response = await pending;
    stage.runtime.refuse(new SynapticError("does_not_fit", "Cannot place m: needs 2 GiB, 1 GiB free"));
    const text = await response.text();
    expect(text).toStartWith(": waiting for the model\n\ndata: ");
    expect(lastError(text)).toMatchObject({ code: "does_not_fit", type: "server_error" });
    expect(stage.runtime.records).toMatchObject([{ status: 503, firstByteMs: null }]);
  });

  test("is not taken for a silent upstream, however long it takes", async () => {
    const clock = createFakeClock();
    const stage = loading(clock, { config: { silenceMs: 5_000 } });
    const pending = stage.fetch(CHAT, post(chat({ stream: true })));
    await waiting(stage);
    await clock.advance(600_000);
    stage.runtime.load();
    expect(await (await pending).text()).toEndWith("data: [DONE]\n\n");
  });

  test("and fails within the grace: the status of the failure", async () => {
    const clock = createFakeClock();
    const stage = loading(clock);
    const pending = stage.fetch(CHAT, post(chat({ stream: true })));
    await waiting(stage);
    stage.runtime.refuse(new SynapticError("no_backends", "No backend answers"));
    const response = await pending;
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("5");
  });

  test("holds a whole answer for so long, then 503 with retry-after and its progress", async () => {
    const clock = createFakeClock();
    const stage = loading(clock, { config: { holdMs: 50_000 } });
    stage.runtime.progress = 0.4;
    const pending = stage.fetch(CHAT, post(chat()));
    await waiting(stage);
    await clock.advance(49_000);
    expect(stage.runtime.waiting()).toBe(1);
    await clock.advance(1_000);
    const response = await pending;
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("15");
    expect(await errorOf(response)).toMatchObject({ code: "model_loading", param: "model", type: "server_error" });
    expect(stage.runtime.waiting()).toBe(0);
    expect(stage.upstream.asked).toHaveLength(0);
  });

  test("in time: the whole answer", async () => {
    const clock = createFakeClock();
    const stage = loading(clock);
    const pending = stage.fetch(CHAT, post(chat()));
    await waiting(stage);
    await clock.advance(49_000);
    stage.runtime.load();
    expect((await pending).status).toBe(200);
  });

  test("and then computes for longer than the hold: the answer all the same", async () => {
    const clock = createFakeClock();
    const gate = Promise.withResolvers<void>();
    const slow: Script = async (reply) => {
      await gate.promise;
      await recite(reply);
    };
    const { fetch, upstream } = setStage(slow, { clock, config: { holdMs: 1_000 } });
    const pending = fetch(CHAT, post(chat()));
    await upstream.request(0);
    await clock.advance(20_000);
    gate.resolve();
    expect((await pending).status).toBe(200);
  });
});
