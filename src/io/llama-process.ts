/** Coordinators as processes: spawned so that they never outlive us, their output read line by line. */
import { SynapticError } from "../core/errors.ts";
import type { EngineFacts } from "../core/snapshot.ts";
import { describeEngine } from "./llama-engine.ts";
import { type Environment, findLlamaServers } from "./llama-files.ts";

export interface ChildSpawn {
  readonly path: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly onLine: (line: string) => void;
  readonly onExit: (exit: { readonly code: number | null; readonly signal: string | null }) => void;
}

/** A line longer than this is cut: at `-lv 4` a chat template is printed whole. */
const MAX_LINE = 64 * 1024;
const PIPE_GRACE_MS = 500;
/** The kernel's own SIGKILL when we die, where it is to be had; elsewhere stdin's end does it (`core/argv`). */
const DEATH_SIGNAL = ["--pdeathsig", "KILL", "--"];

/**
 * The builds are found and measured at the first call; a failure is not kept, so that installing one helps at once.
 * Measuring goes on while anybody waits for it: who joins must not fail because the first one left.
 */
export function createLlamaPort(configured: readonly string[], environment: Environment) {
  let shared: { readonly facts: Promise<readonly EngineFacts[]>; readonly abandon: AbortController } | null = null;
  let waiting = 0;

  const measure = () => {
    const abandon = new AbortController();
    const facts = findAndDescribe(configured, environment, abandon.signal);
    facts.catch(() => {
      if (shared?.abandon === abandon) shared = null;
    });
    return { facts, abandon };
  };

  const engines = async (signal: AbortSignal): Promise<readonly EngineFacts[]> => {
    signal.throwIfAborted();
    shared ??= measure();
    const { facts, abandon } = shared;
    const left = Promise.withResolvers<never>();
    const leave = () => left.reject(signal.reason);
    signal.addEventListener("abort", leave);
    waiting++;
    try {
      return await Promise.race([facts, left.promise]);
    } finally {
      signal.removeEventListener("abort", leave);
      waiting--;
      if (waiting === 0 && signal.aborted) abandon.abort(signal.reason);
    }
  };

  return { environment, engines, freePort, spawn: spawnChild };
}

async function findAndDescribe(
  configured: readonly string[],
  env: Environment,
  signal: AbortSignal,
): Promise<readonly EngineFacts[]> {
  const programs = findLlamaServers({ configured, env });
  const described = await Promise.allSettled(programs.map(({ path }) => describeEngine(path, { signal })));
  signal.throwIfAborted();
  const usable = described.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const [failed] = described.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
  if (usable.length === 0) throw failed;
  return usable;
}

async function freePort(): Promise<number> {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

function spawnChild({ path, args, env, onLine, onExit }: ChildSpawn) {
  const setpriv = process.platform === "linux" ? Bun.which("setpriv") : null;
  const command = [...(setpriv ? [setpriv, ...DEATH_SIGNAL] : []), path, ...args];
  try {
    // Of its own process group: Ctrl-C is for us alone, who let running answers end first.
    const stdio = { stdin: "pipe", stdout: "pipe", stderr: "pipe" } as const;
    const child = Bun.spawn(command, { ...stdio, env: { ...env }, detached: true });
    const read = Promise.all([readLines(child.stdout, onLine), readLines(child.stderr, onLine)]);
    void child.exited.then(async () => {
      await within(PIPE_GRACE_MS, read);
      onExit({ code: child.exitCode, signal: child.signalCode === null ? null : String(child.signalCode) });
    });
    const kill = (signal: "SIGTERM" | "SIGKILL"): void => {
      if (signal === "SIGTERM") askToExit(child.stdin);
      child.kill(signal);
    };
    return { pid: child.pid, kill };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new SynapticError("coordinator_failed", `Cannot start llama-server at ${path}: ${detail}`, { cause: error });
  }
}

/** What the child started may keep its pipes open (gdb, for a backtrace): its last lines are then done without. The timer
 *  is cleared, since it would hold up our own end. */
async function within(ms: number, read: Promise<unknown>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([read, late]);
  clearTimeout(timer);
}

/** In child mode (`core/argv`) llama-server waits for its stdin even after SIGTERM: it must be told there as well. */
const EXIT_COMMAND = "cmd_router_to_child:exit\n";

function askToExit(stdin: Bun.FileSink): void {
  try {
    stdin.write(EXIT_COMMAND);
    void stdin.flush();
  } catch {
    // The pipe is closed: it has exited already, or is about to.
  }
}

async function readLines(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = (lines.pop() ?? "").slice(0, MAX_LINE);
    for (const line of lines) onLine(line.slice(0, MAX_LINE).trimEnd());
  }
  if (rest !== "") onLine(rest);
}
