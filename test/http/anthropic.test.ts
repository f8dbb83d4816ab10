/** Anthropic's clients in front of a coordinator, as they are answered over HTTP. */
import { afterEach, describe, expect, test } from "bun:test";
import { RECITATION } from "../../scripts/recitation.ts";
import { SynapticError } from "../../src/core/errors.ts";
import { readMessage } from "../core/translate/anthropic-client.ts";
import { eventsOf } from "../core/translate/recorded.ts";
import { createFakeClock } from "../fakes/clock.ts";
import { chatChunk, recite, refuse } from "../fakes/llama-answers.ts";
import { post } from "../fakes/runtime.ts";
import { answerRecorded } from "./recorded-script.ts";
import { clearStages, type Stage, setStage } from "./stage.ts";

afterEach(clearStages);

const MESSAGES = "/v1/messages";
const PING = 'event: ping\ndata: {"type":"ping"}\n\n';

function ask(more: object = {}): string {
  return JSON.stringify({ model: "m", max_tokens: 500, messages: [{ role: "user", content: "hi" }], ...more });
}

interface Said {
  readonly id?: string;
  readonly content?: unknown;
  readonly usage?: { readonly input_tokens: number };
  readonly error?: { readonly message: string };
  readonly request_id?: string;
}

async function messageOf(response: Response): Promise<Said> {
  // Whatever it is: the tests look at each field.
  return (await response.json()) as Said;
}

function putTo({ upstream }: Stage, at = 0): unknown {
  return JSON.parse(new TextDecoder().decode(upstream.asked[at]?.body));
}

const waiting = async ({ runtime }: Stage): Promise<void> => {
  while (runtime.waiting() === 0) await new Promise(setImmediate);
};

describe("POST /v1/messages", () => {
  test("whole, as Claude Code asks: a message of an id nobody can guess, counted, its request's id beside", async () => {
    const stage = setStage(recite, { env: { SYNAPTIC_API_KEY: "secret" } });
    const headers = { "x-api-key": "secret", "anthropic-version": "2023-06-01", "anthropic-beta": "x-2025-01-01" };
    const response = await stage.fetch(`${MESSAGES}?beta=true`, post(ask(), headers));
    expect(response.status).toBe(200);
    expect(response.headers.get("request-id")).toBe(response.headers.get("x-request-id"));
    expect(response.headers.get("x-synaptic-route")).toBe("shard");
    const { id, ...message } = await messageOf(response);
    expect(id).toMatch(/^msg_[0-9a-f]{32}$/);
    expect(id).not.toContain(response.headers.get("x-request-id")?.replaceAll("-", ""));
    expect(message).toMatchObject({
      type: "message",
      role: "assistant",
      model: "m",
      content: [{ type: "text", text: RECITATION }],
      stop_reason: "end_turn",
    });
    expect(message.usage?.input_tokens).toBeGreaterThan(0);
    expect(stage.upstream.asked[0]?.path).toBe("/v1/chat/completions");
  });

  test("streamed: thoughts and tool calls of the real engine, each block closed before the next", async () => {
    const stage = setStage(answerRecorded("chat-tools-stream"));
    const response = await stage.fetch(MESSAGES, post(ask({ stream: true })));
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const { message, closed, error } = readMessage(eventsOf(await response.text()));
    expect(error).toBeNull();
    expect(closed).toContain("tool_use");
    expect(message).toMatchObject({ stop_reason: "tool_use" });
    expect(putTo(stage)).toMatchObject({ stream: true, stream_options: { include_usage: true } });
    expect(stage.runtime.records).toMatchObject([{ status: 200 }]);
  });

  test("a turn whose billing block has changed is the same to the engine, byte for byte", async () => {
    const stage = setStage(recite);
    for (const cch of ["fa690", "0b1c2"]) {
      const billing = {
        type: "text",
        text: `x-anthropic-billing-header: cc_version=2.1; cc_entrypoint=cli; cch=${cch};`,
      };
      await stage.fetch(MESSAGES, post(ask({ system: [billing, { type: "text", text: "You are a coder." }] })));
    }
    const [first, second] = stage.upstream.asked.map(({ body }) => new TextDecoder().decode(body));
    expect(first).toBe(second ?? "");
    expect(first).toContain("You are a coder.");
    expect(first).not.toContain("billing");
  });

  test("a prefill that llama-server repeats is not told twice", async () => {
    const stage = setStage(answerRecorded("chat-prefill"));
    const messages = [
      { role: "user", content: "hi" },
      { role: "assistant", content: "Let me look" },
    ];
    const { content } = await messageOf(await stage.fetch(MESSAGES, post(ask({ messages }))));
    expect(content).toEqual([{ type: "text", text: ' "both"' }]);
  });

  test("a count of tokens is what the engine counts of the translated prompt", async () => {
    const stage = setStage(answerRecorded("chat-count"));
    const response = await stage.fetch(`${MESSAGES}/count_tokens?beta=true`, post(ask({ max_tokens: undefined })));
    expect(await response.json()).toEqual({ input_tokens: 545 });
    expect(stage.upstream.asked[0]?.path).toBe("/v1/chat/completions/input_tokens");
    expect(putTo(stage)).toMatchObject({ messages: [{ role: "user", content: "hi" }] });
  });
});

