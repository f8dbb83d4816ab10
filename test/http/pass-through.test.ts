/** Bytes pass untouched, in both directions; nothing else of one side reaches the other. */
import { afterEach, describe, expect, test } from "bun:test";
import { chatChunk, DONE, PING, recite } from "../fakes/llama-answers.ts";
import type { Reply, Script } from "../fakes/llama-server.ts";
import { chat, post } from "../fakes/runtime.ts";
import { clearStages, setStage } from "./stage.ts";

afterEach(clearStages);

const CHAT = "/v1/chat/completions";
/** Characters of two, three and four bytes, and a mark that joins. */
const WORDS = ["Größe", "日本語", "👩🏽‍🚀", "é", "\u2028", "end"];
const STREAM = Buffer.from(
  `${chatChunk({ role: "assistant", content: null })}${WORDS.map((content) => chatChunk({ content })).join("")}${chatChunk({}, "stop")}${DONE}`,
);

/** Sends the stream in pieces of so many bytes, each an HTTP chunk and a write of its own. */
function inPieces(size: number): Script {
  return async (reply) => {
    await reply.head();
    for (let at = 0; at < STREAM.length; at += size) {
      await reply.chunk(STREAM.subarray(at, at + size));
      await new Promise(setImmediate);
    }
    await reply.end();
  };
}

describe("a stream", () => {
  test.each([1, 2, 3, 7, 64, 1000, STREAM.length])("passes byte for byte in pieces of %d", async (size) => {
    const { fetch } = setStage(inPieces(size));
    const response = await fetch(CHAT, post(chat({ stream: true })));
    expect(response.status).toBe(200);
    // As one character per byte: a difference is then shown as text.
    expect(Buffer.from(await response.arrayBuffer()).toString("latin1")).toBe(STREAM.toString("latin1"));
  });

  test("passes when the HTTP chunks themselves come in single bytes", async () => {
    const encoded = `${STREAM.length.toString(16)}\r\n${STREAM.toString("latin1")}\r\n0\r\n\r\n`;
    const { fetch } = setStage(async (reply) => {
      await reply.head();
      for (const byte of Buffer.from(encoded, "latin1")) {
        await reply.raw(new Uint8Array([byte]));
        await new Promise(setImmediate);
      }
    });
    const response = await fetch(CHAT, post(chat({ stream: true })));
    expect(Buffer.from(await response.arrayBuffer()).toString("latin1")).toBe(STREAM.toString("latin1"));
  });

  test("keeps pings, blank lines, CRLF and unknown fields of its events", async () => {
    const text = `${PING}data: {"x":1}\r\n\r\n\n: note\nid: 7\ndata: {"choices":[]}\n\n${DONE}`;
    const { fetch } = setStage(async (reply) => {
      await reply.head();
      await reply.chunk(text);
      await reply.end();
    });
    expect(await (await fetch(CHAT, post(chat({ stream: true })))).text()).toBe(text);
  });

  test("delivers each event at once, not when the next one comes", async () => {
    const steps = [0, 1, 2].map(() => Promise.withResolvers<void>());
    const { fetch } = setStage(async (reply) => {
      await reply.head();
      for (const { promise } of steps) {
        await promise;
        await reply.chunk(chatChunk({ content: "x" }));
      }
      await reply.chunk(DONE);
      await reply.end();
    });
    const response = fetch(CHAT, post(chat({ stream: true })));
    steps[0]?.resolve();
    const reader = (await response).body?.getReader();
    for (const next of [1, 2]) {
      const { value } = (await reader?.read()) ?? {};
      expect(new TextDecoder().decode(value)).toBe(chatChunk({ content: "x" }));
      steps[next]?.resolve();
    }
    await reader?.cancel();
  });

  test("passes 32 MiB of data without loss", async () => {
    const block = new Uint8Array(256 * 1024).fill(97);
    const { fetch } = setStage(async (reply) => {
      await reply.head();
      await reply.chunk("data: ");
      for (let i = 0; i < 128; i++) await reply.chunk(block);
      await reply.chunk(`\n\n${DONE}`);
      await reply.end();
    });
    const bytes = new Uint8Array(await (await fetch(CHAT, post(chat({ stream: true })))).arrayBuffer());
    expect(bytes.length).toBe(128 * block.length + "data: \n\n".length + DONE.length);
    expect(bytes.indexOf(98)).toBe(-1);
  });
});

