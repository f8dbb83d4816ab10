/** The gate, without installing anything: types, format and lint, architecture. */
import { dirname, join } from "node:path";
import { run } from "./run.ts";
import { say } from "./say.ts";

const ROOT = dirname(import.meta.dir);

interface Gate {
  readonly name: string;
  readonly command: readonly string[];
}

function bin(name: string): string {
  return join(ROOT, "node_modules", ".bin", name);
}

const GATES: readonly Gate[] = [
  { name: "types", command: [bin("tsc"), "--noEmit", "-p", "."] },
  { name: "format and lint", command: [bin("biome"), "ci", process.stdout.isTTY ? "--colors=force" : "--colors=off"] },
  { name: "architecture", command: [process.execPath, "test", "./test/architecture.test.ts"] },
];

/** Runs all gates side by side, prints what failed, and returns the names of those. */
export async function check(log: (line: string) => void): Promise<readonly string[]> {
  const results = await Promise.all(
    GATES.map(async (gate) => ({ gate, result: await run(gate.command, { cwd: ROOT, deadlineMs: 180_000 }) })),
  );
  const failed = results.filter(({ result }) => result.exitCode !== 0);
  for (const { gate, result } of failed) log(`check: ${gate.name} failed\n${result.output.trim()}`);
  if (failed.length === 0) log(`check: ${GATES.map(({ name }) => name).join(", ")}: good`);
  return failed.map(({ gate }) => gate.name);
}

if (import.meta.main) {
  const failed = await check(say);
  process.exitCode = failed.length === 0 ? 0 : 1;
}