describe("what goes wrong is said in Anthropic's form", () => {
  const OPEN = setStage.bind(null, recite);
  test.each<[string, () => Stage, string, number, string]>([
    ["an unknown model", OPEN, ask({ model: "n" }), 404, "not_found_error"],
    ["no JSON", OPEN, "{", 400, "invalid_request_error"],
    ["no max_tokens", OPEN, ask({ max_tokens: undefined }), 400, "invalid_request_error"],
    ["a remote image", OPEN, ask({ messages: [imageAt("http://10.0.0.1/x.png")] }), 400, "invalid_request_error"],
    ["no key", () => setStage(recite, { env: { SYNAPTIC_API_KEY: "k" } }), ask(), 401, "authentication_error"],
    ["a full server", () => setStage(recite, { own: { limits: { inFlight: 1 } } }), ask(), 429, "rate_limit_error"],
    ["a full context", () => setStage(refuse(400, "x", CONTEXT)), ask(), 400, "invalid_request_error"],
    ["an upstream that fails", () => setStage(refuse(500, "boom")), ask(), 502, "api_error"],
  ])("%s", async (_, set, body, status, type) => {
    const stage = set();
    if (status === 429) stage.runtime.inFlight.enter();
    const response = await stage.fetch(MESSAGES, post(body));
    expect(response.status).toBe(status);
    const answer = await messageOf(response);
    expect(Object.keys(answer).toSorted()).toEqual(["error", "request_id", "type"]);
    expect(answer).toMatchObject({ type: "error", error: { type, message: expect.any(String) } });
    expect(answer.request_id ?? "none").toBe(response.headers.get("request-id") ?? "");
    if (type === "authentication_error") expect(response.headers.get("www-authenticate")).toBe("Bearer");
  });

  test("a wrong method and an unknown path, too", async () => {
    const stage = setStage(recite);
    expect(await (await stage.fetch(MESSAGES)).json()).toMatchObject({ type: "error" });
    const unknown = await stage.fetch(`${MESSAGES}/batches`, post("{}"));
    expect(unknown.status).toBe(404);
    expect(await unknown.json()).toMatchObject({ error: { type: "not_found_error" } });
  });

  test("nobody to run it now: 529, which its SDK tries again", async () => {
    const stage = setStage(recite, { loaded: false });
    const pending = stage.fetch(MESSAGES, post(ask()));
    await waiting(stage);
    stage.runtime.refuse(new SynapticError("no_backends", "Cannot place m: no backend is up", { retryAfterMs: 7_000 }));
    const response = await pending;
    expect(response.status).toBe(529);
    expect(response.headers.get("retry-after")).toBe("7");
    expect(await response.json()).toMatchObject({ error: { type: "overloaded_error" } });
  });
});

describe("a stream that waits", () => {
  test("for its model: pings from the grace on, then the message", async () => {
    const clock = createFakeClock();
    const stage = setStage(recite, { clock, loaded: false });
    const pending = stage.fetch(MESSAGES, post(ask({ stream: true })));
    await waiting(stage);
    await clock.advance(10_000);
    const response = await pending;
    await clock.advance(15_000);
    stage.runtime.load();
    const text = await response.text();
    expect(text).toStartWith(PING.repeat(4));
    expect(readMessage(eventsOf(text)).message).toMatchObject({ content: [{ text: RECITATION }] });
  });

  test("in vain: the error is an event, and the last one", async () => {
    const clock = createFakeClock();
    const stage = setStage(recite, { clock, loaded: false });
    const pending = stage.fetch(MESSAGES, post(ask({ stream: true })));
    await waiting(stage);
    await clock.advance(10_000);
    const response = await pending;
    stage.runtime.refuse(new SynapticError("does_not_fit", "Cannot place m: needs 2 GiB, 1 GiB free"));
    const events = eventsOf(await response.text());
    expect(events.map(({ name }) => name)).toEqual(["ping", "error"]);
    expect(events[1]?.data).toMatchObject({ error: { type: "api_error" } });
  });

  test("in the middle, while llama-server sends signs of life of its own: pings, and never within an event", async () => {
    const clock = createFakeClock();
    const goesOn = Promise.withResolvers<void>();
    const stage = setStage(
      async (reply) => {
        await reply.head();
        await reply.chunk(chatChunk({ role: "assistant", content: "All" }));
        await goesOn.promise;
        await reply.chunk(`:\n\n${chatChunk({ content: " well" })}${chatChunk({}, "stop")}data: [DONE]\n\n`);
        await reply.end();
      },
      { clock },
    );
    const response = await stage.fetch(MESSAGES, post(ask({ stream: true })));
    await clock.armed(5_000);
    await clock.advance(20_000);
    goesOn.resolve();
    const events = eventsOf(await response.text());
    expect(events.filter(({ name }) => name === "ping").length).toBeGreaterThanOrEqual(3);
    expect(readMessage(events).message).toMatchObject({ content: [{ type: "text", text: "All well" }] });
    // Those that were left ticking would keep a stream's end from being one.
    expect(clock.pending()).toBe(0);
  });

  test("for an upstream that breaks off: the text so far, then the error", async () => {
    const stage = setStage(answerRecorded("chat-broken-stream"));
    const { message, error } = readMessage(
      eventsOf(await (await stage.fetch(MESSAGES, post(ask({ stream: true })))).text()),
    );
    expect(message.type).toBe("message");
    expect(error).toMatchObject({ type: "api_error" });
    expect(stage.runtime.records).toMatchObject([{ status: 502 }]);
  });
});

const CONTEXT = { type: "exceed_context_size_error", n_ctx: 8 };

function imageAt(url: string): object {
  return { role: "user", content: [{ type: "image", source: { type: "url", url } }] };
}
