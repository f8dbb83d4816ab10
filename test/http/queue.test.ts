/** While all slots are taken: streams wait with comments, whole answers for a while, keys take turns, and a full queue
 *  says so at once. */
import { afterEach, describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { createFakeClock, type FakeClock } from "../fakes/clock.ts";
import { recite } from "../fakes/llama-answers.ts";
import type { Reply, Script } from "../fakes/llama-server.ts";
import { connectRaw, rawPost } from "../fakes/raw-client.ts";
import { chat, post } from "../fakes/runtime.ts";
import { clearStages, errorOf, lastError, type Stage, type StageOptions, setStage } from "./stage.ts";

afterEach(clearStages);

const CHAT = "/v1/chat/completions";

interface QueueStage extends Stage {
  readonly clock: FakeClock;
  /** Lets the request that was asked as this one be answered. */
  answer(index: number): void;
  /** Resolves when so many wait. */
  waiting(count: number): Promise<void>;
  /** Takes the only slot. */
  occupy(): Promise<{ readonly answered: Promise<Response> }>;
}

/** A coordinator with one slot, whose answers come when the test says so. */
function setQueue(options: StageOptions = {}): QueueStage {
  const clock = createFakeClock();
  const gates: PromiseWithResolvers<void>[] = [];
  const gate = (index: number) => {
    gates[index] ??= Promise.withResolvers();
    return gates[index];
  };
  const script: Script = async (reply: Reply) => {
    await gate(stage.upstream.asked.indexOf(reply.asked)).promise;
    await recite(reply);
  };
  const stage = setStage(script, { clock, slots: 1, ...options });
  return {
    ...stage,
    clock,
    answer: (index) => gate(index).resolve(),
    async waiting(count) {
      while (stage.runtime.waiting() !== count) await new Promise(setImmediate);
    },
    async occupy() {
      const before = stage.upstream.asked.length;
      const answered = stage.fetch(CHAT, post(chat()));
      await stage.upstream.request(before);
      return { answered };
    },
  };
}

describe("a stream that waits for a slot", () => {
  test("within the grace begins with the model's own first byte", async () => {
    const stage = setQueue();
    await stage.occupy();
    const pending = stage.fetch(CHAT, post(chat({ stream: true })));
    await stage.waiting(1);
    stage.answer(0);
    stage.answer(1);
    expect(await (await pending).text()).toStartWith("data: ");
  });

  test("for longer gets 200 and comments with its position, and an estimate once that is known", async () => {
    const stage = setQueue();
    await stage.occupy();
    const others = [chat(), chat()].map((body) => stage.fetch(CHAT, post(body)));
    await stage.waiting(2);
    const pending = stage.fetch(CHAT, post(chat({ stream: true })));
    await stage.waiting(3);
    await stage.clock.advance(10_000);
    const response = await pending;
    expect(response.status).toBe(200);
    await stage.clock.advance(5_000);
    stage.answer(0);
    await stage.upstream.request(1);
    await stage.clock.advance(5_000);
    stage.answer(1);
    await stage.upstream.request(2);
    await stage.clock.advance(5_000);
    stage.answer(2);
    stage.answer(3);
    const text = await response.text();
    const [comments = "", stream = ""] = text.split(/(?=data: )([\s\S]*)/);
    expect(comments.trimEnd().split("\n\n")).toEqual([
      ": queued 3",
      ": queued 3",
      ": queued 2, ~30s",
      ": queued 1, ~13s",
    ]);
    expect(stream).toEndWith("data: [DONE]\n\n");
    await Promise.all(others);
    // Its record tells the wait; the first byte is counted from the request on.
    expect(stage.runtime.records.at(-1)).toMatchObject({ status: 200, waitedMs: 25_000, rejected: null });
  });

  test("is not taken for a silent one, and its own silence begins with its slot", async () => {
    const stage = setQueue({ config: { silenceMs: 20_000 } });
    stage.runtime.slots = "";
    let beat = 0;
    await stage.occupy();
    const pending = stage.fetch(CHAT, post(chat({ stream: true })));
    await stage.waiting(1);
    for (; beat < 30; beat++) {
      // The slot works, so its holder is not silent either.
      stage.runtime.slots = `[{"id":0,"id_task":${beat}}]`;
      await stage.clock.advance(10_000);
    }
    stage.answer(0);
    await stage.upstream.request(1);
    await stage.clock.advance(19_999);
    stage.answer(1);
    expect(await (await pending).text()).toEndWith("data: [DONE]\n\n");
    expect(stage.runtime.suspected).toBe(0);
  });

  test("for too long ends with an error frame", async () => {
    const stage = setQueue({ own: { queue: { longestWaitMs: 30_000 } } });
    await stage.occupy();
    const pending = stage.fetch(CHAT, post(chat({ stream: true })));
    await stage.waiting(1);
    await stage.clock.advance(30_000);
    const text = await (await pending).text();
    expect(text).toStartWith(": queued 1\n\n");
    expect(lastError(text)).toMatchObject({ type: "rate_limit_error", code: "rate_limit_exceeded" });
    expect(stage.runtime.records).toMatchObject([{ status: 429, waitedMs: null, rejected: "waited" }]);
    expect(stage.runtime.log.lines()).toEqual([]);
    stage.answer(0);
  });

  test("for too long, but not for longer than the grace, gets a 429 of its own", async () => {
    const stage = setQueue({ own: { queue: { longestWaitMs: 5_000 } } });
    await stage.occupy();
    const pending = stage.fetch(CHAT, post(chat({ stream: true })));
    await stage.waiting(1);
    await stage.clock.advance(5_000);
    expect((await pending).status).toBe(429);
    stage.answer(0);
  });
});

describe("a whole answer that waits for a slot", () => {
  test("is held for so long, then 429 with Retry-After and its place", async () => {
    const stage = setQueue({ config: { holdMs: 50_000 } });
    await stage.occupy();
    const pending = stage.fetch(CHAT, post(chat()));
    await stage.waiting(1);
    await stage.clock.advance(49_999);
    expect(stage.runtime.waiting()).toBe(1);
    await stage.clock.advance(1);
    const response = await pending;
    expect(response.status).toBe(429);
    expect(Number(response.headers.get("retry-after"))).toBeWithin(1, 60);
    expect(response.headers.get("x-synaptic-route")).toBe("shard");
    expect(response.headers.get("x-synaptic-reason")).toStartWith("sharded over ");
    const error = await errorOf(response);
    expect(error).toMatchObject({ type: "rate_limit_error", code: "rate_limit_exceeded", param: null });
    expect(error.message).toStartWith(
      "The model 'm' is busy: this request has number 1 in its queue (try again later;",
    );
    expect(stage.runtime.waiting()).toBe(0);
    stage.answer(0);
  });

  test("says when, once that is known", async () => {
    const stage = setQueue({ config: { holdMs: 50_000 } });
    const { answered } = await stage.occupy();
    await stage.clock.advance(20_000);
    stage.answer(0);
    await answered;
    await stage.occupy();
    const pending = stage.fetch(CHAT, post(chat()));
    await stage.waiting(1);
    await stage.clock.advance(50_000);
    expect((await pending).headers.get("retry-after")).toBe("50");
    stage.answer(1);
  });

  test("in time is answered", async () => {
    const stage = setQueue();
    await stage.occupy();
    const pending = stage.fetch(CHAT, post(chat()));
    await stage.waiting(1);
    await stage.clock.advance(49_000);
    stage.answer(0);
    stage.answer(1);
    expect((await pending).status).toBe(200);
  });
});

describe("a queue that is full", () => {
  test("refuses at once, streams too, in OpenAI's form", async () => {
    const stage = setQueue({ own: { queue: { perModel: 1 } } });
    await stage.occupy();
    const queued = stage.fetch(CHAT, post(chat()));
    await stage.waiting(1);
    for (const body of [chat(), chat({ stream: true })]) {
      const response = await stage.fetch(CHAT, post(body));
      expect(response.status).toBe(429);
      expect(response.headers.get("retry-after")).toBe("5");
      expect(response.headers.get("x-should-retry")).toBeNull();
      const error = await errorOf(response);
      expect(error).toMatchObject({ type: "rate_limit_error", code: "rate_limit_exceeded", param: null });
      expect(error.message).toStartWith("Cannot take the request: the queue for the model 'm' is full (1 of 1)");
    }
    expect(stage.runtime.records).toMatchObject([{ rejected: "queue_full" }, { rejected: "queue_full" }]);
    stage.answer(0);
    stage.answer(1);
    expect((await queued).status).toBe(200);
  });

  test("has a place again as soon as a client leaves it", async () => {
    const stage = setQueue({ own: { queue: { perModel: 1 } } });
    await stage.occupy();
    const client = await connectRaw(stage.port);
    client.send(rawPost(CHAT, chat({ stream: true })));
    await stage.waiting(1);
    client.leave();
    await stage.waiting(0);
    const next = stage.fetch(CHAT, post(chat()));
    await stage.waiting(1);
    stage.answer(0);
    stage.answer(1);
    expect((await next).status).toBe(200);
    // The one that left was never asked of the coordinator.
    expect(stage.upstream.asked).toHaveLength(2);
    expect(stage.runtime.records.map(({ status }) => status).toSorted()).toEqual([200, 200, 499]);
  });
});

test("a client that leaves while comments tell its place frees it too, and no timer goes on", async () => {
  const stage = setQueue();
  await stage.occupy();
  const pending = stage.clock.pending();
  const client = await connectRaw(stage.port);
  client.send(rawPost(CHAT, chat({ stream: true })));
  await stage.waiting(1);
  await stage.clock.advance(10_000);
  await client.until(": queued 1");
  client.leave();
  await stage.waiting(0);
  while (stage.runtime.records.length === 0) await new Promise(setImmediate);
  expect(stage.clock.pending()).toBe(pending);
  stage.answer(0);
});

describe("keys", () => {
  const keyOf = async (name: string) => {
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(name));
    return { name, scopes: ["use"], hash: `sha256:${new Uint8Array(digest).toHex()}` };
  };
  const ask = (stage: Stage, key: string, user = key) =>
    stage.fetch(CHAT, post(chat({ user }), { authorization: `Bearer ${key}` }));
  const users = ({ upstream }: Stage) =>
    upstream.asked.map(({ body }) => /"user":"(\w+)"/.exec(new TextDecoder().decode(body))?.[1]);

  test("take turns, however many requests one of them has there", async () => {
    const stage = setQueue({ own: { keys: [await keyOf("a"), await keyOf("b")] }, env: { SYNAPTIC_API_KEY: "own" } });
    const all = [ask(stage, "a", "a0")];
    await stage.upstream.request(0);
    for (const [key, user] of [
      ["a", "a1"],
      ["a", "a2"],
      ["a", "a3"],
      ["b", "b1"],
      ["own", "own1"],
    ] as const) {
      all.push(ask(stage, key, user));
      await stage.waiting(all.length - 1);
    }
    for (const index of all.keys()) stage.answer(index);
    for (const response of await Promise.all(all)) expect(response.status).toBe(200);
    expect(users(stage)).toEqual(["a0", "a1", "b1", "own1", "a2", "a3"]);
  });

  test("have places of their own: one that has used up its own leaves the others theirs", async () => {
    const own = { keys: [await keyOf("a"), await keyOf("b")], queue: { perModel: 4 } };
    const stage = setQueue({ own });
    const all = [ask(stage, "a")];
    await stage.upstream.request(0);
    for (const waiting of [1, 2]) {
      all.push(ask(stage, "a"));
      await stage.waiting(waiting);
    }
    const refused = await ask(stage, "a");
    expect(refused.status).toBe(429);
    expect((await errorOf(refused)).message).toContain("this key's part of the queue");
    all.push(ask(stage, "b"));
    await stage.waiting(3);
    for (const index of all.keys()) stage.answer(index);
    for (const response of await Promise.all(all)) expect(response.status).toBe(200);
  });
});

