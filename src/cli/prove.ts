/** `synaptic prove MODEL`: plans, loads, streams a completion, and reports plan against proof with a plain verdict. */
import type { Config } from "../core/config-types.ts";
import { SynapticError } from "../core/errors.ts";
import type { CoordinatorSnapshot, Snapshot } from "../core/snapshot.ts";
import { createSseReader } from "../core/sse.ts";
import { Runtime } from "../engine/runtime.ts";
import { createApp } from "../http/app.ts";
import { type Client, createClient, findRunning, readAnswer } from "./client.ts";
import type { Host } from "./host.ts";
import { withModel } from "./look.ts";
import { renderReport, type Speech } from "./report.ts";

export interface ProveOptions {
  readonly config: Config;
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
  return client ? await proveThrough(host, client, options) : await proveAlone(host, options);
}

/** Nobody serves: runs the same server on a port of its own, for the time of the proof. */
async function proveAlone(host: Host, options: ProveOptions): Promise<number> {
  const config = withModel(options.config, options.model);
  const ports = host.ports(config, "info");
  const runtime = new Runtime({ config, ports, version: host.version });
  const app = createApp(runtime);
  const listener = host.listen({ host: "127.0.0.1", port: 0, fetch: (request) => app.fetch(request) });
  try {
    await runtime.observe();
    return await proveThrough(host, createClient(ports.http, listener.url, config.apiKey), options);
  } finally {
    const stopped = listener.stop(0);
    await runtime.close();
    await stopped;
  }
}

async function proveThrough(host: Host, client: Client, options: ProveOptions): Promise<number> {
  await readAnswer(client.url, await client.post("/synaptic/models/load", { model: options.model }, host.stopping));
  const speech = await listenTo(host, client, options);
  const snapshot = await client.status();
  const coordinator = coordinatorOf(snapshot, speech.model);
  const report = renderReport({ snapshot, coordinator, speech });
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

/** Streams one completion to the terminal (stderr, so that stdout is the report) and measures it. */
async function listenTo(host: Host, client: Client, { model, prompt, maxTokens }: ProveOptions): Promise<Speech> {
  const body = {
    model,
    messages: [{ role: "user", content: prompt }],
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: maxTokens,
    temperature: 0,
  };
  const response = await client.post("/v1/chat/completions", body, host.stopping);
  if (!response.ok || !response.body) await readAnswer(client.url, response);
  const read = createSseReader();
  const decoder = new TextDecoder();
  let speech: Speech = { model, text: "", promptPerSecond: null, tokensPerSecond: null };
  for await (const bytes of response.body ?? []) {
    for (const event of read(decoder.decode(bytes, { stream: true }))) {
      const next = take(speech, event);
      host.talk(next.text.slice(speech.text.length));
      speech = next;
    }
  }
  host.talk("\n");
  return speech;
}

interface Chunk {
  readonly model?: string;
  readonly choices?: readonly { readonly delta?: { readonly content?: string | null } }[];
  readonly timings?: { readonly prompt_per_second?: number; readonly predicted_per_second?: number };
  readonly error?: { readonly message?: string };
}

function take(speech: Speech, event: string): Speech {
  if (event === "[DONE]") return speech;
  // llama-server's chunk: every field is optional here, and a missing one only leaves a gap in the report.
  const chunk = JSON.parse(event) as Chunk;
  if (chunk.error) throw new SynapticError("upstream_error", chunk.error.message ?? "The stream failed");
  return {
    model: chunk.model ?? speech.model,
    text: speech.text + (chunk.choices?.[0]?.delta?.content ?? ""),
    promptPerSecond: chunk.timings?.prompt_per_second ?? speech.promptPerSecond,
    tokensPerSecond: chunk.timings?.predicted_per_second ?? speech.tokensPerSecond,
  };
}
