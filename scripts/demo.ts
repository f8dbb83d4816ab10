/** The whole of it on one machine: binary, llama.cpp, a model, three backends, a streamed completion, and the proof. */
import { join, relative } from "node:path";
import { readAnswer } from "../src/cli/client.ts";
import { renderProof } from "../src/cli/render.ts";
import { describeError, exitCode, fromUnknown, SynapticError } from "../src/core/errors.ts";
import type { CoordinatorSnapshot } from "../src/core/snapshot.ts";
import { formatBytes, formatDuration } from "../src/core/units.ts";
import { build } from "./build.ts";
import { chatRequest, listenTo, type Speech } from "./demo-speech.ts";
import { findDemoProblems } from "./demo-verdict.ts";
import { ensureLlama } from "./llama.ts";
import { type LocalBackend, startBackends } from "./local-backends.ts";
import { type LocalSynaptic, startSynaptic } from "./local-synaptic.ts";
import { RECITATION } from "./recitation.ts";
import { writeRecitingModel } from "./recite.ts";
import { openSandbox, type Sandbox } from "./sandbox.ts";
import { say } from "./say.ts";
import { createWrapper } from "./wrap.ts";

const MODEL = "reciter";
const LAYERS = 24;
const BACKENDS = 3;
const PROMPT = "Please recite.";
const LOAD_DEADLINE_MS = 120_000;
const INDENT = "  ";

function print(text = ""): void {
  process.stdout.write(`${text}\n`);
}

/** One line per step, what it found beside its name. */
function step(name: string, found: string): void {
  print(`${INDENT}${name.padEnd(10)} ${found}`);
}

interface Scene {
  readonly backends: readonly LocalBackend[];
  readonly synaptic: LocalSynaptic;
  /** From now on the binary's own log is shown. */
  readonly showLog: () => void;
}

async function prepare(sandbox: Sandbox): Promise<Scene> {
  const started = performance.now();
  const built = await build();
  const took = formatDuration(performance.now() - started);
  step(
    "binary",
    `${relative(process.cwd(), built.path)} ${built.version}, ${formatBytes(built.bytes)}, built in ${took}`,
  );
  const llama = await ensureLlama({ log: (line) => step("", line), signal: sandbox.stopping });
  step("llama.cpp", llama.version);
  const model = join(sandbox.folder, `${MODEL}.gguf`);
  const bytes = await writeRecitingModel({ path: model, layers: LAYERS, type: "F16" });
  step(
    "model",
    `${LAYERS} layers, F16, ${formatBytes(bytes)}; it recites one text, right only if every layer computed`,
  );
  const backends = await startBackends(sandbox, llama.rpcServer, BACKENDS);
  step("backends", `${backends.map(({ endpoint }) => endpoint).join(", ")} (rpc-server)`);
  let shown = false;
  const synaptic = await startSynaptic(sandbox, {
    binary: built.path,
    llama,
    config: {
      rpc_backends: backends.map(({ port }) => ({ host: "127.0.0.1", port })),
      model_sharding_enabled: true,
      synaptic: { placement: "spread", contextSize: 2048, models: { files: { [MODEL]: model } } },
    },
    onLine: (line) => (shown && !sandbox.stopping.aborted ? say(line) : undefined),
  });
  step("synaptic", `${synaptic.url}/v1 after ${formatDuration(synaptic.listeningMs)}`);
  return {
    backends,
    synaptic,
    showLog() {
      shown = true;
    },
  };
}

async function load({ url, client }: LocalSynaptic, { stopping }: Sandbox): Promise<void> {
  const started = performance.now();
  const signal = AbortSignal.any([stopping, AbortSignal.timeout(LOAD_DEADLINE_MS)]);
  await readAnswer(url, await client.post("/synaptic/models/load", { model: MODEL }, signal));
  step("loaded", `over the three backends in ${formatDuration(performance.now() - started)}`);
}

