/** What a client does wrong is said in OpenAI's shape, names the field, and never reaches a coordinator. */
import { afterEach, describe, expect, test } from "bun:test";
import { MAX_BODY_BYTES } from "../../src/http/guard.ts";
import { recite } from "../fakes/llama-answers.ts";
import type { Script } from "../fakes/llama-server.ts";
import { connectRaw, rawPost } from "../fakes/raw-client.ts";
import { chat, post } from "../fakes/runtime.ts";
import { clearStages, errorOf, setStage } from "./stage.ts";

afterEach(clearStages);

const CHAT = "/v1/chat/completions";
const TEXT = "/v1/completions";
const MESSAGES = [{ role: "user", content: "x" }];

function image(url: unknown, key = "image_url"): string {
  return JSON.stringify({ model: "m", messages: [{ role: "user", content: [{ type: key, [key]: url }] }] });
}

describe("a body that cannot be used", () => {
  test.each([
    ["empty", CHAT, ""],
    ["not JSON", CHAT, "{bad"],
    ["cut off", CHAT, chat().slice(0, -3)],
    ["not UTF-8", CHAT, new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d])],
    ["nested without end", CHAT, "[".repeat(1_000_000)],
  ])("is refused with 400 in OpenAI's words when it is %s", async (_, path, body) => {
    const { request, upstream } = setStage(recite);
    const response = await request(path, post(body));
    expect(response.status).toBe(400);
    expect(response.headers.get("x-should-retry")).toBe("false");
    const error = await errorOf(response);
    expect(error).toMatchObject({ type: "invalid_request_error", param: null, code: null });
    expect(error.message).toStartWith("We could not parse the JSON body of your request");
    expect(upstream.asked).toHaveLength(0);
  });

  test.each<[string, string, unknown, string | null, string | null]>([
    ["a list", CHAT, [], null, null],
    ["a text", CHAT, "x", null, null],
    ["a model that is a number", CHAT, { model: 5, messages: MESSAGES }, "model", "invalid_type"],
    ["no messages", CHAT, { model: "m" }, "messages", "missing_required_parameter"],
    ["messages null", CHAT, { model: "m", messages: null }, "messages", "invalid_type"],
    ["messages that are a text", CHAT, { model: "m", messages: "x" }, "messages", "invalid_type"],
    ["no message", CHAT, { model: "m", messages: [] }, "messages", "invalid_value"],
    ["a message that is none", CHAT, { model: "m", messages: [5] }, "messages[0]", "invalid_type"],
    [
      "a message without role",
      CHAT,
      { model: "m", messages: [...MESSAGES, { content: "x" }] },
      "messages[1].role",
      "missing_required_parameter",
    ],
    ["stream as a text", CHAT, { model: "m", messages: MESSAGES, stream: "yes" }, "stream", "invalid_type"],
    ["no prompt", TEXT, { model: "m" }, "prompt", "missing_required_parameter"],
    ["a prompt that is a number", TEXT, { model: "m", prompt: 5 }, "prompt", "invalid_value"],
    ["an empty list of prompts", TEXT, { model: "m", prompt: [] }, "prompt", "invalid_value"],
    // It would make llama-server write out of bounds (CVE-2026-21869).
    ["a negative n_discard", CHAT, { model: "m", messages: MESSAGES, n_discard: -1 }, "n_discard", "invalid_value"],
    ["the same in a completion", TEXT, { model: "m", prompt: "x", n_discard: -1 }, "n_discard", "invalid_value"],
    ["n_discard as a text", TEXT, { model: "m", prompt: "x", n_discard: "-1" }, "n_discard", "invalid_type"],
  ])("is refused with 400 and names the field: %s", async (_, path, body, param, code) => {
    const { request, upstream } = setStage(recite);
    const response = await request(path, post(JSON.stringify(body)));
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ type: "invalid_request_error", param, code });
    expect(upstream.asked).toHaveLength(0);
  });

  test("is not made of null where a field may be left out", async () => {
    const { request } = setStage(recite);
    const body = { model: "m", messages: MESSAGES, stream: null, n_discard: null };
    expect((await request(CHAT, post(JSON.stringify(body)))).status).toBe(200);
  });
});

