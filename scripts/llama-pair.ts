/** Lets a llama-server and an rpc-server speak with each other for a moment: the proof that the two belong together. */
import { SynapticError } from "../src/core/errors.ts";
import { run } from "./run.ts";

export interface ProgramPair {
  readonly server: string;
  readonly rpcServer: string;
}

const DEADLINE_MS = 20_000;
const RETRY_MS = 50;

/**
 * Starts the rpc-server on a free loopback port and has the llama-server list its devices. This needs on both sides
 * the RPC backend, on the rpc-server's a device to compute with, and protocols that fit.
 * @throws SynapticError `coordinator_failed` with what the two said.
 */
export async function proveTheySpeak({ server, rpcServer }: ProgramPair): Promise<void> {
  const port = freePort();
  const backend = Bun.spawn([rpcServer, "-H", "127.0.0.1", "-p", String(port)], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  const until = Date.now() + DEADLINE_MS;
  let said = "";
  try {
    while (Date.now() < until && backend.exitCode === null && backend.signalCode === null) {
      const list = await run([server, "--rpc", `127.0.0.1:${port}`, "--list-devices"], {
        deadlineMs: DEADLINE_MS,
        env: { ...process.env, GGML_NO_BACKTRACE: "1" },
      });
      if (/^\s+RPC0/m.test(list.output)) return;
      said = list.output;
      // Until the rpc-server listens the connection is refused; every other trouble stays.
      if (!said.includes("Failed to connect")) break;
      await Bun.sleep(RETRY_MS);
    }
  } finally {
    backend.kill("SIGKILL");
    await backend.exited;
  }
  const detail =
    said
      .trim()
      .split("\n")
      .find((line) => /mismatch|rror|ailed/.test(line)) ?? `it ended with ${backend.exitCode}`;
  throw new SynapticError(
    "coordinator_failed",
    `Cannot use ${rpcServer} with ${server}: ${detail.trim().slice(0, 200)}`,
    {
      hint: "take both from one build of llama.cpp",
    },
  );
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}
