/** Runs `bun test` and counts what passed and failed. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { countTests, type TestCount } from "./test-count.ts";

const ROOT = dirname(import.meta.dir);

export interface TestRunOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly testDeadlineMs: number;
  readonly deadlineMs: number;
}

/** Runs the tests that the arguments of `bun test` name, all without any; what it prints goes to the terminal. */
export async function runTests(args: readonly string[], options: TestRunOptions): Promise<TestCount> {
  const folder = mkdtempSync(join(tmpdir(), "synaptic-test-"));
  const report = join(folder, "junit.xml");
  const flags = [`--timeout=${options.testDeadlineMs}`, "--reporter=junit", `--reporter-outfile=${report}`];
  try {
    const child = Bun.spawn([process.execPath, "test", ...flags, ...args], {
      cwd: ROOT,
      env: { ...options.env },
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
      timeout: options.deadlineMs,
    });
    const exitCode = await child.exited;
    const count = countTests(await readReport(report));
    // Errors outside of tests, a crash or the deadline show in the exit code only.
    return exitCode !== 0 && count.failed === 0 ? { ...count, failed: 1 } : count;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function readReport(path: string): Promise<string> {
  return (await Bun.file(path).exists()) ? readFileSync(path, "utf8") : "";
}