test("a body that is nested so deep that llama-server would crash on it is refused", async () => {
  const { request, upstream } = setStage(recite);
  const nested = (levels: number): string =>
    `{"model":"m","prompt":"x","y":${"[".repeat(levels)}${"]".repeat(levels)}}`;
  expect((await request(TEXT, post(nested(127)))).status).toBe(200);
  for (const levels of [128, 20_000]) {
    const response = await request(TEXT, post(nested(levels)));
    expect(response.status).toBe(400);
    expect((await errorOf(response)).message).toContain("nested deeper than 128 levels");
  }
  expect(upstream.asked).toHaveLength(1);
});

describe("an image by its address", () => {
  test.each<[string, unknown, string?]>([
    ["http", { url: "http://169.254.169.254/latest" }],
    ["https", { url: "https://example.com/x.png", detail: "low" }],
    ["a file of the head node", { url: "file:///etc/passwd" }],
    ["in capitals", { url: "HTTP://example.com/x.png" }],
    ["as a plain text", "http://example.com/x.png"],
    ["of another kind", { url: "http://example.com/x.mp4" }, "video_url"],
  ])("is refused, since llama-server would fetch it: %s", async (_, url, key = "image_url") => {
    const { request, upstream } = setStage(recite);
    const response = await request(CHAT, post(image(url, key)));
    expect(response.status).toBe(400);
    const param = `messages[0].content[0].${key}`;
    expect(await errorOf(response)).toMatchObject({ code: "unsupported_parameter", param });
    expect(upstream.asked).toHaveLength(0);
  });

  test("is no trouble when it is the image itself, or only spoken of", async () => {
    const { request, upstream } = setStage(recite);
    expect((await request(CHAT, post(image({ url: "data:image/png;base64,AA==" })))).status).toBe(200);
    const talk = [{ role: "user", content: "see http://example.com/x.png" }];
    expect((await request(CHAT, post(chat({ messages: talk })))).status).toBe(200);
    expect(upstream.asked).toHaveLength(2);
  });
});

describe("a body of 50 MB", () => {
  const size = 50 * 1024 ** 2;
  const HEALTH = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

  test("is refused with 413 in OpenAI's shape, and the connection goes on", async () => {
    const { port } = setStage(recite);
    const client = await connectRaw(port);
    client.send(rawPost(CHAT, "x".repeat(size)));
    const text = await client.until("}}");
    expect(text).toStartWith("HTTP/1.1 413 ");
    expect(text).toContain('"type":"invalid_request_error","param":null,"code":"request_too_large"');
    client.send(HEALTH);
    await client.until('{"status":"ok","server":"synaptic"}');
    client.leave();
  });

  test("is refused as soon as its length is announced", async () => {
    const { port } = setStage(recite);
    const client = await connectRaw(port);
    client.send(rawPost(CHAT, "x").replace("Content-Length: 1", `Content-Length: ${size}`));
    expect(await client.until("}}")).toStartWith("HTTP/1.1 413 ");
    client.leave();
  });

  test("is refused when its length is not announced, and the connection goes on", async () => {
    const { port } = setStage(recite);
    const client = await connectRaw(port);
    client.send(rawPost(CHAT, "").replace("Content-Length: 0", "Transfer-Encoding: chunked"));
    const chunk = "x".repeat(1024 ** 2);
    for (let sent = 0; sent < size; sent += chunk.length) client.send(`100000\r\n${chunk}\r\n`);
    client.send("0\r\n\r\n");
    expect(await client.until("}}")).toStartWith("HTTP/1.1 413 ");
    client.send(HEALTH);
    await client.until('{"status":"ok","server":"synaptic"}');
    client.leave();
  });

  test("is refused on the owner's routes too", async () => {
    const { request } = setStage(recite);
    const response = await request("/synaptic/models/load", post(new Uint8Array(MAX_BODY_BYTES + 1)));
    expect(response.status).toBe(413);
  });

  test("passes when it just fits", async () => {
    const { fetch, upstream } = setStage(recite);
    const frame = chat({ user: "" });
    const body = chat({ user: "x".repeat(MAX_BODY_BYTES - frame.length) });
    expect((await fetch(CHAT, post(body))).status).toBe(200);
    expect(upstream.asked[0]?.body.length).toBe(MAX_BODY_BYTES);
    expect((await fetch(CHAT, post(`${body} `))).status).toBe(413);
  });
});

