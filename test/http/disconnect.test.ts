/** A client that leaves ends its request everywhere, at once; one that reads slowly slows its upstream down. */
import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { createFakeClock } from "../fakes/clock.ts";
import { chatChunk, DONE } from "../fakes/llama-answers.ts";
import type { Asked, Script } from "../fakes/llama-server.ts";
import { connectRaw, rawPost } from "../fakes/raw-client.ts";
import { chat } from "../fakes/runtime.ts";
import { clearStages, type Stage, setStage } from "./stage.ts";

afterEach(clearStages);

const CHAT = "/v1/chat/completions";
const SILENT: Script = () => {};
const WAYS = [
  ["whole", chat()],
  ["streamed", chat({ stream: true })],
] as const;

async function gone({ left }: Asked): Promise<void> {
  if (!left.aborted) await new Promise((resolve) => left.addEventListener("abort", resolve));
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise(setImmediate);
}

async function expectForgotten({ runtime }: Stage): Promise<void> {
  // The place is free a moment before the record is written.
  await until(() => runtime.records.length > 0);
  expect([runtime.busy(), runtime.waiting()]).toEqual([0, 0]);
  expect(runtime.records.map(({ status }) => status)).toEqual([499]);
  // It is no failure of ours.
  expect(runtime.log.lines()).toEqual([]);
}

describe("a client that leaves", () => {
  test.each(WAYS)("while the prompt is processed ends the upstream's work: %s", async (_, body) => {
    const stage = setStage(SILENT);
    const client = await connectRaw(stage.port);
    client.send(rawPost(CHAT, body));
    const asked = await stage.upstream.request(0);
    client.leave();
    await gone(asked);
    await until(() => stage.runtime.records.length > 0);
    await expectForgotten(stage);
  });

  test("in the middle of a stream that is quiet just now", async () => {
    const stage = setStage(async (reply) => {
      await reply.head();
      await reply.chunk(chatChunk({ content: "x" }));
    });
    const client = await connectRaw(stage.port);
    client.send(rawPost(CHAT, chat({ stream: true })));
    await client.until("data: ");
    client.leave();
    await gone(await stage.upstream.request(0));
    await stage.runtime.idle();
    await expectForgotten(stage);
  });

  test("in the middle of a stream that flows", async () => {
    const stage = setStage(async (reply) => {
      await reply.head();
      while (!reply.asked.left.aborted) {
        await reply.chunk(chatChunk({ content: "x" }));
        await new Promise(setImmediate);
      }
    });
    const client = await connectRaw(stage.port);
    client.send(rawPost(CHAT, chat({ stream: true })));
    await client.until("data: ");
    client.leave();
    await gone(await stage.upstream.request(0));
    await stage.runtime.idle();
    await expectForgotten(stage);
  });

  test.each(WAYS)("while the model loads no longer waits for it: %s", async (_, body) => {
    const stage = setStage(SILENT, { loaded: false });
    const client = await connectRaw(stage.port);
    client.send(rawPost(CHAT, body));
    await until(() => stage.runtime.waiting() > 0);
    client.leave();
    await until(() => stage.runtime.records.length > 0);
    await expectForgotten(stage);
    expect(stage.upstream.asked).toHaveLength(0);
  });

  test("while comments hold it no longer waits either", async () => {
    const clock = createFakeClock();
    const stage = setStage(SILENT, { loaded: false, clock });
    const client = await connectRaw(stage.port);
    client.send(rawPost(CHAT, chat({ stream: true })));
    await until(() => stage.runtime.waiting() > 0);
    await clock.advance(10_000);
    await client.until(": waiting");
    client.leave();
    await until(() => stage.runtime.records.length > 0);
    await expectForgotten(stage);
    // No timer goes on writing to nobody.
    expect(clock.pending()).toBe(0);
  });
});

test("a client that leaves while it still sends its body is no failure of ours", async () => {
  const answered = Promise.withResolvers<void>();
  const stage = setStage(SILENT, { beforeAnswer: async () => answered.resolve() });
  const client = await connectRaw(stage.port);
  client.send(rawPost(CHAT, chat()).replace(/Content-Length: \d+/, "Content-Length: 100000"));
  client.leave();
  await answered.promise;
  expect(stage.runtime.log.lines()).toEqual([]);
  expect(stage.upstream.asked).toHaveLength(0);
});

test("a client that leaves before its stream was asked for by the listener frees its place too", async () => {
  const upstream: Script = async (reply) => {
    await reply.head();
    await reply.chunk(chatChunk({ content: "x" }));
  };
  // Bun then never pulls; it only cancels.
  const beforeAnswer = ({ signal }: Request): Promise<void> =>
    new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
  const stage = setStage(upstream, { beforeAnswer });
  const client = await connectRaw(stage.port);
  client.send(rawPost(CHAT, chat({ stream: true })));
  const asked = await stage.upstream.request(0);
  await until(() => stage.runtime.busy() > 0);
  client.leave();
  await gone(asked);
  await stage.runtime.idle();
  await expectForgotten(stage);
});

test("a good answer leaves no timer behind, whole or streamed", async () => {
  const clock = createFakeClock();
  const stage = setStage(
    async (reply) => {
      if (!new TextDecoder().decode(reply.asked.body).includes("stream")) return reply.whole(200, "{}");
      await reply.head();
      await reply.chunk(DONE);
      await reply.end();
    },
    { clock },
  );
  for (const [, body] of WAYS) {
    await (await stage.fetch(CHAT, { method: "POST", body })).text();
    expect(clock.pending()).toBe(0);
  }
});

test("a client that reads slowly holds the upstream back, and gets all of it in the end", async () => {
  const block = `data: ${"x".repeat(64 * 1024)}\n\n`;
  const blocks = 2_000;
  let sent = 0;
  const stage = setStage(async (reply) => {
    await reply.head();
    for (; sent < blocks; sent++) await reply.chunk(block);
    await reply.chunk(DONE);
    await reply.end();
  });
  const client = await connectRaw(stage.port);
  client.send(rawPost(CHAT, chat({ stream: true })));
  await client.until("data: ");
  client.pause();
  for (let before = -1; before !== sent; ) {
    before = sent;
    await Bun.sleep(200);
  }
  // 125 MiB are on offer; what is under way lies in the buffers of four sockets.
  expect(sent * block.length).toBeLessThan(40 * 1024 ** 2);
  client.resume();
  await stage.runtime.idle();
  await until(() => client.received() > blocks * block.length);
  expect(stage.runtime.records).toMatchObject([{ status: 200 }]);
  client.leave();
});

test("five hundred clients that leave, one after the other, leave nothing behind: no word, no memory, no grant", async () => {
  const program = join(import.meta.dir, "..", "fixtures", "leaving-clients.ts");
  const child = Bun.spawn([process.execPath, program], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  expect(err).toBe("");
  expect(await child.exited).toBe(0);
  const { left, statuses, busy, grownMiB } = JSON.parse(out);
  expect({ left, statuses, busy }).toEqual({ left: 500, statuses: [499], busy: 0 });
  expect(grownMiB).toBeLessThan(24);
});
