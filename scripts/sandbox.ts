/** A temporary folder and the programs started beside it: all gone in the end, however the end comes. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SynapticError } from "../src/core/errors.ts";

export interface StartOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Gets each line of stdout and stderr as it comes. */
  readonly onLine?: (line: string) => void;
}

export interface Child {
  readonly pid: number;
  /** How it ended, such as `exit code 1`; null while it runs. */
  readonly ending: () => string | null;
  readonly exited: Promise<void>;
  /** Its last lines, oldest first. */
  readonly lastLines: () => readonly string[];
  /** SIGTERM, then SIGKILL after the grace; resolves when it has ended. */
  readonly stop: () => Promise<void>;
}

export interface Sandbox extends AsyncDisposable {
  readonly folder: string;
  /** Fires at the first SIGINT, SIGTERM or SIGHUP; a second one ends everything at once. */
  readonly stopping: AbortSignal;
  readonly start: (command: readonly string[], options?: StartOptions) => Child;
}

const GRACE_MS = 5_000;
const KEPT_LINES = 40;
const SIGNALS = [
  ["SIGHUP", 1],
  ["SIGINT", 2],
  ["SIGTERM", 15],
] as const;

/** Makes the folder, and removes what sandboxes of the same name left behind that were killed with SIGKILL.
 *  @throws SynapticError `internal` when the temporary folder cannot be used. */
export function openSandbox(name: string): Sandbox {
  const folder = makeFolder(name);
  const children: Child[] = [];
  const stopping = new AbortController();
  const listeners = SIGNALS.map(([signal, number]) => {
    const listener = (): void => {
      if (stopping.signal.aborted) process.exit(128 + number);
      stopping.abort(new Error(`ended by ${signal}`));
    };
    process.on(signal, listener);
    return () => process.off(signal, listener);
  });
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  process.on("exit", remove);
  return {
    folder,
    stopping: stopping.signal,
    start(command, options = {}) {
      const child = startChild(command, options);
      children.push(child);
      return child;
    },
    async [Symbol.asyncDispose]() {
      // The last one first: it may need those that were there before it.
      for (const child of children.toReversed()) await child.stop();
      process.off("exit", remove);
      remove();
      for (const forget of listeners) forget();
    },
  };
}

/** Where the kernel can, it ends the child with us, also when SIGKILL ends us. */
function withDeathSignal(command: readonly string[]): string[] {
  const setpriv = process.platform === "linux" ? Bun.which("setpriv") : null;
  return setpriv ? [setpriv, "--pdeathsig", "KILL", "--", ...command] : [...command];
}

function startChild(command: readonly string[], { env = process.env, onLine }: StartOptions): Child {
  const child = Bun.spawn(withDeathSignal(command), {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...env },
    // Of its own process group: Ctrl-C is for us alone, who end the children in order.
    detached: true,
  });
  const kill = (): void => child.kill("SIGKILL");
  process.on("exit", kill);
  const lines: string[] = [];
  const keep = (line: string): void => {
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
    onLine?.(line);
  };
  void readLines(child.stdout, keep);
  void readLines(child.stderr, keep);
  const exited = child.exited.then(() => void process.off("exit", kill));
  const ending = (): string | null => {
    if (child.signalCode !== null) return `signal ${child.signalCode}`;
    return child.exitCode === null ? null : `exit code ${child.exitCode}`;
  };
  return {
    pid: child.pid,
    ending,
    exited,
    lastLines: () => [...lines],
    async stop() {
      child.kill("SIGTERM");
      const timer = setTimeout(kill, GRACE_MS);
      await exited;
      clearTimeout(timer);
    },
  };
}

async function readLines(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = (lines.pop() ?? "").slice(-64 * 1024);
    lines.forEach(onLine);
  }
  if (rest !== "") onLine(rest);
}

function makeFolder(name: string): string {
  try {
    sweep(name);
    return mkdtempSync(join(tmpdir(), `${name}-${process.pid}-`));
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new SynapticError("internal", `Cannot use the temporary folder ${tmpdir()}: ${detail}`, {
      hint: "set TMPDIR to a folder that you may write to",
      cause: error,
    });
  }
}

function sweep(name: string): void {
  for (const entry of readdirSync(tmpdir())) {
    const pid = new RegExp(`^${name}-(\\d+)-`).exec(entry)?.[1];
    if (pid !== undefined && hasEnded(Number(pid))) removeQuietly(join(tmpdir(), entry));
  }
}

/** Another user's process counts as living: its folder is not ours to remove. */
function hasEnded(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH";
  }
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // Another user's: left to them.
  }
}