test("a request whose coordinator died before its first byte has the next turn", async () => {
  const order: (string | undefined)[] = [];
  const died = Promise.withResolvers<void>();
  const stage = setStage(
    async (reply) => {
      order.push(/"user":"(\w+)"/.exec(new TextDecoder().decode(reply.asked.body))?.[1]);
      if (order.length === 1) return died.promise.then(() => reply.cut("rst"));
      return recite(reply);
    },
    { slots: 1 },
  );
  const first = stage.fetch(CHAT, post(chat({ user: "first" })));
  await stage.upstream.request(0);
  const others = ["second", "third"].map((user) => stage.fetch(CHAT, post(chat({ user }))));
  while (stage.runtime.waiting() < 2) await new Promise(setImmediate);
  stage.runtime.hold();
  stage.runtime.die(new SynapticError("coordinator_failed", "Lost the coordinator of m"));
  died.resolve();
  while (stage.runtime.waiting() < 3) await new Promise(setImmediate);
  stage.runtime.load();
  expect((await Promise.all([first, ...others])).map(({ status }) => status)).toEqual([200, 200, 200]);
  expect(order.slice(0, 2)).toEqual(["first", "first"]);
});

test("a load asked for by the owner waits for no slot", async () => {
  const stage = setQueue({ own: { queue: { perModel: 1 } } });
  await stage.occupy();
  const queued = stage.fetch(CHAT, post(chat()));
  await stage.waiting(1);
  const response = await stage.request("/synaptic/models/load", post('{"model":"m"}'));
  expect(await response.json()).toEqual({ model: "m", state: "ready" });
  stage.answer(0);
  stage.answer(1);
  expect((await queued).status).toBe(200);
});
