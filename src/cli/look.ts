/** Commands that only look: `backends`, `status`, `plan`. Beside a running synaptic they ask it and probe nothing. */
import { shellCommand } from "../core/argv.ts";
import type { Config } from "../core/config-types.ts";
import { SynapticError } from "../core/errors.ts";
import type { Plan } from "../core/plan-types.ts";
import type { Snapshot } from "../core/snapshot.ts";
import type { Ports } from "../engine/ports.ts";
import { Runtime } from "../engine/runtime.ts";
import { findRunning } from "./client.ts";
import type { Host } from "./host.ts";
import { idForServer, resolveModel } from "./model.ts";
import { renderBackends, renderPlan, renderStatus } from "./render.ts";

export interface LookOptions {
  readonly config: Config;
  readonly json: boolean;
}

/** Exit code 1 when a backend is not usable, or there is none. */
export async function backendsCommand(host: Host, { config, json }: LookOptions): Promise<number> {
  const { backends } = await look(host, config);
  host.write(json ? toJson(backends) : renderBackends(backends));
  return backends.length > 0 && backends.every(({ state }) => state === "up" || state === "leased") ? 0 : 1;
}

/** Needs a running synaptic. */
export async function statusCommand(host: Host, { config, json }: LookOptions): Promise<number> {
  const client = await findRunning(host.ports(config, "warn").http, config);
  if (!client) {
    throw new SynapticError("upstream_error", "Cannot show the status: no synaptic runs at the configured address", {
      hint: "start it with `synaptic serve`, or name its --host and --port",
    });
  }
  const snapshot = await client.status();
  host.write(json ? toJson(snapshot) : renderStatus(snapshot));
  return 0;
}

type PlanAnswer = Plan & { readonly command: readonly string[] };

/** Throws the refusal, with exit code 1, when the model cannot be placed. */
export async function planCommand(
  host: Host,
  { config, json, model }: LookOptions & { readonly model: string },
): Promise<number> {
  const plan = await planOf(host, config, model);
  if (json) host.write(toJson(plan));
  else {
    const notes = [...plan.reasons.map((reason) => `- ${reason}`), survival(plan)].join("\n");
    host.write(`${renderPlan(plan)}\n${notes}\n\n${shellCommand(plan.command)}\n`);
  }
  return 0;
}

function survival({ survives, backends }: Plan): string {
  if (backends.length === 0) return "- needs no backend";
  if (survives.length === 0) return "- survives the loss of none of its backends";
  return `- survives the loss of any one of: ${survives.join(", ")}`;
}

async function planOf(host: Host, given: Config, name: string): Promise<PlanAnswer> {
  // What is wrong with backends and engine stands in the plan's reasons, or in the refusal.
  const ports = host.ports(given, "error");
  const client = await findRunning(ports.http, given);
  if (client) {
    const id = idForServer(host, given, name, client);
    // Our own server's answer, rendered only.
    return (await client.get(`/synaptic/plan?model=${encodeURIComponent(id)}`)) as PlanAnswer;
  }
  const { config, model } = resolveModel(host, given, name);
  return await withRuntime(host, { config, ports }, async (runtime) => {
    const { result, command } = await runtime.plan(model, host.stopping);
    if (result.ok) return { ...result.plan, command };
    throw new SynapticError(result.refusal.code, result.refusal.message, { hint: result.refusal.hint });
  });
}

async function look(host: Host, config: Config): Promise<Snapshot> {
  const ports = host.ports(config, "warn");
  const client = await findRunning(ports.http, config);
  if (client) return await client.status();
  return await withRuntime(host, { config, ports }, async (runtime) => runtime.snapshot());
}

/** Works on a runtime of our own that has looked around once; it is closed in the end, or as soon as a signal comes. */
export async function withRuntime<T>(
  host: Host,
  { config, ports }: { readonly config: Config; readonly ports: Ports },
  work: (runtime: Runtime) => Promise<T>,
): Promise<T> {
  const { log } = host.ports(config, "warn");
  for (const warning of config.warnings) log.warn(warning);
  const runtime = new Runtime({ config, ports, version: host.version });
  const close = (): void => void runtime.close();
  host.stopping.addEventListener("abort", close, { once: true });
  try {
    await runtime.observe();
    host.stopping.throwIfAborted();
    return await work(runtime);
  } finally {
    host.stopping.removeEventListener("abort", close);
    await runtime.close();
  }
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
