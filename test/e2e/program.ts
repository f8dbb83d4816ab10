/** A program run for an end-to-end test: its output kept, its lines awaited as events, its end by pid. */

export interface Program {
  readonly pid: number;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** The exit code; 128 + n after signal n. */
  readonly exited: Promise<number>;
  readonly kill: (signal: NodeJS.Signals) => void;
  /** The first line of stderr, past or yet to come, that matches; rejects with all output when it ends without one. */
  readonly untilLine: (pattern: RegExp) => Promise<RegExpExecArray>;
  /** SIGKILL, and the end of it. */
  readonly stop: () => Promise<void>;
}

export interface ProgramOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
}

/** Generous: on a busy machine a load takes seconds. */
export const DEADLINE_MS = 30_000;

interface Waiter {
  readonly pattern: RegExp;
  readonly found: (match: RegExpExecArray) => void;
}

export function startProgram(command: readonly string[], { env, cwd }: ProgramOptions): Program {
  const child = Bun.spawn([...command], {
    env: { ...env },
    ...(cwd !== undefined && { cwd }),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    // Of its own process group, so that a test can send it what Ctrl-C in a terminal sends: a signal to the group.
    detached: true,
  });
  const output = { stdout: "", stderr: "" };
  const waiters = new Set<Waiter>();
  const matches = () => {
    for (const waiter of waiters) {
      const match = waiter.pattern.exec(output.stderr);
      if (match) waiter.found(match);
    }
  };
  const read = Promise.all([
    collect(child.stdout, (text) => {
      output.stdout += text;
    }),
    collect(child.stderr, (text) => {
      output.stderr += text;
      matches();
    }),
  ]);
  const kill = (signal: NodeJS.Signals): void => child.kill(signal);
  const exited = child.exited.then(async (code) => {
    await read;
    return code;
  });
  return {
    pid: child.pid,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    exited,
    kill,
    untilLine(pattern) {
      const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>();
      const fail = (why: string) => reject(new Error(`${why} without ${pattern}:\n${output.stderr}`));
      const waiter: Waiter = { pattern, found: resolve };
      waiters.add(waiter);
      const timer = setTimeout(fail, DEADLINE_MS, `${DEADLINE_MS / 1000} s passed`);
      void exited.then((code) => fail(`it ended with ${code}`));
      matches();
      return promise.finally(() => {
        waiters.delete(waiter);
        clearTimeout(timer);
      });
    },
    async stop() {
      kill("SIGKILL");
      await exited;
    },
  };
}

async function collect(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
}

/** Settles once `check` yields a value; for what has no event of its own. Rejects after the deadline. */
export async function until<T>(what: string, check: () => Promise<T | null> | T | null): Promise<T> {
  const deadline = performance.now() + DEADLINE_MS;
  for (;;) {
    const value = await check();
    if (value !== null) return value;
    if (performance.now() > deadline) throw new Error(`${what} did not happen within ${DEADLINE_MS / 1000} s`);
    await Bun.sleep(10);
  }
}
