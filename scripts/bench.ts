/** Measures what synaptic costs, on this machine, in one run: prints Markdown, and writes it into the documents when asked. */
import { readFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { dirname, join } from "node:path";
import { describeError, exitCode, fromUnknown, SynapticError } from "../src/core/errors.ts";
import { benchPlan } from "./bench-plan.ts";
import { benchProbes } from "./bench-probes.ts";
import { benchMemory, benchStart, benchVersion } from "./bench-process.ts";
import { benchReserve } from "./bench-reserve.ts";
import { benchResume } from "./bench-resume.ts";
import { benchRealStreams, benchSyntheticStreams } from "./bench-streams.ts";
import { build } from "./build.ts";
import { ensureLlama, type Llama } from "./llama.ts";
import { replaceMarked } from "./marked.ts";
import { writeRecitingModel } from "./recite.ts";
import { openSandbox, type Sandbox } from "./sandbox.ts";
import { say } from "./say.ts";

const ROOT = dirname(import.meta.dir);
const MODEL_LAYERS = 24;

/** Cores, system and versions: what figures depend on, and nothing that names the machine. */
function describeMachine(llama: Llama): string {
  const name = /^PRETTY_NAME="?([^"\n]*)/m.exec(readOrEmpty("/etc/os-release"))?.[1] ?? process.platform;
  const processors = cpus();
  const cores = `${processors.length} cores (${processors[0]?.model.trim() ?? "unknown"})`;
  return `${cores}, ${name}, kernel ${release()}, Bun ${Bun.version}, llama.cpp ${llama.version}`;
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

interface Section {
  /** Also the name between the markers. */
  readonly name: string;
  readonly title: string;
  readonly measure: () => Promise<string>;
}

async function sectionsOf(sandbox: Sandbox, binary: string, llama: Llama): Promise<readonly Section[]> {
  const model = join(sandbox.folder, "model.gguf");
  await writeRecitingModel({ path: model, layers: MODEL_LAYERS, type: "F16" });
  const bench = { sandbox, binary, llama, model };
  return [
    {
      name: "real",
      title: `The real engine, ${MODEL_LAYERS} layers over three backends`,
      measure: () => benchRealStreams(bench),
    },
    {
      name: "synthetic",
      title: "The same binary, an upstream of known rate",
      measure: () => benchSyntheticStreams(bench),
    },
    { name: "resume", title: "A backend dies under a stream", measure: () => benchResume(bench) },
    { name: "start", title: "From the start of the binary to listening", measure: () => benchStart(bench) },
    { name: "memory", title: "Memory at rest, nothing loaded", measure: () => benchMemory(bench) },
    { name: "version", title: "The shortest run", measure: () => benchVersion(bench) },
    { name: "plan", title: "One plan", measure: async () => benchPlan() },
    { name: "probes", title: "A thousand backends", measure: () => benchProbes(bench) },
    { name: "reserve", title: "Compute reserve: planned / seen", measure: () => benchReserve(bench) },
  ];
}

interface Figures {
  readonly machine: string;
  readonly tables: ReadonlyMap<string, string>;
}

async function measureAll(sandbox: Sandbox): Promise<Figures> {
  const { path } = await build();
  const llama = await ensureLlama({ log: (line) => say(`llama: ${line}`), signal: sandbox.stopping });
  const machine = describeMachine(llama);
  console.log(`# What synaptic costs\n\n${machine}; median / p99 where two numbers stand together\n`);
  const tables = new Map<string, string>();
  for (const { name, title, measure } of await sectionsOf(sandbox, path, llama)) {
    const table = await measure();
    console.log(`## ${title}\n\n${table}\n`);
    tables.set(name, table);
  }
  return { machine, tables };
}

/** Which tables a document shows is its own choice: those between its markers are renewed. */
async function writeFigures({ machine, tables }: Figures): Promise<void> {
  for (const file of ["README.md", join("docs", "performance.md")]) {
    const path = join(ROOT, file);
    let text = readFileSync(path, "utf8");
    for (const [name, table] of [["machine", machine] as const, ...tables]) {
      text = replaceMarked(text, `bench ${name}`, table) ?? text;
    }
    await Bun.write(path, text);
    say(`written: ${file}`);
  }
}

async function main(args: readonly string[]): Promise<number> {
  const unknown = args.find((arg) => arg !== "--write");
  if (unknown !== undefined) {
    throw new SynapticError("usage", `Cannot use ${unknown}`, { hint: "npm run bench [-- --write]" });
  }
  await using sandbox = openSandbox("synaptic-bench");
  // Nothing here is worth an orderly end: the sandbox is emptied on every exit.
  sandbox.stopping.addEventListener("abort", () => process.exit(130));
  const figures = await measureAll(sandbox);
  if (args.includes("--write")) await writeFigures(figures);
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (thrown) {
  const error = fromUnknown(thrown);
  say(`bench: ${describeError(error)}`);
  process.exitCode = exitCode(error);
}
