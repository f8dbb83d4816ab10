/** Commands that only look: `backends`, `status`, `plan`. Beside a running synaptic they ask it and probe nothing. */
import { shellCommand } from "../core/argv.ts";
import type { Config } from "../core/config-types.ts";
import { SynapticError } from "../core/errors.ts";
import type { Plan } from "../core/plan-types.ts";
import type { Snapshot } from "../core/snapshot.ts";
import { Runtime } from "../engine/runtime.ts";
import { findRunning } from "./client.ts";
import type { Host } from "./host.ts";
import { renderBackends, renderPlan, renderStatus } from "./render.ts";

export interface LookOptions {
  readonly config: Config;
  readonly json: boolean;
}

/** Exit code 1 when a backend is not usable. */
export async function backendsCommand(host: Host, { config, json }: LookOptions): Promise<number> {
  const { backends } = await look(host, config);
  host.write(json ? toJson(backends) : renderBackends(backends));
  return backends.every(({ state }) => state === "up" || state === "leased") ? 0 : 1;
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

async function planOf(host: Host, config: Config, model: string): Promise<PlanAnswer> {
  const ports = host.ports(config, "warn");
  const client = await findRunning(ports.http, config);
  // Our own server's answer, rendered only.
  if (client) return (await client.get(`/synaptic/plan?model=${encodeURIComponent(model)}`)) as PlanAnswer;
  const runtime = new Runtime({ config: withModel(config, model), ports, version: host.version });
  try {
    await runtime.observe();
    const { result, command } = await runtime.plan(model, host.stopping);
    if (result.ok) return { ...result.plan, command };
    throw new SynapticError(result.refusal.code, result.refusal.message, { hint: result.refusal.hint });
  } finally {
    await runtime.close();
  }
}

/** A model given as the path of a GGUF file need not be in the config: on the command line it is the user's own word. */
export function withModel(config: Config, model: string): Config {
  return model.toLowerCase().endsWith(".gguf") ? Object.assign(Object.create(config), { preload: model }) : config;
}

async function look(host: Host, config: Config): Promise<Snapshot> {
  const ports = host.ports(config, "warn");
  const client = await findRunning(ports.http, config);
  if (client) return await client.status();
  const runtime = new Runtime({ config, ports, version: host.version });
  try {
    await runtime.observe();
    return runtime.snapshot();
  } finally {
    await runtime.close();
  }
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
