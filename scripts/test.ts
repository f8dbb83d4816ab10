/** Everything that can fail, in one command; the last line reads `N passed, N failed`. */
import { describeError, fromUnknown } from "../src/core/errors.ts";
import { formatBytes } from "../src/core/units.ts";
import { build } from "./build.ts";
import { check } from "./check.ts";
import { ensureLlama, llamaEnvironment } from "./llama.ts";
import { runTests } from "./run-tests.ts";
import { say } from "./say.ts";

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

const failedGates = await check(say);
const built = await step("build", () => build());
if (built) say(`build: ${built.path} ${built.version} ${formatBytes(built.bytes)}`);
const llama = await step("llama", () => ensureLlama({ log: (line) => say(`llama: ${line}`) }));
if (llama) say(`llama: ${llama.version} at ${llama.server}`);
const tests = await runTests(process.argv.slice(2), {
  env: llama ? llamaEnvironment(llama) : process.env,
  testDeadlineMs: TEST_DEADLINE_MS,
  deadlineMs: TESTS_DEADLINE_MS,
});
const failed = tests.failed + failedGates.length + (built ? 0 : 1) + (llama ? 0 : 1);
process.exitCode = failed === 0 && tests.passed > 0 ? 0 : 1;
console.log(`${tests.passed} passed, ${failed} failed`);
