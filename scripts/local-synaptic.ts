/** Runs the compiled binary on a config of its own. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Client, createClient } from "../src/cli/client.ts";
import { SynapticError } from "../src/core/errors.ts";
import { requestUpstream } from "../src/io/http-client.ts";
import { type Llama, llamaEnvironment } from "./llama.ts";
import { freePort } from "./local-backends.ts";
import type { Child, Sandbox } from "./sandbox.ts";

/** A configuration file without the listen address. */
export interface LocalConfig {
  readonly synaptic: Readonly<Record<string, unknown>>;
  readonly [key: string]: unknown;
}

export interface SynapticOptions {
  readonly binary: string;
  readonly llama: Llama;
  readonly config: LocalConfig;
  readonly onLine?: (line: string) => void;
}

export interface LocalSynaptic {
  readonly url: string;
  readonly client: Client;
  readonly child: Child;
  /** From the spawn to the first answer on /healthz. */
  readonly listeningMs: number;
}

const START_DEADLINE_MS = 15_000;

/**
 * Writes the config into the sandbox, starts the binary on it and returns when it listens.
 * @throws SynapticError `coordinator_failed` with the binary's last words.
 */
export async function startSynaptic(sandbox: Sandbox, options: SynapticOptions): Promise<LocalSynaptic> {
  const port = freePort();
  const url = `http://127.0.0.1:${port}`;
  const path = join(sandbox.folder, `config-${port}.json`);
  const synaptic = { listen: { port }, ...options.config.synaptic };
  writeFileSync(path, `${JSON.stringify({ ...options.config, synaptic }, null, 2)}\n`);
  const started = performance.now();
  const child = sandbox.start([options.binary, "--config", path], {
    env: ownEnvironment(options.llama),
    ...(options.onLine && { onLine: options.onLine }),
  });
  const listening = await untilListening(sandbox, child, url);
  return {
    url,
    child,
    client: createClient({ request: requestUpstream }, url, null),
    listeningMs: listening - started,
  };
}

/** The engine that was found, and none of the variables that would overrule the config. */
function ownEnvironment(llama: Llama): Record<string, string | undefined> {
  const overruling = /^(?:SYNAPTIC_|SOLLOL_|OLLAMA_|(?:LLAMA_)?RPC_BACKENDS$)/;
  return Object.fromEntries(Object.entries(llamaEnvironment(llama)).filter(([name]) => !overruling.test(name)));
}

async function untilListening({ stopping }: Sandbox, child: Child, url: string): Promise<number> {
  const deadline = AbortSignal.timeout(START_DEADLINE_MS);
  while (child.ending() === null && !deadline.aborted) {
    stopping.throwIfAborted();
    try {
      const response = await fetch(`${url}/healthz`, { signal: AbortSignal.any([stopping, deadline]) });
      if (response.ok) return performance.now();
    } catch {
      // Not there yet.
    }
    await Bun.sleep(1);
  }
  const how = child.ending() ?? `it does not listen after ${START_DEADLINE_MS / 1000} s`;
  throw new SynapticError("coordinator_failed", `Cannot start synaptic: ${how}`, {
    hint: child.lastLines().join("\n  "),
  });
}
