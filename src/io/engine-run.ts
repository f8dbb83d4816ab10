/** Runs the engine once for what it prints: bounded output, a deadline, and nothing left behind. */
import { SynapticError } from "../core/errors.ts";
import { explainEngineOutput } from "../core/llama-output.ts";

export interface EngineRunOptions {
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

export interface EngineRun {
  /** 128 + n when a signal ended it, as a shell says it. */
  readonly exitCode: number;
  /** stdout, then stderr: releases differ in which of the two they use. */
  readonly output: string;
}

export interface RunningEngine {
  /** @throws SynapticError `coordinator_timeout` at the deadline; the signal's reason when it was aborted. */
  readonly finished: Promise<EngineRun>;
  /** Ends it at once, with all that it started. */
  kill(): void;
}

/** A usual answer has 100 bytes, an abort with a backtrace 4 KiB. */
const OUTPUT_LIMIT_BYTES = 64 * 1024;
/** A child of the child that keeps the pipes open after the exit (gdb, for a backtrace) is not waited for longer. */
const PIPE_GRACE_MS = 500;

/**
 * Starts `path` in a process group of its own.
 * @throws SynapticError `coordinator_failed` when it cannot be executed.
 */
export function startEngine(path: string, args: readonly string[], options: EngineRunOptions): RunningEngine {
  options.signal.throwIfAborted();
  const child = spawnChild(path, args);
  const kill = (): void => killGroup(child.pid);
  const deadline = AbortSignal.timeout(options.deadlineMs);
  const over = AbortSignal.any([options.signal, deadline]);
  over.addEventListener("abort", kill, { once: true });
  const pipes = [collect(child.stdout, kill), collect(child.stderr, kill)] as const;
  const finish = async (): Promise<EngineRun> => {
    const exitCode = await child.exited;
    over.removeEventListener("abort", kill);
    kill();
    const grace = setTimeout(() => pipes.forEach((pipe) => void pipe.cancel()), PIPE_GRACE_MS);
    const texts = await Promise.all(pipes.map((pipe) => pipe.text));
    clearTimeout(grace);
    options.signal.throwIfAborted();
    if (!deadline.aborted) return { exitCode, output: texts.join("\n") };
    const words = args.join(" ");
    throw new SynapticError(
      "coordinator_timeout",
      `llama-server at ${path} hangs: no answer to ${words} in ${options.deadlineMs} ms`,
      {
        hint: `run \`${path} ${words}\` by hand to see what it waits for`,
      },
    );
  };
  return { finished: finish(), kill };
}

/** Why this run was no success, as an error that names the program and what to do. */
export function describeFailedRun(path: string, run: EngineRun): SynapticError {
  const cause = explainEngineOutput(run.output);
  if (cause === "no_rpc") {
    return new SynapticError("coordinator_failed", `llama-server at ${path} was built without RPC`, {
      hint: "install one that has it (Debian and Ubuntu: libggml0-backend-rpc as well; from source: cmake -DGGML_RPC=ON), or run `npm run llama` for a private copy",
    });
  }
  if (cause) {
    return new SynapticError(
      "coordinator_failed",
      `llama-server at ${path} cannot start: ${cause.missingLibrary} is missing`,
      {
        hint: "install the library, or reinstall llama.cpp; a program copied out of its folder needs its libraries copied too",
      },
    );
  }
  const last = run.output.trim().split("\n").at(-1)?.trim().slice(0, 200);
  return new SynapticError(
    "coordinator_failed",
    `llama-server at ${path} failed: exit code ${run.exitCode}${last ? `, ${last}` : ""}`,
    {
      hint: `run \`${path} --list-devices\` by hand to see all it prints`,
    },
  );
}

type Child = Bun.Subprocess<"ignore", "pipe", "pipe">;

function spawnChild(path: string, args: readonly string[]): Child {
  try {
    return Bun.spawn([path, ...args], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: engineEnvironment(),
      // A group of its own, so that what it starts ends with it.
      detached: true,
    });
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new SynapticError("coordinator_failed", `Cannot run llama-server at ${path}: ${detail}`, {
      hint: "the file must be a program for this machine's system and processor; set LLAMA_SERVER_PATH to another one, or run `npm run llama`",
      cause: error,
    });
  }
}

/** Without the user's LLAMA_ARG_* (LLAMA_ARG_RPC alone would call backends), and without gdb printing backtraces. */
function engineEnvironment(): Record<string, string | undefined> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("LLAMA_ARG_"));
  return { ...Object.fromEntries(inherited), GGML_NO_BACKTRACE: "1" };
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // ESRCH: all of the group has ended already, which is what we want.
  }
}

interface Pipe {
  readonly text: Promise<string>;
  cancel(): Promise<void>;
}

/** Keeps the first OUTPUT_LIMIT_BYTES; more than that is a flood, which is ended. */
function collect(stream: ReadableStream<Uint8Array<ArrayBuffer>>, endFlood: () => void): Pipe {
  const reader = stream.getReader();
  const read = async (): Promise<string> => {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    let size = 0;
    while (size < OUTPUT_LIMIT_BYTES) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value);
      size += value.length;
    }
    if (size >= OUTPUT_LIMIT_BYTES) {
      endFlood();
      await reader.cancel();
    }
    return new TextDecoder().decode(Buffer.concat(chunks).subarray(0, OUTPUT_LIMIT_BYTES));
  };
  return { text: read(), cancel: () => reader.cancel() };
}
