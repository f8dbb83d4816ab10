/** Makes a fresh clone ready with nothing but Node and npm: dependencies, those of the folders named too, and a Bun that
 *  runs. Plain Node, no dependencies. */
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const MODULES = join(ROOT, "node_modules");
const BUN = join(MODULES, ".bin", "bun");
const INSTALL_DEADLINE_MS = 10 * 60_000;
const BUN_DEADLINE_MS = 60_000;

function fail(message, hint) {
  console.error(`setup: ${message}\n  ${hint}`);
  process.exit(1);
}

/** npm writes its own lock file into node_modules last, so an install that was cut short counts as missing. */
function isInstalled(folder) {
  const done = statSync(join(folder, "node_modules", ".package-lock.json"), { throwIfNoEntry: false });
  return done !== undefined && done.mtimeMs >= statSync(join(folder, "package-lock.json")).mtimeMs;
}

function installDependencies(folder) {
  console.error(`setup: installing dependencies (npm ci)${folder === ROOT ? "" : ` in ${relative(ROOT, folder)}`}`);
  const flags = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
  const options = { cwd: folder, encoding: "utf8", timeout: INSTALL_DEADLINE_MS };
  // Under `npm run` this is the npm that called us; on its own the shell finds one.
  const npm = process.env.npm_execpath;
  const byNode = npm !== undefined && /\.c?js$/.test(npm);
  const result = byNode ? spawnSync(process.execPath, [npm, ...flags], options) : spawnSync("npm", flags, options);
  if (result.status === 0) return;
  const why = result.error?.message ?? `${result.stdout}${result.stderr}`.trim();
  fail(
    `Cannot install dependencies: ${why}`,
    `check that this machine reaches its npm registry, and run \`npm ci\` by hand in ${folder}`,
  );
}

function bunRuns() {
  if (!existsSync(BUN)) return false;
  return spawnSync(BUN, ["--version"], { timeout: BUN_DEADLINE_MS, stdio: "ignore" }).status === 0;
}

const [major = 0] = process.versions.node.split(".").map(Number);
if (major < 20) fail(`Cannot use Node ${process.versions.node}`, "install Node 20 or newer");
for (const folder of [ROOT, ...process.argv.slice(2).map((name) => join(ROOT, name))]) {
  if (!isInstalled(folder)) installDependencies(folder);
}
// npm 11 may refuse install scripts; Bun's own is what puts the program in its place.
if (!bunRuns()) {
  const install = join(MODULES, "bun", "install.js");
  const result = spawnSync(process.execPath, [install], {
    cwd: dirname(install),
    encoding: "utf8",
    timeout: INSTALL_DEADLINE_MS,
  });
  if (!bunRuns()) {
    const why = `${result.stdout ?? ""}${result.stderr ?? ""}`.trim() || result.error?.message || "it does not run";
    fail(`Cannot run Bun: ${why}`, `run \`node ${install}\` and then \`${BUN} --version\` by hand to see why`);
  }
}
