/** Plan to llama-server arguments and environment. Pure. Flags: facts/llamacpp.md sections f and h. */
import { embeddingArgs } from "./embedding.ts";
import type { Plan } from "./plan-types.ts";

/** Seconds between llama-server's own SSE comments while a prompt is processed (clients: facts/clients.md 1b). */
const SSE_PING_S = 15;

/** Each stream holds one for its whole life, and `/slots` needs one to answer meanwhile; 0.7.0 takes 8 of its own. */
const HTTP_THREADS = 64;

/** Every flag that the bytes depend on is given: `--fit` or an `auto` would decide otherwise without a word. */
export function coordinatorArgs(plan: Plan, port: number | string): readonly string[] {
  const endpoints = plan.backends.map(({ endpoint }) => endpoint);
  const split = [
    ...plan.backends.flatMap(({ devices }) => devices.map(({ layers }) => layers)),
    ...plan.head.devices.map(({ layers }) => layers),
  ];
  return [
    ...["--model", plan.path, "--alias", plan.model],
    // Images are never encoded over RPC (llama.cpp#14236).
    ...(plan.projector === null ? [] : ["--mmproj", plan.projector, "--no-mmproj-offload"]),
    ...draftArgs(plan),
    ...(plan.adapters.length > 0 ? ["--lora", plan.adapters.join(",")] : []),
    ...(endpoints.length > 0 ? ["--rpc", endpoints.join(",")] : []),
    ...["--gpu-layers", String(plan.offloadedLayers), "--split-mode", "layer"],
    ...(split.length > 0 ? ["--tensor-split", split.join(",")] : []),
    ...["--ctx-size", String(plan.contextSize), "--parallel", String(plan.parallel), "--kv-unified"],
    ...["--flash-attn", plan.flashAttention ? "on" : "off"],
    ...["--batch-size", String(plan.batchSize), "--ubatch-size", String(plan.microBatchSize)],
    ...["--cache-type-k", plan.kvType, "--cache-type-v", plan.kvType],
    ...["--fit", "off", "--no-warmup", "--offline", "--log-verbosity", "4", "--log-colors", "off"],
    ...[
      "--sse-ping-interval",
      String(SSE_PING_S),
      "--threads-http",
      String(HTTP_THREADS),
      "--host",
      "127.0.0.1",
      "--port",
      String(port),
    ],
    ...promptCache(plan),
    ...embeddingArgs(plan.pooling, plan.extraArgs),
    ...plan.extraArgs,
  ];
}

/** Left to itself llama-server would spread the draft over the backends; it drafts only when told the type. */
function draftArgs({ draft, extraArgs }: Plan): readonly string[] {
  if (draft === null) return [];
  const typed = extraArgs.some((arg) => arg.startsWith("--spec-type"));
  return [
    ...["--model-draft", draft, ...(typed ? [] : ["--spec-type", "draft-simple"])],
    ...["--device-draft", "none", "--gpu-layers-draft", "0"],
    ...["--cache-type-k-draft", "f16", "--cache-type-v-draft", "f16"],
  ];
}

/** Saving a prompt to the host's cache aborts coordinators over RPC (llama.cpp#26529, closed without a fix), so it is
 *  off unless the owner asks for it. */
function promptCache({ backends, extraArgs }: Plan): readonly string[] {
  const asked = extraArgs.some((arg) => arg.startsWith("--cache-ram") || arg.startsWith("-cram"));
  return backends.length > 0 && !asked ? ["--cache-ram", "0"] : [];
}

/** Makes llama-server behave as its own router's child: it reports load progress on stdout, and it ends by itself, even
 *  with a hung backend, when its stdin is closed, which the kernel does when we die (measured with 0.7.0). */
const CHILD_MODE = "LLAMA_SERVER_ROUTER_PORT";

/** The parent's environment without what would override the plan (`LLAMA_ARG_*`) or log tensors (`GGML_RPC_DEBUG`, on
 *  even when empty), plus the key, which stays out of the arguments so that `ps` does not show it. An abort
 *  prints its cause either way; its backtrace by gdb would only hold up the exit. */
export function coordinatorEnv(
  inherited: Readonly<Record<string, string | undefined>>,
  apiKey: string,
  extra: Readonly<Record<string, string>>,
): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(inherited)) {
    const overrides = name.startsWith("LLAMA_ARG_") || name === "GGML_RPC_DEBUG" || name.startsWith("SYNAPTIC_");
    if (value !== undefined && !overrides) env[name] = value;
  }
  return { ...env, ...extra, LLAMA_API_KEY: apiKey, [CHILD_MODE]: "1", GGML_NO_BACKTRACE: "1" };
}

/** The command as a person would type it in a shell. */
export function shellCommand(command: readonly string[]): string {
  return command.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
}
