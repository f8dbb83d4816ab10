/** Runs another program for a script: its output kept within bounds, line by line to who wants to see it, a deadline. */

export interface RunOptions {
  readonly deadlineMs: number;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Gets each line of stdout and stderr as it comes. */
  readonly onLine?: (line: string) => void;
  readonly signal?: AbortSignal;
}

export interface RunResult {
  readonly exitCode: number;
  /** stdout, then stderr; the end of it when there is much. */
  readonly output: string;
  readonly timedOut: boolean;
}

const KEPT_CHARACTERS = 512 * 1024;

/** Runs `command` to its end; a program that is not there counts as exit code 127, as in a shell. */
export async function run(command: readonly string[], options: RunOptions): Promise<RunResult> {
  const deadline = AbortSignal.timeout(options.deadlineMs);
  const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline;
  let child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  try {
    child = Bun.spawn([...command], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: options.env ?? process.env,
      ...(options.cwd ? { cwd: options.cwd } : {}),
      signal,
      killSignal: "SIGKILL",
    });
  } catch (error) {
    return { exitCode: 127, output: error instanceof Error ? error.message : String(error), timedOut: false };
  }
  const onLine = options.onLine ?? (() => {});
  const [stdout, stderr, exitCode] = await Promise.all([
    readLines(child.stdout, onLine),
    readLines(child.stderr, onLine),
    child.exited,
  ]);
  options.signal?.throwIfAborted();
  return { exitCode, output: `${stdout}${stderr}`, timedOut: deadline.aborted };
}

async function readLines(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void): Promise<string> {
  const decoder = new TextDecoder();
  let kept = "";
  let rest = "";
  for await (const chunk of stream) {
    const text = decoder.decode(chunk, { stream: true });
    kept = (kept + text).slice(-KEPT_CHARACTERS);
    const lines = (rest + text).split("\n");
    rest = (lines.pop() ?? "").slice(-KEPT_CHARACTERS);
    lines.forEach(onLine);
  }
  if (rest) onLine(rest);
  return kept;
}
