/** Writes docs/reference.md from the code it describes; with `--check` it only says whether the file is up to date. */
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { configJsonSchema } from "../src/core/config-schema.ts";
import { describeError, exitCode, fromUnknown, SynapticError } from "../src/core/errors.ts";
import { configKeys } from "./docs-config.ts";
import { endpoints, errorCodes, metrics } from "./docs-http.ts";
import { run } from "./run.ts";
import { say } from "./say.ts";

const ROOT = dirname(import.meta.dir);
const REFERENCE = join(ROOT, "docs", "reference.md");

async function helpOf(words: readonly string[]): Promise<string> {
  const command = [process.execPath, join("src", "main.ts"), ...words, "--help"];
  const { exitCode: code, output } = await run(command, { cwd: ROOT, deadlineMs: 30_000 });
  if (code === 0) return output.trim();
  throw new SynapticError("internal", `Cannot read the help of \`${words.join(" ")}\`: ${output.trim()}`);
}

/** The program's own help, then that of each command which has options or commands of its own. */
async function commandLine(): Promise<string> {
  const root = await helpOf([]);
  const list = /^Commands:\n((?: .*\n?)+)/m.exec(root)?.[1] ?? "";
  const names = [...list.matchAll(/^ {2}([a-z]+)\b/gm)].map(([, name = ""]) => name).filter((name) => name !== "help");
  const helps = await Promise.all(names.map(async (name) => ownPart(await helpOf([name]))));
  return [root, ...helps.filter(tells)].map((help) => `\`\`\`\n${help}\n\`\`\``).join("\n\n");
}

/** Without the options that every command takes. */
function ownPart(help: string): string {
  return help.replace(/\nGlobal Options:\n(?: .*\n?)+/, "").trim();
}

/** Whether there is more to it than `-h`. */
function tells(help: string): boolean {
  const options = [...help.matchAll(/^ {2}-\S+/gm)];
  return options.length > 1 || help.includes("\nCommands:");
}

/** The whole of docs/reference.md. */
export async function renderReference(): Promise<string> {
  const sections = [
    "# Reference",
    "Generated from the code by `npm run docs`: do not edit.",
    "## Command line",
    "Options may stand before or after the command. The answer goes to stdout, the talk to stderr. Exit codes: 0 ok, 1 trouble found, 2 misuse or a wrong config.",
    await commandLine(),
    "## Configuration",
    "`synaptic config schema` prints the JSON Schema. Any value may come, in this order, from a flag, from the environment, from the key `synaptic`, from SynapticLlamas' keys, or from the default; `synaptic check` shows which it was.",
    configKeys(configJsonSchema()),
    "Environment: `SYNAPTIC_CONFIG`, `SYNAPTIC_HOST`, `SYNAPTIC_PORT`, `SYNAPTIC_PLACEMENT`, `SYNAPTIC_CONTEXT_SIZE`, `SYNAPTIC_OLLAMA_NODES` (addresses with commas), `SYNAPTIC_API_KEY` (the key to be asked with, kept out of files), and the older `RPC_BACKENDS`, `LLAMA_RPC_BACKENDS`, `OLLAMA_NODES`, `SOLLOL_CTX_SIZE`, `LLAMA_SERVER_PATH`, and `OLLAMA_HOST` and `OLLAMA_MODELS`, which Ollama reads too.",
    "## HTTP endpoints",
    "Keys are wanted only when some are configured; `admin` keys may do all that `use` keys may.",
    endpoints(),
    "## Errors",
    'In OpenAI\'s shape: `{"error": {"message", "type", "param", "code"}}`. Under `/api` in Ollama\'s: `{"error": "message"}`. What to do about each: [operating.md](operating.md).',
    errorCodes(),
    "## Metrics",
    await metrics(),
  ];
  return `${sections.join("\n\n")}\n`;
}

/** Whether docs/reference.md says what the code says. */
export async function isReferenceCurrent(): Promise<boolean> {
  return readFileSync(REFERENCE, "utf8") === (await renderReference());
}

async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--check")) {
    if (await isReferenceCurrent()) return 0;
    say("docs: docs/reference.md is out of date: run `npm run docs`");
    return 1;
  }
  writeFileSync(REFERENCE, await renderReference());
  say("docs: docs/reference.md written");
  return 0;
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (thrown) {
    const error = fromUnknown(thrown);
    say(`docs: ${describeError(error)}`);
    process.exitCode = exitCode(error);
  }
}
