/** Starts the real llama-server on a small reciting model, without RPC; ended by its pid. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RecitingModel, writeRecitingModel } from "../../scripts/recite.ts";
import { findLlamaServer } from "../../src/io/llama-files.ts";

export interface RealLlamaServer {
  readonly url: string;
  readonly apiKey: string;
  readonly contextSize: number;
  stop(): Promise<void>;
}

const KEY = "real-key";
const CONTEXT = 1024;
const START_MS = 30_000;
const FIRST_PORT = 20_000;
const PORTS = 12_000;

/** The model is served as `m`. */
export async function startRealLlamaServer(model: Partial<RecitingModel> = {}): Promise<RealLlamaServer> {
  const folder = mkdtempSync(join(tmpdir(), "synaptic-llama-"));
  const path = join(folder, "m.gguf");
  await writeRecitingModel({ layers: 4, type: "F16", ...model, path });
  const port = freePort();
  const child = Bun.spawn([findLlamaServer({ env: process.env }).path, ...argsFor(path, port)], {
    env: { ...process.env, LLAMA_API_KEY: KEY },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const log = new Response(child.stderr).text();
  const killAtExit = () => child.kill("SIGKILL");
  process.once("exit", killAtExit);
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child.exited;
    process.off("exit", killAtExit);
    rmSync(folder, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  const until = performance.now() + START_MS;
  while (child.exitCode === null && performance.now() < until) {
    if (await isHealthy(url)) return { url, apiKey: KEY, contextSize: CONTEXT, stop };
    // It tells nobody when it listens, so it is asked.
    await Bun.sleep(20);
  }
  await stop();
  throw new Error(`llama-server did not start: ${(await log).slice(-2000)}`);
}

function argsFor(path: string, port: number): readonly string[] {
  return [
    ...["--model", path, "--alias", "m", "--ctx-size", String(CONTEXT), "--parallel", "2", "--kv-unified"],
    ...["--gpu-layers", "0", "--fit", "off", "--no-warmup", "--offline"],
    // Two threads wait for each other in a loop: on a machine that is busy otherwise, a token then takes seconds.
    ...["--threads", "1"],
    ...["--host", "127.0.0.1", "--port", String(port)],
  ];
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/health`, { keepalive: false })).status === 200;
  } catch {
    return false;
  }
}

/** Below the ephemeral range: outgoing connections in TIME-WAIT can block a port of that one. */
function freePort(): number {
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
