/** Finds the engine's programs on this machine: llama-server and rpc-server. */
import { accessSync, constants, readdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { SynapticError } from "../core/errors.ts";

/** Where a program was found: the config file, LLAMA_SERVER_PATH, PATH, the distribution's private folder, our own copy. */
export type ProgramSource = "config" | "environment" | "path" | "distribution" | "cache";

export interface FoundProgram {
  /** Absolute. */
  readonly path: string;
  readonly source: ProgramSource;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export interface LlamaServerSearch {
  /** `synaptic.llamaServer` of the config. All of them are checked, best first. */
  readonly configured?: readonly string[];
  readonly env: Environment;
}

const HOW_TO_GET =
  "run `npm run llama` in synaptic's folder, or install llama.cpp with RPC (Debian and Ubuntu: llama.cpp-tools, llama.cpp-tools-extra and libggml0-backend-rpc; Homebrew: llama.cpp, if its llama-server knows --rpc; from source: cmake -DGGML_RPC=ON) and put it on PATH or set LLAMA_SERVER_PATH";

/** Where synaptic keeps what it can make again. */
export function cacheFolder(env: Environment): string {
  const xdg = env.XDG_CACHE_HOME;
  if (xdg && isAbsolute(xdg)) return join(xdg, "synaptic");
  const home = env.HOME || homedir();
  const cache = process.platform === "darwin" ? join(home, "Library", "Caches") : join(home, ".cache");
  return join(cache, "synaptic");
}

/** The folder of the private copy that scripts/llama.ts makes: wrappers named after the programs lie directly in it. */
export function llamaCacheFolder(env: Environment): string {
  return join(cacheFolder(env), "llama");
}

/**
 * Finds llama-server: LLAMA_SERVER_PATH, config, PATH, private copy, in this order (an environment variable comes before
 * the file for every setting).
 * @throws SynapticError `config_invalid` when a path that was given is wrong, `coordinator_failed` when there is none.
 */
export function findLlamaServer(search: LlamaServerSearch): FoundProgram {
  const { env } = search;
  const [given] = findGiven(search);
  if (given) return given;
  const onPath = onPathOf("llama-server", env);
  if (onPath) return { path: onPath, source: "path" };
  const cached = join(llamaCacheFolder(env), "llama-server");
  if (isProgram(cached)) return { path: cached, source: "cache" };
  throw notFound("llama-server", `neither LLAMA_SERVER_PATH, PATH nor ${cached} has it`);
}

/** All builds to choose from: several only where the config lists several. @throws as `findLlamaServer` does. */
export function findLlamaServers(search: LlamaServerSearch): readonly FoundProgram[] {
  const given = findGiven(search);
  return given.length > 0 ? given : [findLlamaServer(search)];
}

function findGiven({ configured = [], env }: LlamaServerSearch): readonly FoundProgram[] {
  const fromEnvironment = env.LLAMA_SERVER_PATH;
  if (fromEnvironment) {
    return [{ path: checkGiven(fromEnvironment, "LLAMA_SERVER_PATH", env), source: "environment" }];
  }
  return configured.map((path) => ({ path: checkGiven(path, "synaptic.llamaServer", env), source: "config" }));
}

/** Debian keeps it out of PATH, under a name of its own (facts/llamacpp.md, head). */
const RPC_NAMES = ["rpc-server", "ggml-rpc-server"] as const;
const DISTRIBUTION_FOLDER = "/usr/libexec";

/**
 * Finds rpc-server, also under its other name ggml-rpc-server: PATH, `/usr/libexec/<arch>/llama/bin`, private copy.
 * @throws SynapticError `coordinator_failed` when there is none.
 */
export function findRpcServer({ env }: { readonly env: Environment }): FoundProgram {
  for (const name of RPC_NAMES) {
    const path = onPathOf(name, env);
    if (path) return { path, source: "path" };
  }
  for (const folder of distributionFolders()) {
    const path = RPC_NAMES.map((name) => join(folder, name)).find(isProgram);
    if (path) return { path, source: "distribution" };
  }
  const cached = join(llamaCacheFolder(env), "rpc-server");
  if (isProgram(cached)) return { path: cached, source: "cache" };
  throw notFound("rpc-server", `neither PATH, ${DISTRIBUTION_FOLDER}/*/llama/bin nor ${cached} has it`);
}

function notFound(program: string, where: string): SynapticError {
  return new SynapticError("coordinator_failed", `Cannot find ${program}: ${where}`, { hint: HOW_TO_GET });
}

/** A path that somebody wrote down is rejected, never passed over for another one. */
function checkGiven(given: string, key: string, env: Environment): string {
  const path = given.includes("/") ? absolute(given, env) : onPathOf(given, env);
  const wrong = path === null ? "no such program on PATH" : problemOf(path);
  if (path !== null && wrong === null) return path;
  throw new SynapticError("config_invalid", `Cannot use llama-server at ${path ?? given}: ${wrong}`, {
    hint: `${key} must name the llama-server program itself; correct it, or remove it to search PATH and the private copy`,
  });
}

function absolute(given: string, env: Environment): string {
  return given.startsWith("~/") ? join(env.HOME || homedir(), given.slice(2)) : resolve(given);
}

function problemOf(path: string): string | null {
  try {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (!stats) return "there is no such file";
    if (stats.isDirectory()) return "it is a folder";
    if (!stats.isFile()) return "it is not a file";
  } catch (error) {
    return error instanceof Error ? error.message : String(error); // Such as a folder on the way that may not be read.
  }
  return isExecutable(path) ? null : "it is not executable";
}

function isProgram(path: string): boolean {
  return problemOf(path) === null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function onPathOf(name: string, env: Environment): string | null {
  const folders = (env.PATH ?? "").split(":").filter(isAbsolute);
  return folders.map((folder) => join(folder, name)).find(isProgram) ?? null;
}

function distributionFolders(): readonly string[] {
  try {
    return readdirSync(DISTRIBUTION_FOLDER).map((arch) => join(DISTRIBUTION_FOLDER, arch, "llama", "bin"));
  } catch {
    return []; // No such folder outside Debian and its kin.
  }
}
