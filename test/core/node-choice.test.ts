/** Which node gets a request, when one that fails is left alone, what a conversation is, what fits where. */
import { describe, expect, test } from "bun:test";
import { afterFailure, CLOSED_CIRCUIT, circuitState } from "../../src/core/circuit.ts";
import { conversationKey } from "../../src/core/conversation.ts";
import { type NodeCandidate, rankNodes } from "../../src/core/node-choice.ts";
import { fitOnNode, memoryOfNode } from "../../src/core/node-fit.ts";
import { GIB } from "../../src/core/units.ts";

const IDLE: NodeCandidate = {
  ...{ url: "a", priority: 0, weight: 1, isLoaded: true, inFlight: 0 },
  ...{ firstTokenMs: null, holdsPrefix: false, circuit: "closed" },
};
const order = (...nodes: readonly Partial<NodeCandidate>[]) =>
  rankNodes(nodes.map((own) => ({ ...IDLE, ...own }))).map(({ url }) => url);

describe("rankNodes()", () => {
  test("prefers the owner's priority, then loaded to cold, then the idler, then the faster", () => {
    expect(
      order({ url: "a", inFlight: 1 }, { url: "b", isLoaded: false }, { url: "c", priority: 1, inFlight: 9 }),
    ).toEqual(["c", "a", "b"]);
    expect(order({ url: "a", inFlight: 2 }, { url: "b", inFlight: 1 })).toEqual(["b", "a"]);
    expect(order({ url: "a", firstTokenMs: 90 }, { url: "b", firstTokenMs: 40 })).toEqual(["b", "a"]);
  });

  test("counts requests in relation to the weight", () => {
    expect(order({ url: "a", inFlight: 2, weight: 4 }, { url: "b", inFlight: 1 })).toEqual(["a", "b"]);
  });

  test("keeps a conversation where its start is cached, unless that node is much busier", () => {
    expect(order({ url: "a" }, { url: "b", holdsPrefix: true, inFlight: 1 })).toEqual(["b", "a"]);
    expect(order({ url: "a" }, { url: "b", holdsPrefix: true, inFlight: 2 })).toEqual(["a", "b"]);
    expect(order({ url: "a" }, { url: "b", holdsPrefix: true, isLoaded: false })).toEqual(["b", "a"]);
  });

  test("leaves out who failed lately, and tries it again last and with one request only", () => {
    expect(order({ url: "a", circuit: "open" }, { url: "b", inFlight: 5 })).toEqual(["b"]);
    expect(order({ url: "a", circuit: "half-open", priority: 9 }, { url: "b", inFlight: 5 })).toEqual(["b", "a"]);
    expect(order({ url: "a", circuit: "half-open", inFlight: 1 })).toEqual([]);
  });

  test("says why", () => {
    expect(rankNodes([IDLE])[0]?.why).toBe("the one node with it, loaded");
    expect(
      rankNodes([
        { ...IDLE, inFlight: 2 },
        { ...IDLE, url: "b", inFlight: 3, isLoaded: false },
      ]),
    ).toEqual([
      { url: "a", why: "loaded, 2 in flight" },
      { url: "b", why: "has it, 3 in flight" },
    ]);
  });
});

test("a circuit opens at the second failure in a row, for twice as long each time, and closes with a success", () => {
  const once = afterFailure(CLOSED_CIRCUIT, 1_000);
  expect(circuitState(once, 1_000)).toBe("closed");
  const twice = afterFailure(once, 1_000);
  expect([circuitState(twice, 2_999), circuitState(twice, 3_000)]).toEqual(["open", "half-open"]);
  const thrice = afterFailure(twice, 3_000);
  expect([circuitState(thrice, 6_999), circuitState(thrice, 7_000)]).toEqual(["open", "half-open"]);
  let many = thrice;
  for (let count = 0; count < 50; count++) many = afterFailure(many, 0);
  expect(many.openUntilMs).toBe(60_000);
  expect(circuitState(CLOSED_CIRCUIT, 0)).toBe("closed");
});

test("conversationKey() stays the same while a conversation goes on, and differs between models and beginnings", () => {
  const system = { role: "system", content: "Be brief" };
  const hi = { role: "user", content: [{ type: "text", text: "Hi" }] };
  const key = conversationKey("m", { messages: [system, hi] });
  expect(key).toMatch(/^[0-9a-f]{16}$/);
  const later = [system, hi, { role: "assistant", content: "Hello" }, { role: "user", content: "More" }];
  expect(conversationKey("m", { messages: later })).toBe(key);
  expect(conversationKey("other", { messages: later })).not.toBe(key);
  expect(conversationKey("m", { messages: [hi] })).not.toBe(key);
  for (const none of [null, 7, {}, { messages: {} }, { messages: [null, "x", system] }, { prompt: "Hi" }]) {
    expect(conversationKey("m", none)).toBeNull();
  }
});

describe("fitOnNode()", () => {
  const card = { fastBytes: 16 * GIB, ramBytes: 64 * GIB };
  const sized = (gib: number) => ({ name: "m:latest", bytes: gib * GIB });
  const empty = { loaded: [] };

  test("goes by the size on the node's disk, with room for the cache beside it", () => {
    expect(fitOnNode(empty, sized(13), card)).toEqual({ fit: "fast", why: "has room: 14.9 GiB needed of 16.0 GiB" });
    expect(fitOnNode(empty, sized(15), card)).toMatchObject({ fit: "slow" });
    expect(fitOnNode(empty, sized(60), card)).toMatchObject({
      fit: "no",
      why: "is too small: 69.0 GiB needed, 64.0 GiB there",
    });
    expect(fitOnNode(empty, sized(1), { fastBytes: null, ramBytes: null }).fit).toBe("unknown");
    expect(fitOnNode(empty, { name: "m:latest", bytes: null }, card).fit).toBe("unknown");
  });

  test("goes by what lies where once the model is loaded, whatever its size had promised", () => {
    const loaded = (vramGib: number) => ({
      loaded: [
        {
          ...{ name: "m:latest", digest: null, bytes: 10 * GIB, vramBytes: vramGib * GIB },
          ...{ expiresAt: null, contextSize: null, quietSince: "2026-11-24T18:00:00Z" },
        },
      ],
    });
    expect(fitOnNode(loaded(9.5), sized(9), card)).toEqual({ fit: "fast", why: "has it loaded" });
    expect(fitOnNode(loaded(4), sized(9), card)).toEqual({
      fit: "slow",
      why: "has it loaded, 6.0 GiB of 10.0 GiB in RAM",
    });
  });

  test("memoryOfNode() takes the owner's word before what rpc-servers on that machine report, one card never twice", () => {
    const backend = (kind: "cpu" | "accelerator", gib: number, machine = "10.0.0.1") => ({
      ...{ endpoint: `${machine}:1` as const, machine, state: "up" as const, since: "", reason: "", protocol: null },
      ...{ rttMs: null, lease: null },
      devices: [{ index: 0, kind, freeBytes: 0, totalBytes: gib * GIB }],
    });
    const node = { machine: "10.0.0.1" };
    const backends = [
      backend("accelerator", 16),
      backend("accelerator", 16),
      backend("cpu", 64),
      backend("cpu", 99, "x"),
    ];
    expect(memoryOfNode(node, backends, undefined)).toEqual({ fastBytes: 16 * GIB, ramBytes: 64 * GIB });
    expect(memoryOfNode(node, backends, 32 * GIB).fastBytes).toBe(32 * GIB);
    expect(memoryOfNode(node, [], undefined)).toEqual({ fastBytes: null, ramBytes: null });
  });
});
