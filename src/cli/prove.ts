/** `synaptic prove MODEL`: plans, loads, streams a completion, and reports plan against proof with a plain verdict. */

import type { Config } from "../core/config-types.ts";
import { SynapticError } from "../core/errors.ts";
import type { CoordinatorSnapshot, Snapshot } from "../core/snapshot.ts";
import { createApp } from "../http/app.ts";
import { type Client, createClient, findRunning, readAnswer } from "./client.ts";
import type { Host } from "./host.ts";
import { listenTo } from "./listen.ts";
import { withRuntime } from "./look.ts";
import { idForServer, resolveModel, withOwnKey } from "./model.ts";
import { followLoad } from "./progress.ts";
import { renderReport } from "./report.ts";

export interface ProveOptions {
  readonly config: Config;
  /** As typed: an id, or the path of a GGUF file. */
  readonly model: string;
  readonly prompt: string;
  readonly maxTokens: number;
  readonly out: string | undefined;
  readonly json: boolean;
}

/** Exit code 1 when the sharding is not proven. */
export async function proveCommand(host: Host, options: ProveOptions): Promise<number> {
  const ports = host.ports(options.config, "info");
  const client = await findRunning(ports.http, options.config);
  if (!client) return await proveAlone(host, options);
  const model = idForServer(host, options.config, options.model, client);
  ports.log.info(`a synaptic runs at ${client.url}: it is asked to load ${model}`);
  const stop = followLoad(ports.clock, client, model, (words) => ports.log.info(words));
  try {
    return await proveThrough(host, client, { ...options, model });
  } finally {
    stop();
  }
}

/** Nobody serves: runs the same server on a port of its own, for the time of the proof. */
async function proveAlone(host: Host, options: ProveOptions): Promise<number> {
  const { config: asked, model } = resolveModel(host, options.config, options.model);
  const ports = host.ports(asked, "info");
  const config = withOwnKey(asked, ports.random.token());
  return await withRuntime(host, { config, ports }, async (runtime) => {
    const app = createApp(runtime);
    const listener = host.listen({ host: "127.0.0.1", port: 0, fetch: (request) => app.fetch(request) });
    try {
      const client = createClient(ports.http, listener.url, config.apiKey);
      return await proveThrough(host, client, { ...options, model });
    } finally {
      await listener.stop(0);
    }
  });
}

async function proveThrough(host: Host, client: Client, options: ProveOptions): Promise<number> {
  const loaded = await client.post("/synaptic/models/load", { model: options.model }, host.stopping);
  // Our own server's answer; an alias is told under the id that it stands for.
  const { model } = (await readAnswer(client.url, loaded)) as { readonly model: string };
  const speech = await listenTo(host, client, { ...options, model });
  const snapshot = await client.status();
  const coordinator = coordinatorOf(snapshot, model);
  const at = new Date(host.ports(options.config, "info").clock.now());
  const report = renderReport({ snapshot, coordinator, speech, at });
  if (options.json) host.write(`${JSON.stringify({ proven: report.proven, speech, ...coordinator }, null, 2)}\n`);
  else host.write(report.text);
  if (options.out) {
    await host.saveReport(options.out, report.text);
    host.talk(`Report written to ${options.out}\n`);
  }
  return report.proven ? 0 : 1;
}

function coordinatorOf(snapshot: Snapshot, model: string): CoordinatorSnapshot {
  const found = snapshot.coordinators.find((coordinator) => coordinator.model === model && coordinator.proof);
  if (found) return found;
  throw new SynapticError("coordinator_failed", `Cannot prove ${model}: its coordinator is gone`, {
    hint: "see `synaptic status`",
  });
}
