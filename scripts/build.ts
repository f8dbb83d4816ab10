/** Builds dist/synaptic, one file for this machine. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import packageJson from "../package.json" with { type: "json" };
import { describeError, fromUnknown, SynapticError } from "../src/core/errors.ts";
import { formatBytes } from "../src/core/units.ts";
import { run } from "./run.ts";
import { say } from "./say.ts";

const ROOT = dirname(import.meta.dir);

export interface Built {
  readonly path: string;
  readonly version: string;
  readonly bytes: number;
}

/**
 * Compiles src/main.ts with the version stamped in as SYNAPTIC_VERSION.
 * `--format=esm` belongs to `--bytecode` (the default crashes on import.meta), and without the `--no-compile-autoload`
 * flags the binary would read .env and bunfig.toml of whatever folder it starts in (facts/bun.md section 4).
 * @throws SynapticError `internal` with the compiler's output.
 */
export async function build(path = join(ROOT, "dist", "synaptic")): Promise<Built> {
  const version = await describeVersion();
  mkdirSync(dirname(path), { recursive: true });
  // Built in a folder beside and moved: a binary that is running cannot be written to, and the compiler leaves a map.
  const work = mkdtempSync(`${path}.new-`);
  try {
    const fresh = join(work, basename(path));
    await compile(fresh, version);
    renameSync(fresh, path);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return { path, version, bytes: statSync(path).size };
}

async function compile(path: string, version: string): Promise<void> {
  const flags = ["--compile", "--bytecode", "--format=esm", "--minify", "--sourcemap"];
  const quiet = ["--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"];
  const stamp = ["--define", `SYNAPTIC_VERSION=${JSON.stringify(version)}`];
  const command = [process.execPath, "build", ...flags, ...quiet, ...stamp, join("src", "main.ts"), "--outfile", path];
  const result = await run(command, { cwd: ROOT, deadlineMs: 120_000 });
  if (result.exitCode === 0) return;
  throw new SynapticError("internal", `Cannot build ${path}: exit code ${result.exitCode}\n${result.output.trim()}`, {
    hint: "`npm run check` shows what does not compile",
  });
}

/** `0.1.0+1dabcf8`, with `-dirty` when the tree differs from that commit; outside a clone just `0.1.0`. */
async function describeVersion(): Promise<string> {
  const git = await run(["git", "describe", "--always", "--dirty", "--exclude=*"], { cwd: ROOT, deadlineMs: 10_000 });
  const commit = git.exitCode === 0 ? git.output.trim() : "";
  return /^[0-9a-f]+(-dirty)?$/.test(commit) ? `${packageJson.version}+${commit}` : packageJson.version;
}

if (import.meta.main) {
  try {
    const { path, version, bytes } = await build();
    console.log(`${path} ${version} ${formatBytes(bytes)}`);
  } catch (error) {
    say(`build: ${describeError(fromUnknown(error))}`);
    process.exitCode = 1;
  }
}
