/** What end-to-end tests work with: real rpc-servers, models whose answer is known, and the compiled binary. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { build } from "../../scripts/build.ts";
import { type RecitingModel, writeRecitingModel } from "../../scripts/recite.ts";
import type { Endpoint } from "../../src/core/units.ts";
import { splitEndpoint } from "../../src/core/units.ts";
import { findLlamaServer } from "../../src/io/llama-files.ts";
import { type RealRpcOptions, type RealRpcServer, startRpcServer } from "../fakes/real-rpc-server.ts";
import { type Program, startProgram, until } from "./program.ts";
import { connect, type Synaptic } from "./synaptic.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface RunOptions {
  /** Path of a config file; `{}` of the lab's own when left out. */
  readonly config?: string | undefined;
  /** Beside the lab's: PATH, an empty HOME, an empty Ollama store, and the llama-server that was found. Undefined takes one away. */
  readonly env?: Environment;
  readonly cwd?: string;
}

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export type ModelOptions = Pick<RecitingModel, "layers" | "type" | "damagedLayer">;

export interface Lab extends AsyncDisposable {
  readonly folder: string;
  /** HOME of all that runs here: an empty folder. */
  readonly home: string;
  /** The Ollama store that all which runs here finds: empty. */
  readonly ollamaModels: string;
  /** The real llama-server. */
  readonly llamaServer: string;
  /** The path of a reciting model; made once for all labs that are open. */
  model(options: ModelOptions): Promise<string>;
  /** Starts `count` rpc-servers. */
  backends(count: number): Promise<readonly RealRpcServer[]>;
  backend(options?: RealRpcOptions): Promise<RealRpcServer>;
  /** Writes a file below the folder, and returns its path. */
  write(name: string, content: string | object, mode?: number): string;
  /** Writes a config of backends and models, and returns its path. */
  config(backends: readonly Endpoint[], own?: object): string;
  /** Starts the binary as a server on a free port; settles when it listens. */
  serve(options?: RunOptions): Promise<Synaptic>;
  /** Runs the binary to its end. */
  run(args: readonly string[], options?: RunOptions): Promise<Finished>;
  /** Starts any program; it ends with the lab. */
  start(command: readonly string[], options?: RunOptions): Program;
}

const ROOT = join(import.meta.dir, "..", "..");
export const BINARY = join(ROOT, "dist", "synaptic");

/** Opens a lab; the binary is built first when it is older than its sources. */
export async function openLab(): Promise<Lab> {
  await ensureBinary();
  enter();
  const folder = mkdtempSync(join(tmpdir(), "synaptic-e2e-"));
  const home = join(folder, "home");
  mkdirSync(home);
  const llamaServer = findLlamaServer({ env: process.env }).path;
  // An empty store, so that nobody's own Ollama is looked into.
  const ollamaModels = join(folder, "ollama");
  mkdirSync(join(ollamaModels, "manifests"), { recursive: true });
  const environment: Environment = {
    PATH: process.env.PATH,
    HOME: home,
    LLAMA_SERVER_PATH: llamaServer,
    OLLAMA_MODELS: ollamaModels,
  };
  const running: { stop(): Promise<void> }[] = [];
  const coordinators: number[] = [];
  let configs = 0;

  const start: Lab["start"] = (command, { env = {}, cwd } = {}) => {
    const all = Object.entries({ ...environment, ...env }).filter(([, value]) => value !== undefined);
    const program = startProgram(command, { env: Object.fromEntries(all), cwd: cwd ?? folder });
    running.push(program);
    return program;
  };
  const backend: Lab["backend"] = async (options) => {
    const server = await startRpcServer(options);
    running.push(server);
    return server;
  };
  const write: Lab["write"] = (name, content, mode = 0o644) => {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    const text = typeof content === "string" ? content : `${JSON.stringify(content, null, 2)}\n`;
    writeFileSync(path, text, { mode });
    return path;
  };
  const config: Lab["config"] = (backends, own = {}) =>
    write(`config-${++configs}.json`, {
      model_sharding_enabled: true,
      rpc_backends: backends.map(splitEndpoint),
      // No nodes, so that nobody's own Ollama is asked.
      synaptic: { placement: "spread", ollama: { nodes: [] }, ...own },
    });
  return {
    folder,
    home,
    ollamaModels,
    llamaServer,
    model: makeModel,
    backend,
    backends: (count) => Promise.all(Array.from({ length: count }, () => backend())),
    write,
    config,
    start,
    async serve(options = {}) {
      const program = start([BINARY, "--config", options.config ?? config([]), "--port", "0"], options);
      return await connect(program, (pid) => coordinators.push(pid));
    },
    async run(args, options = {}) {
      const given = options.config === undefined ? [] : ["--config", options.config];
      const program = start([BINARY, ...args, ...given], options);
      return { code: await program.exited, stdout: program.stdout(), stderr: program.stderr() };
    },
    async [Symbol.asyncDispose]() {
      // The last one first: it may need those that were there before it.
      for (const each of running.toReversed()) await each.stop();
      // Children of children: they end by themselves, unless a test has just shown that they do not.
      for (const pid of coordinators.filter(isRunning)) process.kill(pid, "SIGKILL");
      rmSync(folder, { recursive: true, force: true });
      leave();
    },
  };
}

let built: Promise<void> | null = null;

function ensureBinary(): Promise<void> {
  built ??= isCurrent() ? Promise.resolve() : build(BINARY).then(() => {});
  return built;
}

function isCurrent(): boolean {
  const binary = statSync(BINARY, { throwIfNoEntry: false });
  if (!binary) return false;
  const sources = readdirSync(join(ROOT, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  return sources.every((path) => statSync(path).mtimeMs <= binary.mtimeMs);
}

/** Models are shared by all labs that are open, and go with the last one. */
const models = new Map<string, Promise<string>>();
let openLabs = 0;
let shelf = "";

function enter(): void {
  openLabs++;
  if (openLabs === 1) shelf = mkdtempSync(join(tmpdir(), "synaptic-models-"));
}

function leave(): void {
  openLabs--;
  if (openLabs > 0) return;
  models.clear();
  rmSync(shelf, { recursive: true, force: true });
}

/** Named after its options, such as `24-F16.gguf`. */
function makeModel(options: ModelOptions): Promise<string> {
  const name = Object.values(options).join("-");
  const path = join(shelf, `${name}.gguf`);
  const made = models.get(name) ?? writeRecitingModel({ path, ...options }).then(() => path);
  models.set(name, made);
  return made;
}

/** Whether a process runs; one that has ended and was not yet waited for does not. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  if (process.platform !== "linux") return true;
  try {
    // `pid (name) state ...`, and the name may hold anything.
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** Settles when the process has ended. */
export async function untilGone(pid: number): Promise<void> {
  await until(`the end of process ${pid}`, () => (isRunning(pid) ? null : true));
}
