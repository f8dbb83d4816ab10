/** Starts rpc-servers on this machine, each on a free port. */
import { SynapticError } from "../src/core/errors.ts";
import { type Endpoint, formatEndpoint } from "../src/core/units.ts";
import { probeBackend } from "../src/io/rpc-client.ts";
import type { Child, Sandbox } from "./sandbox.ts";

export interface LocalBackend {
  readonly endpoint: Endpoint;
  readonly port: number;
  readonly child: Child;
}

/** Below the ephemeral range, where an outgoing connection of another program can block a port (facts/llamacpp.md b5). */
const FIRST_PORT = 20_000;
const PORTS = 12_000;
const ATTEMPTS = 5;
const START_DEADLINE_MS = 20_000;
const POLL_MS = 10;

/** A port of loopback that nobody listens on right now. */
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

/**
 * Starts `count` rpc-servers and returns when each has answered a probe.
 * @throws SynapticError `no_backends` with the last words of the one that did not start.
 */
export async function startBackends(sandbox: Sandbox, rpcServer: string, count: number): Promise<LocalBackend[]> {
  return await Promise.all(Array.from({ length: count }, () => startBackend(sandbox, rpcServer)));
}

async function startBackend(sandbox: Sandbox, rpcServer: string): Promise<LocalBackend> {
  let last = "";
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const port = freePort();
    const child = sandbox.start([rpcServer, "-H", "127.0.0.1", "-p", String(port)]);
    const endpoint = formatEndpoint("127.0.0.1", port);
    if (await answers(sandbox, child, endpoint)) return { endpoint, port, child };
    await child.stop();
    last = child.lastLines().at(-1) ?? "it printed nothing";
    // Somebody was faster on that port; anything else would happen again.
    if (!child.lastLines().some((line) => line.includes("create server socket"))) break;
  }
  throw new SynapticError("no_backends", `Cannot start ${rpcServer}: ${last}`, {
    hint: "`npm run llama` checks the llama.cpp that was found",
  });
}

/** An rpc-server prints nothing once it listens, so the port is asked. */
async function answers({ stopping }: Sandbox, child: Child, endpoint: Endpoint): Promise<boolean> {
  const until = performance.now() + START_DEADLINE_MS;
  while (child.ending() === null && performance.now() < until) {
    stopping.throwIfAborted();
    const probed = await probeBackend(endpoint, { timeoutMs: 5_000, signal: stopping });
    if (probed.tag === "up") return true;
    await Bun.sleep(POLL_MS);
  }
  return false;
}
