/** What was measured on the real rpc-server holds: exclusivity, RST against FIN, the queue of two, the sentinel. */
import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import type { ProbeResult } from "../../src/core/health.ts";
import { openSentinel, probeBackend } from "../../src/io/rpc-client.ts";
import { type RealRpcServer, startRpcServer } from "../fakes/real-rpc-server.ts";
import { holdRpcServer, openRawClient } from "../fakes/rpc-holder.ts";

const signal = new AbortController().signal;
/** For a probe that is expected to time out; one that is expected to be answered gets longer. */
const SHORT_MS = 150;
const LONG_MS = 5_000;

const servers: RealRpcServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

async function start(): Promise<RealRpcServer> {
  const server = await startRpcServer();
  servers.push(server);
  return server;
}

function probe(server: RealRpcServer, timeoutMs = LONG_MS): Promise<ProbeResult> {
  return probeBackend(server.endpoint, { timeoutMs, signal });
}

describe("probeBackend() against the real rpc-server", () => {
  test("reads its version, its CPU and its memory, again and again", async () => {
    const server = await start();
    for (let round = 0; round < 20; round++) {
      const result = await probe(server);
      if (result.tag !== "up") throw new Error(`round ${round}: ${JSON.stringify(result)}`);
      expect(result.protocol.major).toBeGreaterThanOrEqual(6);
      expect(result.address).toBe(server.endpoint);
      expect(result.devices[0]?.totalBytes).toBeGreaterThan(0);
      expect(result.rttMs).toBeGreaterThan(0);
    }
  });

  test("finds it silent while another client holds it, and up once that one has left", async () => {
    const server = await start();
    const holder = await holdRpcServer(server.endpoint);
    expect(await probe(server, SHORT_MS)).toEqual({ tag: "silent" });
    holder.leave();
    expect(await probe(server)).toMatchObject({ tag: "up" });
  });

  test("finds it silent while it is stopped, refused once it was killed", async () => {
    const server = await start();
    server.kill("SIGSTOP");
    expect(await probe(server, SHORT_MS)).toEqual({ tag: "silent" });
    server.kill("SIGCONT");
    expect(await probe(server)).toMatchObject({ tag: "up" });
    await server.stop();
    expect(await probe(server)).toEqual({ tag: "refused" });
  });

  test("leaves no socket when the queue of two is full and the connect times out", async () => {
    const server = await start();
    const holder = await holdRpcServer(server.endpoint);
    expect(await probe(server, SHORT_MS)).toEqual({ tag: "silent" });
    expect(await probe(server, SHORT_MS)).toEqual({ tag: "silent" });
    const before = openFiles();
    for (let round = 0; round < 3; round++) {
      expect(await probe(server, SHORT_MS)).toEqual({ tag: "connect-timeout", timeoutMs: SHORT_MS });
    }
    expect(openFiles()).toBeLessThanOrEqual(before);
    holder.leave();
    expect(await probe(server)).toMatchObject({ tag: "up" });
  });
});

describe("a HELLO that was never answered (facts b4: SIGPIPE)", () => {
  test("leaves the rpc-server alive when the probe gives up, since that closes by RST", async () => {
    const server = await start();
    const holder = await holdRpcServer(server.endpoint);
    expect(await probe(server, SHORT_MS)).toEqual({ tag: "silent" });
    holder.leave();
    // The queue is served in order: an answer to us means that it survived what was before us.
    expect(await probe(server)).toMatchObject({ tag: "up" });
    expect(await probe(server)).toMatchObject({ tag: "up" });
  });

  test("leaves it alive after Bun's socket.terminate(), too", async () => {
    const server = await start();
    const holder = await holdRpcServer(server.endpoint);
    const second = await openRawClient(server.endpoint);
    second.socket.terminate();
    holder.leave();
    expect(await probe(server)).toMatchObject({ tag: "up" });
  });

  test("kills it with exit 141 when closed by FIN: if this fails, upstream has mended it", async () => {
    const server = await start();
    const holder = await holdRpcServer(server.endpoint);
    const second = await openRawClient(server.endpoint);
    second.socket.end();
    holder.leave();
    expect(await server.exited).toBe(141);
  });
});

describe("openSentinel() on a held rpc-server", () => {
  test("reports its death by SIGKILL", async () => {
    const server = await start();
    await holdRpcServer(server.endpoint);
    const lost = Promise.withResolvers<string>();
    await openSentinel(server.endpoint, { timeoutMs: LONG_MS, signal, onLost: lost.resolve });
    server.kill("SIGKILL");
    expect(await lost.promise).toContain("ECONNRESET");
  });

  test("stays quiet when the holder leaves, and frees the server when closed", async () => {
    const server = await start();
    const holder = await holdRpcServer(server.endpoint);
    const losses: string[] = [];
    const options = { timeoutMs: LONG_MS, signal, onLost: (reason: string) => void losses.push(reason) };
    const sentinel = await openSentinel(server.endpoint, options);
    holder.leave();
    // It is the sentinel's turn now, so that nobody else is served.
    expect(await probe(server, SHORT_MS)).toEqual({ tag: "silent" });
    sentinel.close();
    expect(await probe(server)).toMatchObject({ tag: "up" });
    expect(losses).toEqual([]);
  });

  test("gives up with upstream_timeout when the queue is full, and leaves nothing behind", async () => {
    const server = await start();
    const holder = await holdRpcServer(server.endpoint);
    await probe(server, SHORT_MS);
    await probe(server, SHORT_MS);
    const before = openFiles();
    const opening = openSentinel(server.endpoint, { timeoutMs: SHORT_MS, signal, onLost: () => {} });
    await expect(opening).rejects.toMatchObject({ code: "upstream_timeout" });
    expect(openFiles()).toBeLessThanOrEqual(before);
    holder.leave();
  });
});

/** Open file descriptors of this process; /dev/fd exists on Linux and macOS. */
function openFiles(): number {
  return readdirSync("/dev/fd").length;
}
