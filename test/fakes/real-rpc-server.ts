/** Starts the real rpc-server for tests, on a port below the ephemeral range. */

import { type Endpoint, formatEndpoint } from "../../src/core/units.ts";
import { findRpcServer } from "../../src/io/llama-files.ts";
import { probeBackend } from "../../src/io/rpc-client.ts";

export interface RealRpcServer {
  readonly endpoint: Endpoint;
  readonly port: number;
  readonly pid: number;
  readonly kill: (signal: NodeJS.Signals) => void;
  /** The shell's exit code: 128 + n after signal n, so 141 for SIGPIPE. */
  readonly exited: Promise<number>;
  /** What it printed so far. */
  readonly output: () => string;
  /** Kills it (KILL also ends a stopped one) and waits for its end. */
  readonly stop: () => Promise<void>;
}

export interface RealRpcOptions {
  readonly port?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** 20000..31999: outgoing connections in TIME-WAIT can block a port of the ephemeral range, 32768 and up (facts/llamacpp.md b5). */
const FIRST_PORT = 20_000;
const PORTS = 12_000;
const START_TIMEOUT_MS = 15_000;
const OUTPUT_LIMIT = 64 * 1024;

/** A loopback port that nobody listens on right now. */
export function freePort(): number {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
    try {
      Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true);
      return port;
    } catch {
      // Taken: another one.
    }
  }
}

/** Spawns rpc-server and waits until it answers a probe; a port that was taken in between is exchanged for another. */
export async function startRpcServer(options: RealRpcOptions = {}): Promise<RealRpcServer> {
  const { path } = findRpcServer({ env: process.env });
  const deadline = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    const server = spawnOn(path, options.port ?? freePort(), options.env ?? {});
    const started = await Promise.race([answers(server, deadline), server.exited.then(() => "exited" as const)]);
    if (started === true) return server;
    await server.stop();
    const retry = started === "exited" && options.port === undefined && /create server socket/.test(server.output());
    if (!retry) throw new Error(`rpc-server did not start (${started}): ${server.output()}`);
  }
}

async function answers(server: RealRpcServer, deadline: number): Promise<boolean> {
  const signal = AbortSignal.timeout(START_TIMEOUT_MS);
  while (performance.now() < deadline) {
    const result = await probeBackend(server.endpoint, { timeoutMs: 5_000, signal });
    if (result.tag === "up") return true;
    // It prints nothing once it listens, so the port is asked.
    await Bun.sleep(10);
  }
  return false;
}

function spawnOn(path: string, port: number, env: Readonly<Record<string, string>>): RealRpcServer {
  const child = Bun.spawn([path, "-H", "127.0.0.1", "-p", String(port)], {
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let output = "";
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) output = (output + decoder.decode(chunk, { stream: true })).slice(-OUTPUT_LIMIT);
  };
  void collect(child.stdout);
  void collect(child.stderr);
  // A test run that ends early must leave nothing behind.
  const killAtExit = () => child.kill("SIGKILL");
  process.once("exit", killAtExit);
  const exited = child.exited.then((code) => {
    process.off("exit", killAtExit);
    return code;
  });
  return {
    endpoint: formatEndpoint("127.0.0.1", port),
    port,
    pid: child.pid,
    kill: (signal) => child.kill(signal),
    exited,
    output: () => output,
    async stop() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
