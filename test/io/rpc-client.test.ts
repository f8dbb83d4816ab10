/** probeBackend() against servers that behave and servers that do not. The real rpc-server: rpc-client-real.test.ts. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { ProbeResult } from "../../src/core/health.ts";
import type { Endpoint } from "../../src/core/units.ts";
import { openSentinel, probeBackend } from "../../src/io/rpc-client.ts";
import { type Behaviour, CPU_8_GIB, FakeRpcServer, frame, GPU_24_GIB } from "../fakes/rpc-server.ts";

const GIB = 1024 ** 3;
/** Only a stalled server costs this much. */
const TIMEOUT_MS = 150;

let server: FakeRpcServer;
beforeEach(() => {
  server = new FakeRpcServer();
});
afterEach(async () => {
  // Whatever happened: no connection of ours is left behind.
  await server.empty();
  server.stop();
});

function probe(endpoint: Endpoint = server.endpoint): Promise<ProbeResult> {
  return probeBackend(endpoint, { timeoutMs: TIMEOUT_MS, signal: new AbortController().signal });
}

async function probeOf(behaviour: Behaviour): Promise<ProbeResult> {
  server.behaviour = behaviour;
  return probe();
}

describe("a server that behaves", () => {
  test("is up with version, devices, kinds and a round-trip time, and is asked HELLO, count, memory only", async () => {
    const result = await probeOf({ tag: "normal", version: [8, 1, 2], devices: [CPU_8_GIB, GPU_24_GIB] });
    expect(result).toEqual({
      tag: "up",
      protocol: { major: 8, minor: 1, patch: 2 },
      devices: [
        { index: 0, kind: "cpu", freeBytes: 8 * GIB, totalBytes: 8 * GIB },
        { index: 1, kind: "accelerator", freeBytes: 20 * GIB, totalBytes: 24 * GIB },
      ],
      rttMs: expect.any(Number),
      address: server.endpoint,
    });
    expect(server.commands).toEqual([14, 15, 11, 11]);
    expect(server.connections).toBe(1);
  });

  test("may send its replies byte by byte", async () => {
    expect(await probeOf({ tag: "normal", byteDelayMs: 0 })).toMatchObject({ tag: "up" });
  });

  test("is asked again with the empty HELLO when it hangs up on the long one", async () => {
    const result = await probeOf({ tag: "normal", legacy: true, version: [3, 6, 0], devices: [CPU_8_GIB, GPU_24_GIB] });
    expect(result).toMatchObject({ tag: "up", protocol: { major: 3, minor: 6 }, devices: [{}, { index: 1 }] });
    expect(server.connections).toBe(2);
  });

  test("has one device, asked for without an argument, before RPC 3", async () => {
    const result = await probeOf({ tag: "normal", legacy: true, version: [2, 0, 0] });
    expect(result).toMatchObject({ tag: "up", protocol: { major: 2 }, devices: [{ index: 0 }] });
    expect(server.commands).toEqual([14, 14, 11]);
  });

  test("is up whatever its version: compatibility is judged elsewhere", async () => {
    expect(await probeOf({ tag: "normal", version: [9, 9, 9] })).toMatchObject({ tag: "up", protocol: { major: 9 } });
  });

  test("is left by RST, so that no TIME-WAIT blocks a port", async () => {
    await probe();
    await server.empty();
    expect(server.closes).toEqual(["rst"]);
  });
});

describe("a server that does not", () => {
  test("is silent when HELLO stays unanswered, and is left by RST", async () => {
    expect(await probeOf({ tag: "stall" })).toEqual({ tag: "silent" });
    await server.empty();
    expect(server.closes).toEqual(["rst"]);
  });

  test("is alien when it speaks HTTP, ours or another one's", async () => {
    expect(await probeOf({ tag: "http" })).toEqual({ tag: "alien", detail: "looks like HTTP" });
    using web = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("hello") });
    expect(await probe(`127.0.0.1:${web.port ?? 0}`)).toEqual({ tag: "alien", detail: "looks like HTTP" });
  });

  test.each([
    ["a length of 2^64-1", new Uint8Array(8).fill(255), "begins with ff ff"],
    ["a HELLO reply of two bytes", frame(Uint8Array.of(8, 0)), "2 bytes instead of 3"],
    ["an empty HELLO reply", frame(new Uint8Array()), "0 bytes instead of 3"],
    ["a byte too many", new Uint8Array([...frame(Uint8Array.of(8, 0, 0)), 7]), "nobody asked for"],
    ["a megabyte", new Uint8Array(1024 ** 2).fill(65), "begins with 41 41"],
  ])("is alien when it sends %s", async (_, bytes, detail) => {
    expect(await probeOf({ tag: "raw", bytes })).toEqual({ tag: "alien", detail: expect.stringContaining(detail) });
  });

  test("is broken when it closes in the middle of a reply", async () => {
    const result = await probeOf({ tag: "raw", bytes: Uint8Array.of(28, 0, 0), thenClose: true });
    expect(result).toEqual({ tag: "broken", detail: "closed the connection" });
  });

  test("is broken, not alien, when it hangs up on both forms of HELLO", async () => {
    expect(await probeOf({ tag: "quits", replies: 0, how: "fin" })).toEqual({
      tag: "broken",
      detail: "closed the connection on HELLO",
    });
    expect(await probeOf({ tag: "quits", replies: 0, how: "rst" })).toEqual({
      tag: "broken",
      detail: "ECONNRESET on HELLO",
    });
    expect(server.connections).toBe(4);
  });

  test.each([
    ["fin", "closed the connection"],
    ["rst", "ECONNRESET"],
    ["silence", "answers HELLO, then falls silent"],
  ] as const)("is broken when it dies after HELLO by %s", async (how, detail) => {
    for (const replies of [1, 2]) {
      expect(await probeOf({ tag: "quits", replies, how })).toEqual({ tag: "broken", detail });
    }
  });
});

