/** Makes the private copy of llama.cpp in the user's cache folder, whole or not at all. */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { SynapticError } from "../src/core/errors.ts";
import { describeEngine } from "../src/io/llama-engine.ts";
import { type Distribution, type DownloadOptions, downloadPackages } from "./llama-apt.ts";
import { proveTheySpeak } from "./llama-pair.ts";
import { run } from "./run.ts";

/** Wrapper name in the copy, and where Debian puts the program; T is the architecture's folder. */
const PROGRAMS: readonly (readonly [string, string])[] = [
  ["llama-server", "usr/bin/llama-server"],
  ["llama-fit-params", "usr/bin/llama-fit-params"],
  ["rpc-server", "usr/libexec/T/llama/bin/ggml-rpc-server"],
];

/**
 * Builds the copy beside `target` and moves it there at the end, so that two runs at once cannot disturb each other:
 * the first one that is done wins. A damaged copy that lies there already is replaced.
 * @throws SynapticError `coordinator_failed` with what stood in the way.
 */
export async function makeCopy(target: string, distribution: Distribution, options: DownloadOptions): Promise<void> {
  const work = openWorkFolder(target);
  try {
    const download = await downloadPackages(join(work, "apt"), distribution, options);
    const copy = join(work, "copy");
    options.log("unpacking");
    await unpack(download.folder, join(copy, "root"));
    assemble(copy);
    options.log("checking that it runs and speaks RPC");
    const signal = options.signal ?? AbortSignal.timeout(60_000);
    const engine = await describeEngine(join(copy, "llama-server"), { signal });
    await proveTheySpeak({ server: join(copy, "llama-server"), rpcServer: join(copy, "rpc-server") });
    const record = {
      version: engine.version,
      build: engine.build,
      rpcProtocol: engine.protocol ? `${engine.protocol.major}.${engine.protocol.minor}` : null,
      package: download.packageVersion,
      suite: download.suite,
      madeAt: new Date().toISOString(),
    };
    writeFileSync(join(copy, "llama.json"), `${JSON.stringify(record, null, 2)}\n`);
    await install(copy, { target, work });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function openWorkFolder(target: string): string {
  try {
    mkdirSync(dirname(target), { recursive: true });
    sweep(target);
    return mkdtempSync(`${target}.new-`);
  } catch (error) {
    throw new SynapticError(
      "coordinator_failed",
      `Cannot make a private copy of llama.cpp in ${target}: ${error instanceof Error ? error.message : String(error)}`,
      { hint: "set XDG_CACHE_HOME to a folder that you may write to", cause: error },
    );
  }
}

const ABANDONED_MS = 60 * 60_000;

/** Removes what a run that was killed left behind; a living one is never an hour old. */
function sweep(target: string): void {
  const folder = dirname(target);
  for (const name of readdirSync(folder).filter((entry) => entry.startsWith(`${basename(target)}.new-`))) {
    const path = join(folder, name);
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats && Date.now() - stats.mtimeMs > ABANDONED_MS) rmSync(path, { recursive: true, force: true });
  }
}

async function unpack(folder: string, root: string): Promise<void> {
  mkdirSync(root, { recursive: true });
  for (const name of readdirSync(folder).filter((entry) => entry.endsWith(".deb"))) {
    const result = await run(["dpkg-deb", "-x", join(folder, name), root], { deadlineMs: 120_000 });
    if (result.exitCode !== 0) {
      throw new SynapticError("coordinator_failed", `Cannot unpack ${name}: ${result.output.trim().slice(0, 200)}`, {
        hint: "is the disk full? run it again when there are 300 MB free",
      });
    }
  }
}

/**
 * The programs need a newer C library than the system's, so each runs by the loader that came with it. ggml looks for
 * its backends in the folder of /proc/self/exe, which is then the loader's: they are linked beside it.
 */
function assemble(copy: string): void {
  const libraries = join(copy, "root", "usr", "lib");
  const loader = [...new Bun.Glob("*/ld-linux*.so.*").scanSync({ cwd: libraries })][0];
  if (!loader) throw damaged("no loader (ld-linux) among the packages");
  const triplet = dirname(loader);
  const bin = join(copy, "bin");
  mkdirSync(bin);
  copyFileSync(join(libraries, loader), join(bin, "ld.so"));
  chmodSync(join(bin, "ld.so"), 0o755);
  const backends = [...new Bun.Glob("ggml/*/*.so").scanSync({ cwd: join(libraries, triplet) })];
  if (backends.length === 0) throw damaged("no ggml backends among the packages");
  for (const backend of backends)
    symlinkSync(join("..", "root", "usr", "lib", triplet, backend), join(bin, basename(backend)));
  for (const [name, where] of PROGRAMS) {
    const program = join("root", where.replace("T", triplet));
    if (!existsSync(join(copy, program))) throw damaged(`no ${program} among the packages`);
    writeFileSync(join(copy, name), wrapper(program, join("root", "usr", "lib", triplet)), { mode: 0o755 });
  }
}

/** `exec` keeps the process id, so a signal to the wrapper is a signal to the program. */
function wrapper(program: string, libraries: string): string {
  return `#!/bin/sh
here=\${0%/*}
[ -L "$0" ] && here=$(dirname "$(readlink -f "$0")")
exec "$here/bin/ld.so" --library-path "$here/${libraries}:$here/${libraries}/llama" "$here/${program}" "$@"
`;
}

function damaged(detail: string): SynapticError {
  return new SynapticError("coordinator_failed", `Cannot put llama.cpp together: ${detail}`, {
    hint: "the packages have changed: install a llama.cpp with RPC yourself and set LLAMA_SERVER_PATH, and report this",
  });
}

/** Something may lie there already: the copy of a run that was faster, which then stays, or one that no longer works. */
async function install(
  copy: string,
  { target, work }: { readonly target: string; readonly work: string },
): Promise<void> {
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    if (move(copy, target) || (await works(target))) return;
    move(target, join(work, `damaged-${attempt}`));
  }
  throw new SynapticError("coordinator_failed", `Cannot put llama.cpp in ${target}: the folder is taken`, {
    hint: `remove ${target} and run this again`,
  });
}

/** False when `from` has gone or `to` is there: a folder is never renamed over one that has something in it. */
function move(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (existsSync(from) && !existsSync(to)) throw error;
    return false;
  }
}

async function works(folder: string): Promise<boolean> {
  try {
    await proveTheySpeak({ server: join(folder, "llama-server"), rpcServer: join(folder, "rpc-server") });
    return true;
  } catch {
    return false; // Whatever is wrong with it, the new copy was just seen to work.
  }
}