describe("an address that is not there", () => {
  test.each([
    ["GET", "/v1/nothing"],
    ["POST", "/nothing"],
    ["POST", "/v1"],
    ["POST", "/v1/images/generations"],
    ["GET", "/synaptic/nothing"],
    ["GET", "/%"],
  ])("is a 404 in JSON: %s %s", async (method, path) => {
    const response = await setStage(recite).request(path, { method });
    expect(response.status).toBe(404);
    expect(await errorOf(response)).toMatchObject({ type: "invalid_request_error", code: "unknown_url", param: null });
  });

  test.each([
    ["GET", CHAT, "POST"],
    ["DELETE", TEXT, "POST"],
    ["POST", "/v1/models", "GET, HEAD"],
    ["PUT", "/v1/models/m", "GET, HEAD"],
    ["POST", "/healthz", "GET, HEAD"],
    ["POST", "/metrics", "GET, HEAD"],
    ["GET", "/synaptic/models/load", "POST"],
  ])("is a 405 in JSON when only the method is wrong: %s %s", async (method, path, allowed) => {
    const response = await setStage(recite).request(path, { method });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe(allowed);
    expect(await errorOf(response)).toMatchObject({ type: "invalid_request_error", code: "unknown_url" });
  });
});

test("an unknown model is a 404 that clients recognise, and no reason to try again", async () => {
  const { request, upstream } = setStage(recite);
  for (const [path, body] of [
    [CHAT, { model: "n", messages: MESSAGES }],
    [TEXT, { model: "n", prompt: "x" }],
  ] as const) {
    const response = await request(path, post(JSON.stringify(body)));
    expect(response.status).toBe(404);
    expect(response.headers.get("x-should-retry")).toBe("false");
    const error = await errorOf(response);
    expect(error).toMatchObject({ type: "invalid_request_error", code: "model_not_found", param: "model" });
    expect(error.message).toContain("'n'");
  }
  expect(upstream.asked).toHaveLength(0);
});

describe("a request that names no model", () => {
  const ask = JSON.stringify({ messages: MESSAGES });
  const answer: Script = (reply) => reply.whole(200, "{}");

  test("gets the only one there is", async () => {
    const { request, runtime } = setStage(answer);
    expect((await request(CHAT, post(ask))).status).toBe(200);
    expect(runtime.granted()).toBe(1);
  });

  test("gets the one that the config loads at the start", async () => {
    const { request } = setStage(answer, { models: ["other"], config: { preload: ["other"] } });
    const response = await request(CHAT, post(ask));
    expect(response.status).toBe(200);
  });

  test("is refused where there are several, with their names", async () => {
    const { request } = setStage(answer, { models: ["other"] });
    const response = await request(CHAT, post(ask));
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ param: "model", code: "missing_required_parameter" });
  });
});

test("an unknown model is said before anything else that is wrong", async () => {
  const { request } = setStage(() => {});
  const response = await request(CHAT, post('{"model":"nope"}'));
  expect(response.status).toBe(404);
  expect(await errorOf(response)).toMatchObject({ param: "model", code: "model_not_found" });
});