describe("no server at all", () => {
  test("is refused on a closed port", async () => {
    const gone = new FakeRpcServer();
    gone.stop();
    expect(await probe(gone.endpoint)).toEqual({ tag: "refused" });
  });

  test("is unresolved when its name does not resolve", async () => {
    expect(await probe("nosuch.invalid:50052")).toMatchObject({ tag: "unresolved" });
  });
});

describe("probeBackend()", () => {
  test("resolves names to IPv4, as llama.cpp does", async () => {
    expect(await probe(`localhost:${server.port}`)).toMatchObject({ tag: "up", address: server.endpoint });
  });

  test("does not connect when the address belongs to another endpoint", async () => {
    const claimed: Endpoint[] = [];
    const result = await probeBackend(`localhost:${server.port}`, {
      timeoutMs: TIMEOUT_MS,
      signal: new AbortController().signal,
      claim: (address) => {
        claimed.push(address);
        return server.endpoint;
      },
    });
    expect(result).toEqual({ tag: "duplicate", of: server.endpoint });
    expect(claimed).toEqual([server.endpoint]);
    expect(server.connections).toBe(0);
  });

  test("is cancelled by its signal, before and during, and leaves by RST", async () => {
    expect(await probeBackend(server.endpoint, { timeoutMs: 10_000, signal: AbortSignal.abort() })).toEqual({
      tag: "cancelled",
    });
    server.behaviour = { tag: "stall" };
    const controller = new AbortController();
    const running = probeBackend(server.endpoint, { timeoutMs: 10_000, signal: controller.signal });
    await server.until(() => server.received > 0);
    controller.abort();
    expect(await running).toEqual({ tag: "cancelled" });
    await server.empty();
    expect(server.closes).toEqual(["rst"]);
  });
});

describe("openSentinel()", () => {
  const options = { timeoutMs: TIMEOUT_MS, signal: new AbortController().signal };

  test("never says a word, and closes by RST without reporting a loss", async () => {
    const losses: string[] = [];
    const sentinel = await openSentinel(server.endpoint, { ...options, onLost: (reason) => losses.push(reason) });
    await server.until(() => server.open === 1);
    sentinel.close();
    sentinel.close();
    await server.empty();
    expect(server.received).toBe(0);
    expect(server.closes).toEqual(["rst"]);
    expect(losses).toEqual([]);
  });

  test.each(["rst", "fin"] as const)("reports the end of its connection once: %s", async (how) => {
    const losses: string[] = [];
    const lost = Promise.withResolvers<void>();
    await openSentinel(server.endpoint, {
      ...options,
      onLost: (reason) => {
        losses.push(reason);
        lost.resolve();
      },
    });
    await server.until(() => server.open === 1);
    server.hangUp(how);
    await lost.promise;
    await server.empty();
    expect(losses).toEqual([how === "rst" ? expect.stringContaining("ECONNRESET") : "it closed the connection"]);
  });

  test("throws upstream_error when refused, and when given up", async () => {
    const gone = new FakeRpcServer();
    gone.stop();
    const refused = openSentinel(gone.endpoint, { ...options, onLost: () => {} });
    await expect(refused).rejects.toMatchObject({
      code: "upstream_error",
      message: expect.stringContaining("refused"),
    });
    const given = openSentinel(server.endpoint, { ...options, signal: AbortSignal.abort(), onLost: () => {} });
    await expect(given).rejects.toMatchObject({ code: "client_gone" });
  });
});