describe("a whole answer", () => {
  test("passes byte for byte, spaces and unknown fields included", async () => {
    const body = '{ "id":1,\n  "unknown": ["日本語", 1e400, 12345678901234567890] }\n';
    const { fetch } = setStage((reply) => reply.whole(200, body));
    const response = await fetch(CHAT, post(chat()));
    expect(await response.text()).toBe(body);
    expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
  });

  test("passes 16 MiB", async () => {
    const body = new Uint8Array(16 * 1024 ** 2).fill(97);
    const { fetch } = setStage((reply) => reply.whole(200, body));
    expect((await (await fetch(CHAT, post(chat()))).arrayBuffer()).byteLength).toBe(body.length);
  });
});

describe("a request", () => {
  test.each([
    ["chat", CHAT, `{ "model":"m","messages":[{"role":"user","content":"日本","x":null}],"a":{"b":[1e400]},"n":1 }`],
    ["completion", "/v1/completions", `{"model":"m", "prompt":"p", "seed":12345678901234567890, "stream":true}`],
  ])("reaches the coordinator byte for byte and once: %s", async (_, path, body) => {
    const { fetch, upstream } = setStage(recite);
    await (await fetch(path, post(body))).text();
    expect(upstream.asked.map((asked) => `${asked.method} ${asked.path}`)).toEqual([`POST ${path}`]);
    expect(Buffer.from(upstream.asked[0]?.body ?? "").toString()).toBe(body);
  });

  test("takes none of the client's headers along, and has the coordinator's own key", async () => {
    const { fetch, upstream } = setStage(recite, { apiKey: "coordinator-key" });
    const secret = { authorization: "Bearer client-secret", cookie: "c=client-secret", "x-api-key": "client-secret" };
    const more = { origin: "http://localhost:3000", "x-stainless-lang": "js", "accept-encoding": "gzip" };
    await fetch(`${CHAT}?key=client-secret`, post(chat(), { ...secret, ...more }));
    const [asked] = upstream.asked;
    expect(asked?.headers.get("authorization")).toBe("Bearer coordinator-key");
    expect(asked?.headers.get("accept-encoding")).toBe("identity");
    expect(asked?.path).toBe(CHAT);
    expect(JSON.stringify([...(asked?.headers ?? [])])).not.toMatch(/client-secret|localhost:3000|stainless/);
  });
});

describe("headers of the coordinator", () => {
  const leaky = (reply: Reply): Promise<void> =>
    reply.whole(200, "{}", { "Content-Encoding": "br", "Set-Cookie": "a=b", "X-Llama": "1", Via: "llama" });

  test.each([
    ["whole", leaky, chat()],
    ["streamed", recite, chat({ stream: true })],
  ])("stay inside: %s", async (_, script, body) => {
    const response = await setStage(script).fetch(CHAT, post(body));
    await response.arrayBuffer();
    const theirs = ["server", "keep-alive", "content-encoding", "set-cookie", "x-llama", "via"];
    for (const name of [...theirs, "access-control-allow-origin"]) expect(response.headers.get(name)).toBeNull();
  });

  test("a stream is sent as one that no proxy may hold back", async () => {
    const response = await setStage(recite).fetch(CHAT, post(chat({ stream: true })));
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("cache-control")).toBe("no-cache");
    expect(response.headers.get("x-accel-buffering")).toBe("no");
    expect(response.headers.get("content-length")).toBeNull();
    await response.body?.cancel();
  });
});
