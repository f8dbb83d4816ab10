/** The command line: which words mean which command. The command comes first; without one, `serve` runs. */
import { Command, CommanderError } from "commander";
import type { Config, ConfigFlags } from "../core/config-types.ts";
import { describeError, exitCode, fromUnknown, SynapticError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { checkCommand } from "./check.ts";
import { configSchemaCommand } from "./config.ts";
import { explainCommand } from "./explain.ts";
import type { Host } from "./host.ts";
import { loadCommand, unloadCommand } from "./load.ts";
import { backendsCommand, planCommand, statusCommand } from "./look.ts";
import { measureCommand } from "./measure.ts";
import { modelsCommand } from "./models.ts";
import { askNodes } from "./nodes.ts";
import { proveCommand } from "./prove.ts";
import { pullCommand } from "./pull.ts";
import { serveCommand } from "./serve.ts";

interface GlobalOptions extends ConfigFlags {
  readonly config?: string | true;
  readonly json?: boolean;
  readonly verbose?: boolean;
}

interface ProveFlags {
  readonly prompt: string;
  readonly maxTokens: number;
  readonly out?: string;
}

const EXAMPLES = `
Examples:
  synaptic                                 serve what ~/.synapticllamas.json describes
  synaptic --config cluster.json           serve what that file describes
  synaptic backends                        are all rpc-servers up, and what is free there?
  synaptic measure                         how fast is each of them?
  synaptic models                          what have I, and where would it run?
  synaptic plan my-model                   where would its layers go, and does it fit?
  synaptic explain my-model                pool or shards, and why?
  synaptic pull llama3.2:1b                fetch it to where it would run
  synaptic prove ./m.gguf --out proof.md   load it, let it speak, and prove the sharding`;

/** Runs the command that the arguments (without program names) ask for; returns the exit code. Never throws. */
export async function runProgram(host: Host, args: readonly string[]): Promise<number> {
  let code = 0;
  const program = createProgram(host, (result) => {
    code = result;
  });
  try {
    await program.parseAsync([...args], { from: "user" });
    return code;
  } catch (thrown) {
    // Commander has printed its own words already; its help and version end with 0.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2;
    if (host.stopping.aborted) return 130;
    const error = fromUnknown(thrown);
    host.talk(`${describeError(error)}\n`);
    return exitCode(error);
  }
}

function createProgram(given: Host, finish: (code: number) => void): Command {
  const program = createRoot(given);
  const options = () => program.opts<GlobalOptions>();
  const host: Host = {
    ...given,
    ports: (config, level) => given.ports(config, options().verbose ? "debug" : level),
  };
  const load = (serving: boolean): Promise<Config> => {
    const { config: path, json: _, verbose: __, ...flags } = options();
    return host.loadConfig({ path, flags, serving });
  };
  const look = async () => ({ config: await load(false), json: options().json ?? false });
  const command = (name: string, description: string) => program.command(name).description(description);

  command("serve", "serve (what happens without a command)").action(async () => {
    finish(await serveCommand(host, await load(true)));
  });
  command(
    "check",
    "check the configuration; print each value, where it came from, and whether the Ollama nodes answer",
  ).action(async () => {
    const config = await load(true);
    const nodes = await askNodes(host.ports(config, "error"), config, host.stopping);
    finish(checkCommand(config, { json: options().json ?? false, write: host.write, nodes }));
  });
  command("backends", "probe the RPC backends").action(async () => finish(await backendsCommand(host, await look())));
  command("status", "what a running synaptic does").action(async () => finish(await statusCommand(host, await look())));
  command("models", "all models: what they are, where they would run, and what is wrong with the others").action(
    async () => finish(await modelsCommand(host, await look())),
  );
  command("plan <model>", "which layers would go where, and the exact llama-server command").action(
    async (model: string) => finish(await planCommand(host, { ...(await look()), model })),
  );
  command("explain <model>", "where a request for it would go now, pool or shards, and why nowhere else").action(
    async (model: string) => finish(await explainCommand(host, { ...(await look()), model })),
  );
  command("pull <model>", "have Ollama fetch a model to where it would run").action(async (model: string) =>
    finish(await pullCommand(host, { ...(await look()), model })),
  );
  command("prove <model>", "load, stream, and prove where the layers lie")
    .option("--prompt <text>", "what to ask", "Please recite.")
    .option("--max-tokens <number>", "how much to hear", (text) => positive(text, "--max-tokens"), 128)
    .option("--out <file>", "also write the report there, in Markdown")
    .action(async (model: string, flags: ProveFlags) => {
      const { prompt, maxTokens, out } = flags;
      finish(await proveCommand(host, { ...(await look()), model, prompt, maxTokens, out }));
    });
  command("load <model>", "have a running synaptic load a model, and wait until it is ready").action(
    async (model: string) => finish(await loadCommand(host, { ...(await look()), model })),
  );
  command("unload <model>", "have it end a model, once the running answers have ended").action(async (model: string) =>
    finish(await unloadCommand(host, { ...(await look()), model })),
  );
  command("measure [endpoint...]", "time backends now (all, unless named), and keep how fast they are")
    .option("--head", "time the head node by itself as well")
    .action(async (endpoints: string[], { head = false }: { readonly head?: boolean }) =>
      finish(await measureCommand(host, { ...(await look()), endpoints, head })),
    );
  command("config", "about the configuration file")
    .command("schema")
    .description("print its JSON Schema")
    .action(() => finish(configSchemaCommand(host.write)));
  return program.allowExcessArguments().action(async () => {
    const [unknown] = program.args;
    if (unknown !== undefined) throw unknownCommand(unknown, program);
    finish(await serveCommand(host, await load(true)));
  });
}

/** The program with its options, which every command takes as well. */
function createRoot(host: Host): Command {
  return new Command("synaptic")
    .description("Turns the machines you own into one OpenAI-compatible endpoint")
    .usage("[command] [options]")
    .version(host.version, "--version", "print the version")
    .helpOption("-h, --help", "print this help; after a command, that command's")
    .helpCommand("help [command]", "print this help, or that of a command")
    .option("--config [file]", "configuration (default: ~/.synapticllamas.json)")
    .option("--host <address>", "listen, or find the running synaptic, there (default: 127.0.0.1)")
    .option("--port <number>", "listen, or find it, there (default: 11400; serving, 0 takes a free one)")
    .option("--placement <word>", "fewest, spread or pinned")
    .option("--context-size <tokens>", "context of the whole cache, shared by the slots")
    .option("--insecure", "listen beyond loopback without a key")
    .option("--json", "print the answer as one JSON value")
    .option("--verbose", "also print what llama-server logs")
    .addHelpText("after", ({ command }) => (command.parent ? "" : EXAMPLES))
    .configureHelp({ showGlobalOptions: true })
    .showSuggestionAfterError()
    .showHelpAfterError("(`synaptic --help` shows all commands)")
    .exitOverride()
    .configureOutput({ writeOut: (text) => host.write(text), writeErr: (text) => host.talk(text) });
}

function unknownCommand(word: string, { commands }: Command): SynapticError {
  const names = commands.map((command) => command.name());
  const meant = names.find((name) => name.startsWith(word)) ?? nearest(word, names);
  return new SynapticError("usage", `Unknown command: ${word}`, {
    hint: meant ? `did you mean \`synaptic ${meant}\`?` : "`synaptic --help` shows all commands",
  });
}

function positive(text: string, flag: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number > 0) return number;
  throw new SynapticError("usage", `Cannot use ${flag} ${text}: expected a whole number above 0`);
}
