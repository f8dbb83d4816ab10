/** Gets llama.cpp: finds it, or makes a private copy without root, or says how to get one and waits for it. */
import { dirname, join } from "node:path";
import { engineVerdict } from "../src/core/engine-versions.ts";
import { describeError, exitCode, fromUnknown, SynapticError } from "../src/core/errors.ts";
import type { EngineFacts } from "../src/core/snapshot.ts";
import { describeEngine } from "../src/io/llama-engine.ts";
import { type FoundProgram, findLlamaServer, findRpcServer, llamaCacheFolder } from "../src/io/llama-files.ts";
import { thisDistribution } from "./llama-apt.ts";
import { makeCopy } from "./llama-copy.ts";
import { proveTheySpeak } from "./llama-pair.ts";
import { say } from "./say.ts";

export interface Llama {
  readonly server: string;
  readonly rpcServer: string;
  /** llama.cpp's own planner, an oracle for tests; not every build brings it. */
  readonly fitParams?: string;
  readonly version: string;
}

export interface EnsureLlamaOptions {
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * Returns a llama-server and an rpc-server that were seen to speak with each other, getting them first if need be.
 * @throws SynapticError `config_invalid` when LLAMA_SERVER_PATH is wrong, `coordinator_failed` when none can be had.
 */
export async function ensureLlama(options: EnsureLlamaOptions): Promise<Llama> {
  const found = await tryFound(options);
  if (found) return found;
  const distribution = process.platform === "linux" ? thisDistribution() : null;
  const folder = llamaCacheFolder(process.env);
  if (!distribution) return await waitForLlama(options);
  try {
    options.log(`making a private copy of llama.cpp in ${folder}`);
    await makeCopy(folder, distribution, options);
  } catch (error) {
    if (!isInteractive()) throw error;
    options.log(describeError(fromUnknown(error)));
    return await waitForLlama(options);
  }
  // With LLAMA_SERVER_PATH only the rpc-server was missing.
  const server = process.env.LLAMA_SERVER_PATH
    ? findLlamaServer({ env: process.env }).path
    : join(folder, "llama-server");
  return await check({ server, rpcServer: join(folder, "rpc-server") }, options);
}

/** The environment in which a child finds exactly these programs, whatever else is installed. */
export function llamaEnvironment(llama: Llama): Record<string, string | undefined> {
  const folder = dirname(llama.rpcServer);
  return { ...process.env, LLAMA_SERVER_PATH: llama.server, PATH: `${folder}:${process.env.PATH ?? ""}` };
}

/** What is there and works; null when something is missing or wrong that a private copy would mend. */
async function tryFound(options: EnsureLlamaOptions): Promise<Llama | null> {
  const server = orNull(() => findLlamaServer({ env: process.env }));
  if (!server) return null;
  const rpcServer = orNull(() => findRpcServer({ env: process.env }));
  if (!rpcServer) return null;
  try {
    return await check({ server: server.path, rpcServer: rpcServer.path }, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (server.source === "environment") throw error;
    options.log(fromUnknown(error).message);
    return null;
  }
}

/** Nothing found is an answer here; a path that somebody wrote down and that is wrong is never passed over. */
function orNull(find: () => FoundProgram): FoundProgram | null {
  try {
    return find();
  } catch (error) {
    if (error instanceof SynapticError && error.code === "coordinator_failed") return null;
    throw error;
  }
}

async function check(
  pair: { readonly server: string; readonly rpcServer: string },
  options: EnsureLlamaOptions,
): Promise<Llama> {
  const engine = await describeEngine(pair.server, { signal: options.signal ?? AbortSignal.timeout(120_000) });
  await proveTheySpeak(pair);
  const verdict = engineVerdict(engine, engine.protocol);
  if (!verdict.ok) options.log(verdict.warning);
  const beside = join(dirname(pair.server), "llama-fit-params");
  const fitParams = Bun.which(beside) ?? Bun.which("llama-fit-params");
  return { ...pair, version: describeVersion(engine), ...(fitParams ? { fitParams } : {}) };
}

function describeVersion({ version, build, protocol }: EngineFacts): string {
  const details = [build === null ? null : `build ${build}`, protocol && `RPC ${protocol.major}.${protocol.minor}`];
  return `${version} (${details.filter(Boolean).join(", ")})`;
}

const FROM_SOURCE = "build it: cmake -B build -DGGML_RPC=ON && cmake --build build -j";
/** Homebrew's formula has been without RPC; `--help` tells. */
const ON_MACOS = `\`brew install llama.cpp\` if its \`llama-server --help\` knows --rpc, else ${FROM_SOURCE}`;
const ON_LINUX = `install your distribution's llama.cpp with its RPC backend, or ${FROM_SOURCE}`;
const WAIT_MS = 60 * 60_000;
const POLL_MS = 2_000;

/** Says once how to get it and goes on as soon as it is there; without a person at the terminal it fails at once. */
async function waitForLlama(options: EnsureLlamaOptions): Promise<Llama> {
  const how = process.platform === "darwin" ? ON_MACOS : ON_LINUX;
  const hint = `${how}; then put llama-server and rpc-server on PATH, or set LLAMA_SERVER_PATH`;
  if (!isInteractive()) throw new SynapticError("coordinator_failed", "Cannot find a llama.cpp with RPC", { hint });
  options.log(`no llama.cpp with RPC here: ${hint}`);
  options.log("waiting for it; Ctrl-C ends");
  let said = "";
  const sayOnce = (line: string): void => {
    if (line !== said) options.log(line);
    said = line;
  };
  const until = Date.now() + WAIT_MS;
  while (Date.now() < until) {
    await Bun.sleep(POLL_MS);
    options.signal?.throwIfAborted();
    const found = await tryFound({ ...options, log: sayOnce });
    if (found) return found;
  }
  throw new SynapticError("coordinator_failed", "Cannot find a llama.cpp with RPC: none came within an hour", { hint });
}

function isInteractive(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

if (import.meta.main) {
  try {
    const llama = await ensureLlama({ log: (line) => say(`llama: ${line}`) });
    console.log(`llama.cpp ${llama.version}\nllama-server ${llama.server}\nrpc-server ${llama.rpcServer}`);
    if (llama.fitParams) console.log(`llama-fit-params ${llama.fitParams}`);
  } catch (error) {
    const failure = fromUnknown(error);
    say(`llama: ${describeError(failure)}`);
    process.exitCode = exitCode(failure);
  }
}
