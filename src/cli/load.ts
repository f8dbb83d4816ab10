/** `synaptic load MODEL` and `synaptic unload MODEL`: what a running synaptic is to hold ready, or to let go of. */
import type { Config } from "../core/config-types.ts";
import { SynapticError } from "../core/errors.ts";
import type { CoordinatorSnapshot } from "../core/snapshot.ts";
import { type Client, findRunning, readAnswer } from "./client.ts";
import type { Host } from "./host.ts";
import { idForServer } from "./model.ts";
import { followLoad } from "./progress.ts";

export interface LoadOptions {
  readonly config: Config;
  /** As typed: an id, an alias, or the path of a GGUF file that the config names. */
  readonly model: string;
  readonly json: boolean;
}

/** Returns once the model is ready to answer. When it is ended before, the load goes on. */
export async function loadCommand(host: Host, { config, model: name, json }: LoadOptions): Promise<number> {
  const { client, id } = await ask(host, config, name, "load");
  const ports = host.ports(config, "info");
  const stop = followLoad(ports.clock, client, id, (words) => ports.log.info(words));
  const model = await post(host, client, "load", id).finally(stop);
  const { coordinators } = await client.status();
  const loaded = coordinators.find((coordinator) => coordinator.model === model);
  if (json) host.write(`${JSON.stringify(loaded ?? { model, state: "ready" }, null, 2)}\n`);
  else host.write(`${model} is loaded${loaded ? where(loaded) : ""}\n`);
  return 0;
}

/** Returns once its coordinator has ended; requests that run may end first. */
export async function unloadCommand(host: Host, { config, model: name, json }: LoadOptions): Promise<number> {
  const { client, id } = await ask(host, config, name, "unload");
  const model = await post(host, client, "unload", id);
  host.write(json ? `${JSON.stringify({ model, state: "idle" }, null, 2)}\n` : `${model} is unloaded\n`);
  return 0;
}

async function ask(host: Host, config: Config, name: string, verb: string) {
  const client = await findRunning(host.ports(config, "warn").http, config);
  if (client) return { client, id: idForServer(host, config, name, client) };
  throw new SynapticError("upstream_error", `Cannot ${verb} ${name}: no synaptic runs at the configured address`, {
    hint: "start it with `synaptic serve`, or name its --host and --port",
  });
}

/** The id of the model, which may have been asked for by another of its names. */
async function post(host: Host, client: Client, verb: "load" | "unload", id: string): Promise<string> {
  const response = await client.post(`/synaptic/models/${verb}`, { model: id }, host.stopping);
  // Our own server's answer.
  const { model } = (await readAnswer(client.url, response)) as { readonly model: string };
  return model;
}

function where({ plan }: CoordinatorSnapshot): string {
  if (!plan) return "";
  const shares = plan.backends.map(({ endpoint, layers }) => `${layers} on ${endpoint}`);
  return shares.length > 0
    ? `: ${plan.offloadedLayers} of ${plan.totalLayers} layers, ${shares.join(", ")}`
    : ": on the head node alone";
}
