/** Everything that can fail, in one command; the last line reads `N passed, N failed`. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describeError, fromUnknown } from "../src/core/errors.ts";
import { formatBytes } from "../src/core/units.ts";
import { build } from "./build.ts";
import { check } from "./check.ts";
import { ensureLlama, llamaEnvironment } from "./llama.ts";
import { say } from "./say.ts";
import { countTests, type TestCount } from "./test-count.ts";

const ROOT = dirname(import.meta.dir);
/** Of one test; bunfig.toml's own key is ignored by Bun 1.4.5 (measured). */
const TEST_DEADLINE_MS = 60_000;
/** The whole run has to end in 10 minutes on 2 cores; a hang is cut a little later, so that it is seen as one. */
const TESTS_DEADLINE_MS = 12 * 60_000;

/** A step that yields null counts as one failure, and the run goes on. */
async function step<T>(name: string, work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    say(`${name}: ${describeError(fromUnknown(error))}`);
    return null;
  }
}

async function runTests(env: Record<string, string | undefined>): Promise<TestCount> {
  const folder = mkdtempSync(join(tmpdir(), "synaptic-test-"));
  const report = join(folder, "junit.xml");
  try {
    const child = Bun.spawn(
      [
        process.execPath,
        "test",
        `--timeout=${TEST_DEADLINE_MS}`,
        "--reporter=junit",
        `--reporter-outfile=${report}`,
        ...process.argv.slice(2),
      ],
      { cwd: ROOT, env, stdin: "ignore", stdout: "inherit", stderr: "inherit", timeout: TESTS_DEADLINE_MS },
    );
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

const failedGates = await check(say);
const built = await step("build", () => build());
if (built) say(`build: ${built.path} ${built.version} ${formatBytes(built.bytes)}`);
const llama = await step("llama", () => ensureLlama({ log: (line) => say(`llama: ${line}`) }));
if (llama) say(`llama: ${llama.version} at ${llama.server}`);
const tests = await runTests(llama ? llamaEnvironment(llama) : process.env);
const failed = tests.failed + failedGates.length + (built ? 0 : 1) + (llama ? 0 : 1);
process.exitCode = failed === 0 && tests.passed > 0 ? 0 : 1;
console.log(`${tests.passed} passed, ${failed} failed`);
