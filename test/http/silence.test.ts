/** An upstream may be silent for so long; pings are no sign of life, and a slow client is not the upstream's silence. */
import { afterEach, describe, expect, test } from "bun:test";
import { createFakeClock } from "../fakes/clock.ts";
import { chatChunk, DONE, PING, recite } from "../fakes/llama-answers.ts";
import { connectRaw, rawPost } from "../fakes/raw-client.ts";
import { chat, post } from "../fakes/runtime.ts";
import { clearStages, errorOf, lastError, setStage } from "./stage.ts";
import { HELLO, openStream, SILENCE_MS } from "./stream.ts";

afterEach(clearStages);

const CHAT = "/v1/chat/completions";

describe("a silent upstream", () => {
  test("ends after the allowed silence with an error frame, and is let go", async () => {
    const stream = await openStream(() => {});
    await stream.clock.advance(SILENCE_MS - 1);
    expect(stream.runtime.busy()).toBe(1);
    await stream.clock.advance(1);
    const text = await stream.rest();
    expect(text).not.toContain("[DONE]");
    expect(lastError(text)).toMatchObject({ type: "server_error", code: "upstream_timeout" });
    expect(lastError(text).message).toContain("60 s");
    expect(stream.runtime.busy()).toBe(0);
    expect(stream.runtime.records).toMatchObject([{ status: 504 }]);
    expect(stream.runtime.suspected).toBe(1);
    const [asked] = stream.upstream.asked;
    if (!asked?.left.aborted) await new Promise((resolve) => asked?.left.addEventListener("abort", resolve));
  });

  test("of one request is not held against a coordinator whose slots work on", async () => {
    const stream = await openStream(() => {});
    const slots = (decoded: number) => `[{"id":1,"id_task":8,"next_token":[{"n_decoded":${decoded}}]}]`;
    stream.runtime.slots = slots(1);
    await stream.clock.advance(SILENCE_MS / 2);
    stream.runtime.slots = slots(2);
    await stream.clock.advance(SILENCE_MS / 2);
    expect(lastError(await stream.rest()).code).toBe("upstream_timeout");
    expect(stream.runtime.suspected).toBe(0);
  });

  test("does not live on pings", async () => {
    const pings = [1, 2, 3, 4].map(() => Promise.withResolvers<void>());
    const stream = await openStream(async (reply) => {
      for (const { promise } of pings) {
        await promise;
        await reply.chunk(PING);
      }
    });
    for (const { resolve } of pings) {
      await stream.clock.advance(14_900);
      resolve();
      expect(await stream.next()).toBe(PING);
    }
    await stream.clock.advance(400);
    expect(lastError(await stream.rest()).code).toBe("upstream_timeout");
  });

  test("that goes on before the silence is over loses nothing, and its time is counted anew", async () => {
    const events = [1, 2, 3].map(() => Promise.withResolvers<void>());
    const stream = await openStream(async (reply) => {
      for (const { promise } of events) {
        await promise;
        await reply.chunk(HELLO);
      }
      await reply.chunk(DONE);
      await reply.end();
    });
    for (const { resolve } of events) {
      await stream.clock.advance(SILENCE_MS - 1);
      resolve();
      expect(await stream.next()).toStartWith(HELLO);
    }
    await stream.rest();
    expect(stream.runtime.records).toMatchObject([{ status: 200 }]);
  });

  test("in the middle of a whole answer ends with 504", async () => {
    const clock = createFakeClock();
    const { fetch, runtime, upstream } = setStage(
      (reply) => reply.raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
      { clock, config: { silenceMs: SILENCE_MS } },
    );
    const pending = fetch(CHAT, post(chat()));
    await upstream.request(0);
    // Twice: the first byte may or may not have come yet, and counts anew.
    await clock.advance(SILENCE_MS);
    await clock.advance(SILENCE_MS);
    const response = await pending;
    expect(response.status).toBe(504);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect((await errorOf(response)).code).toBe("upstream_timeout");
    expect(runtime.busy()).toBe(0);
  });
});

describe("a whole answer that takes longer than the allowed silence", () => {
  const slots = (decoded: number) => `[{"id":0,"id_task":7,"next_token":[{"n_decoded":${decoded}}]}]`;

  test("is waited for as long as a slot works on it", async () => {
    const clock = createFakeClock();
    const done = Promise.withResolvers<void>();
    const { fetch, runtime, upstream } = setStage(
      async (reply) => {
        await done.promise;
        await reply.whole(200, "{}");
      },
      { clock, config: { silenceMs: SILENCE_MS } },
    );
    const pending = fetch(CHAT, post(chat()));
    await upstream.request(0);
    for (let decoded = 0; decoded < 10; decoded++) {
      runtime.slots = slots(decoded);
      await clock.advance(SILENCE_MS / 2);
    }
    done.resolve();
    expect((await pending).status).toBe(200);
    expect(upstream.asked).toHaveLength(1);
  });

  test("ends with 504 once no slot gets on", async () => {
    const clock = createFakeClock();
    const { fetch, runtime, upstream } = setStage(() => new Promise(() => {}), {
      clock,
      config: { silenceMs: SILENCE_MS },
    });
    const pending = fetch(CHAT, post(chat()));
    await upstream.request(0);
    runtime.slots = slots(1);
    await clock.advance(SILENCE_MS / 2);
    runtime.slots = slots(2);
    await clock.advance(SILENCE_MS / 2);
    await clock.advance(SILENCE_MS - 1);
    expect(runtime.busy()).toBe(1);
    await clock.advance(1);
    expect((await pending).status).toBe(504);
    expect(runtime.suspected).toBe(1);
  });
});

test("a client that stops reading is cut after the same time, and not blamed on the model", async () => {
  const clock = createFakeClock();
  const block = `data: ${"x".repeat(256 * 1024)}\n\n`;
  let sent = 0;
  const stage = setStage(
    async (reply) => {
      await reply.head();
      while (!reply.asked.left.aborted) {
        await reply.chunk(block);
        sent += block.length;
      }
    },
    { clock, config: { silenceMs: SILENCE_MS } },
  );
  const client = await connectRaw(stage.port);
  client.send(rawPost(CHAT, chat({ stream: true })));
  await client.until("data: ");
  client.pause();
  const asked = await stage.upstream.request(0);
  // The upstream is held back too: nothing moves any more.
  for (let before = -1; before !== sent; ) {
    before = sent;
    await Bun.sleep(100);
  }
  await clock.advance(SILENCE_MS);
  await clock.advance(SILENCE_MS);
  await stage.runtime.idle();
  if (!asked.left.aborted) await new Promise((resolve) => asked.left.addEventListener("abort", resolve));
  expect(stage.runtime.records).toMatchObject([{ status: 499 }]);
  expect(stage.runtime.log.lines()).toEqual([]);
  client.leave();
});

test("a good stream is recorded once, with the time to its first byte from the request on", async () => {
  const clock = createFakeClock();
  const gate = Promise.withResolvers<void>();
  const { fetch, runtime, upstream } = setStage(
    async (reply) => {
      await gate.promise;
      await recite(reply);
    },
    { clock },
  );
  const response = fetch(CHAT, post(chat({ stream: true, max_tokens: 2 })));
  await upstream.request(0);
  await clock.advance(7_000);
  gate.resolve();
  expect(await (await response).text()).toStartWith(chatChunk({ role: "assistant", content: null }));
  expect(runtime.records).toMatchObject([
    { model: "m", route: "shard", status: 200, firstByteMs: 7_000, totalMs: 7_000 },
  ]);
});
