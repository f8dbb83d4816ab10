/** This process: its signals, its output streams, and Bun's limit on requests at a time. */

const FETCH_LIMIT = "BUN_CONFIG_MAX_HTTP_REQUESTS";
const MOST_REQUESTS = "16384";

/** Bun's fetch runs 256 requests at a time and queues the rest, health checks among them; the limit is read before any
 *  code of ours runs, so the process is started again in its own place (facts/bun.md 3e). */
export function raiseFetchLimit(): void {
  const compiled = Bun.main.startsWith("/$bunfs/");
  if (!compiled || process.env[FETCH_LIMIT] !== undefined || process.execve === undefined) return;
  if (!isServing(process.argv.slice(2))) return;
  process.execve(process.execPath, [process.execPath, ...process.argv.slice(2)], {
    ...process.env,
    [FETCH_LIMIT]: MOST_REQUESTS,
  });
}

/** Only a server needs it: for `--version` the second start would be half of the time. */
function isServing(args: readonly string[]): boolean {
  const [first] = args;
  return (
    first === undefined ||
    first === "serve" ||
    (first.startsWith("-") && !args.includes("--version") && !args.includes("--help"))
  );
}

/** Fires at the first SIGINT or SIGTERM; a second one ends the process at once (children end with it). */
export function handleSignals(): AbortSignal {
  const stopping = new AbortController();
  for (const [signal, number] of [
    ["SIGINT", 2],
    ["SIGTERM", 15],
  ] as const) {
    process.on(signal, () => {
      if (stopping.signal.aborted) process.exit(128 + number);
      stopping.abort(new Error(`ended by ${signal}`));
    });
  }
  return stopping.signal;
}

/** Output that cannot be written must not end us with a stack trace, least of all a server whose log's disk is full. An
 *  answer that its reader left (`| head -1`) is no trouble; one that is lost otherwise is, and makes the exit code 1. */
export function handleOutputErrors(): void {
  process.stderr.on("error", () => {});
  process.stdout.on("error", (error) => {
    if ("code" in error && error.code === "EPIPE") return;
    process.exitCode = 1;
    process.stderr.write(`Cannot write the answer: ${error.message}\n`);
  });
}
