/** A stream that breaks ends with one error frame and no [DONE]. */
import { afterEach, describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { chatChunk, DONE, refusalBody } from "../fakes/llama-answers.ts";
import type { Reply } from "../fakes/llama-server.ts";
import { clearStages, lastError, type Stage } from "./stage.ts";
import { HELLO, type OpenStream, openStream, waitsForDeath } from "./stream.ts";

afterEach(clearStages);

/** It ends where it breaks. */
const UNKEPT = { "x-synaptic-resume": "off" };

/** Hello, what is given, and what came of it, while the coordinator lives on. */
async function readBroken(
  then: (reply: Reply) => unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<OpenStream & { readonly text: string }> {
  const stream = await openStream(then, headers);
  const rest = stream.rest();
  await waitsForDeath(stream.clock);
  return { ...stream, text: await rest };
}

function expectReleased({ runtime }: Stage, status: number): void {
  expect(runtime.busy()).toBe(0);
  expect(runtime.records.map((record) => record.status)).toEqual([status]);
}

describe("an upstream that breaks off", () => {
  test.each<[string, (reply: Reply) => unknown]>([
    ["with a reset", (reply) => reply.cut("rst")],
    ["with the end of its connection", (reply) => reply.cut("fin")],
    ["with a proper end but no [DONE]", (reply) => reply.end()],
  ])("%s becomes an error frame right after what came", async (_, then) => {
    const seen = await readBroken(then);
    expect(seen.response.status).toBe(200);
    expect(seen.text).toStartWith('data: {"error":{');
    expect(seen.text).not.toContain("[DONE]");
    expect(lastError(seen.text)).toMatchObject({ type: "server_error", code: "upstream_error", param: null });
    expectReleased(seen, 502);
  });

  test("after its finish reason, but without [DONE], has not ended well", async () => {
    const { text } = await readBroken(async (reply) => {
      await reply.chunk(chatChunk({}, "stop"));
      await reply.end();
    });
    expect(lastError(text).code).toBe("upstream_error");
  });

  test("in the middle of an event has the error frame instead of it", async () => {
    const { text } = await readBroken(async (reply) => {
      await reply.chunk(HELLO.slice(0, 40));
      await reply.end();
    });
    expect(text).toStartWith('data: {"error":');
    expect(lastError(text).code).toBe("upstream_error");
  });

  test("in the middle of an event of a stream that is not kept has the error frame as an event of its own", async () => {
    const half = HELLO.slice(0, 40);
    const { text } = await readBroken(async (reply) => {
      await reply.chunk(half);
      await reply.end();
    }, UNKEPT);
    expect(text).toStartWith(`${half}\n\ndata: {"error":`);
    expect(lastError(text).code).toBe("upstream_error");
  });

  test("because its process died says why, at once", async () => {
    const stream = await openStream((reply) => {
      stream.runtime.die(new SynapticError("coordinator_failed", "Lost a backend of m: 10.0.0.1:50052 is gone"));
      reply.cut("rst");
    }, UNKEPT);
    expect(lastError(await stream.rest()).message).toBe("Lost a backend of m: 10.0.0.1:50052 is gone");
    expect(stream.clock.now()).toBe(stream.startedAt);
    expectReleased(stream, 502);
  });

  test("is not asked again once a stream began that is not to go on", async () => {
    const stream = await openStream((reply) => {
      stream.runtime.die(new SynapticError("coordinator_failed", "Lost a backend of m"));
      reply.cut("rst");
    }, UNKEPT);
    await stream.rest();
    expect(stream.upstream.asked).toHaveLength(1);
  });
});

describe("an error frame of llama-server's own", () => {
  const said = `data: ${refusalBody(500, "Something broke")}\n\n`;
  const word = chatChunk({ content: "x" });

  test.each<[string, string, string]>([
    ["alone", said, ""],
    ["in one piece with the event before", word + said, word],
  ])("gets our four fields, once, with a text as code: %s", async (_, piece, before) => {
    const stream = await openStream(async (reply) => {
      await reply.chunk(piece);
      await reply.end();
    });
    const text = await stream.rest();
    expect(text).toStartWith(`${before}data: {"error":`);
    expect(text.match(/"error"/g)).toHaveLength(1);
    expect(lastError(text)).toMatchObject({ type: "server_error", code: "upstream_error" });
    expect(lastError(text).message).toContain("Something broke");
    expectReleased(stream, 502);
  });

  test("that comes in pieces is put together first", async () => {
    const stream = await openStream(async (reply) => {
      await reply.chunk(said.slice(0, 10));
      await reply.chunk(said.slice(10));
      await reply.end();
    });
    const text = await stream.rest();
    expect(text.match(/"error"/g)).toHaveLength(1);
    expect(lastError(text)).toMatchObject({ type: "server_error", code: "upstream_error" });
  });

  test("that comes in pieces of a stream that is not kept passes as it is, and no second one follows", async () => {
    const gate = Promise.withResolvers<void>();
    const stream = await openStream(async (reply) => {
      await reply.chunk(said.slice(0, 10));
      await gate.promise;
      await reply.chunk(said.slice(10));
      await reply.end();
    }, UNKEPT);
    expect(await stream.next()).toBe(said.slice(0, 10));
    gate.resolve();
    expect(await stream.rest()).toBe(said.slice(10));
  });

  test("about the context says so in the words that clients look for", async () => {
    const body = refusalBody(400, "request exceeds", { type: "exceed_context_size_error", n_ctx: 512 });
    const text = await (await openStream((reply) => reply.chunk(`data: ${body}\n\n`))).rest();
    expect(lastError(text)).toMatchObject({ code: "context_length_exceeded" });
    expect(lastError(text).message).toContain("maximum context length is 512 tokens");
  });

  test("is not seen in a text that only speaks of errors", async () => {
    const talk = chatChunk({ content: 'data: {"error":{"message":"x"}}\n\n' });
    const stream = await openStream(async (reply) => {
      await reply.chunk(talk);
      await reply.chunk(DONE);
      await reply.end();
    });
    expect(await stream.rest()).toBe(talk + DONE);
    expectReleased(stream, 200);
  });
});