async function recite({ url }: LocalSynaptic, { stopping }: Sandbox): Promise<Speech> {
  print(`\n> ${PROMPT}\n`);
  const wrapper = createWrapper(INDENT, 78);
  const speech = await listenTo({ url, model: MODEL, prompt: PROMPT, signal: stopping }, (words) => {
    process.stdout.write(wrapper(words));
  });
  print("\n");
  return speech;
}

function printProof(coordinator: CoordinatorSnapshot | undefined, speech: Speech, problems: readonly string[]): void {
  print("Where the layers lie: planned by synaptic / seen in llama-server's log\n");
  if (coordinator?.plan && coordinator.proof) {
    print(renderProof(coordinator.plan, coordinator.proof).replaceAll(/^(?=.)/gm, INDENT));
  }
  const rate = speech.tokensPerSecond === null ? "not measured" : `${speech.tokensPerSecond.toFixed(1)} tokens/s`;
  step("speed", `first word after ${formatDuration(speech.firstWordMs)}, then ${rate} (${speech.tokens} tokens)`);
  if (problems.length > 0) return;
  const { offloadedLayers = 0, totalLayers = 0, backends = [] } = coordinator?.proof ?? {};
  step("text", "exactly the known one, word for word");
  step("PROVEN", `${offloadedLayers} of ${totalLayers} layers computed on ${backends.length} backends, as planned`);
}

async function keepServing({ synaptic, showLog }: Scene, { stopping }: Sandbox): Promise<void> {
  showLog();
  print(`\nIt goes on serving; Ctrl-C ends it. In another terminal:\n`);
  const body = JSON.stringify(chatRequest(MODEL, PROMPT));
  print(`  curl -N ${synaptic.url}/v1/chat/completions -H 'content-type: application/json' -d '${body}'`);
  const stopped = new Promise<void>((resolve) => stopping.addEventListener("abort", () => resolve(), { once: true }));
  await Promise.race([stopped, synaptic.child.exited]);
  if (stopping.aborted) return print("\nstopping");
  throw new SynapticError("coordinator_failed", `synaptic ended by itself: ${synaptic.child.ending()}`);
}

/** @throws SynapticError when a step fails, or when the demo does not show what it claims. */
async function demo(sandbox: Sandbox, once: boolean): Promise<void> {
  print(`synaptic demo: one model over ${BACKENDS} backends, all on this machine\n`);
  const scene = await prepare(sandbox);
  await load(scene.synaptic, sandbox);
  const speech = await recite(scene.synaptic, sandbox);
  const snapshot = await scene.synaptic.client.status();
  const coordinator = snapshot.coordinators.find(({ model }) => model === MODEL);
  const endpoints = scene.backends.map(({ endpoint }) => endpoint);
  const problems = findDemoProblems({ coordinator, endpoints, text: speech.text, expected: RECITATION });
  printProof(coordinator, speech, problems);
  if (problems.length > 0) {
    throw new SynapticError("coordinator_failed", `NOT PROVEN: ${problems.join("; ")}`, {
      hint: scene.synaptic.child.lastLines().join("\n  "),
    });
  }
  if (!once) await keepServing(scene, sandbox);
}

function readArguments(args: readonly string[]): { readonly once: boolean } {
  const unknown = args.find((arg) => arg !== "--once");
  if (unknown === undefined) return { once: args.includes("--once") };
  throw new SynapticError("usage", `Cannot use ${unknown}`, { hint: "npm run demo [-- --once]" });
}

async function main(args: readonly string[]): Promise<number> {
  const { once } = readArguments(args);
  // Whoever read us has gone, such as `head`: the sandbox is emptied on every exit.
  process.stdout.on("error", () => process.exit(1));
  await using sandbox = openSandbox("synaptic-demo");
  try {
    await demo(sandbox, once);
    return 0;
  } catch (error) {
    // Ctrl-C on the way is no failure.
    if (sandbox.stopping.aborted) return 130;
    throw error;
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (thrown) {
  const error = fromUnknown(thrown);
  say(`\ndemo: ${describeError(error)}`);
  process.exitCode = exitCode(error);
}
