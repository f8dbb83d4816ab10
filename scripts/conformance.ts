/** The SDKs that clients are written with, against the compiled binary: facts/clients.md section 5, one test a check. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describeError, fromUnknown, SynapticError } from "../src/core/errors.ts";
import { build } from "./build.ts";
import { ensureLlama, llamaEnvironment } from "./llama.ts";
import { replaceMarked } from "./marked.ts";
import { run } from "./run.ts";
import { runTests } from "./run-tests.ts";
import { say } from "./say.ts";

const ROOT = dirname(import.meta.dir);
const FOLDER = join(ROOT, "test", "conformance");
const README = join(ROOT, "README.md");
/** A load of 45 s, and silence of 60 s, are among the checks. */
const TEST_DEADLINE_MS = 150_000;
const TESTS_DEADLINE_MS = 12 * 60_000;

/** Not with the root's gate, since that must not need these packages. @throws SynapticError `internal`. */
async function checkTypes(): Promise<void> {
  const command = [join(ROOT, "node_modules", ".bin", "tsc"), "--noEmit", "-p", FOLDER];
  const { exitCode, output } = await run(command, { cwd: ROOT, deadlineMs: 180_000 });
  if (exitCode === 0) return;
  throw new SynapticError("internal", `Cannot use the checks: their types are wrong\n${output.trim()}`);
}

/** Writes the count between its markers in the README. @throws SynapticError `internal` where they are missing. */
async function writeCount(count: string): Promise<void> {
  const text = replaceMarked(readFileSync(README, "utf8"), "conformance", count);
  if (text === null) throw new SynapticError("internal", `Cannot write to ${README}: it has no conformance markers`);
  await Bun.write(README, text);
}

async function main(args: readonly string[]): Promise<boolean> {
  if (!existsSync(join(FOLDER, "node_modules"))) {
    throw new SynapticError("usage", "Cannot find the SDKs", { hint: "start it with `npm run conformance`" });
  }
  await checkTypes();
  const { path, version } = await build();
  say(`build: ${path} ${version}`);
  const llama = await ensureLlama({ log: (line) => say(`llama: ${line}`) });
  say(`llama: ${llama.version} at ${llama.server}`);
  const { passed, failed } = await runTests(
    ["./test/conformance/checks.ts", ...args.filter((arg) => arg !== "--write")],
    { env: llamaEnvironment(llama), testDeadlineMs: TEST_DEADLINE_MS, deadlineMs: TESTS_DEADLINE_MS },
  );
  const count = `${passed} passed, ${failed} failed`;
  if (args.includes("--write")) await writeCount(count);
  console.log(count);
  return failed === 0 && passed > 0;
}

try {
  process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1;
} catch (error) {
  say(`conformance: ${describeError(fromUnknown(error))}`);
  console.log("0 passed, 1 failed");
  process.exitCode = 1;
}
