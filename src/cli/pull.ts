/** `synaptic pull MODEL`: has Ollama fetch a model to where it would run, and tells how far it is. */
import type { Config } from "../core/config-types.ts";
import { SynapticError } from "../core/errors.ts";
import { isObject, readJson } from "../core/translate/json.ts";
import { createLineReader } from "../core/translate/line-reader.ts";
import { formatBytes } from "../core/units.ts";
import { createApp } from "../http/app.ts";
import { findRunning, readAnswer } from "./client.ts";
import type { Host } from "./host.ts";
import { withRuntime } from "./look.ts";
import { withOwnKey } from "./model.ts";

export interface PullOptions {
  readonly config: Config;
  readonly model: string;
  readonly json: boolean;
}

/** Returns once the model is there. When it is ended before, Ollama keeps what it has and goes on with it next time. */
export async function pullCommand(host: Host, { config, model, json }: PullOptions): Promise<number> {
  const ports = host.ports(config, "warn");
  const client = await findRunning(ports.http, config);
  const body = { model, stream: true };
  if (client) {
    const response = await client.post("/api/pull", body, host.stopping);
    return await tell(host, { response, url: client.url, model, json });
  }
  const own = withOwnKey(config, ports.random.token());
  return await withRuntime(host, { config: own, ports }, async (runtime) => {
    const headers = { "content-type": "application/json", authorization: `Bearer ${own.apiKey}` };
    const request = { method: "POST", headers, body: JSON.stringify(body), signal: host.stopping };
    const response = await createApp(runtime).request("/api/pull", request);
    return await tell(host, { response, url: "Ollama", model, json });
  });
}

interface Pulling {
  readonly response: Response;
  readonly url: string;
  readonly model: string;
  readonly json: boolean;
}

async function tell(host: Host, { response, url, model, json }: Pulling): Promise<number> {
  if (!response.ok) await readAnswer(url, response);
  const where = response.headers.get("x-synaptic-reason") ?? url;
  host.talk(`pulling ${model} to ${where}\n`);
  const node = where.replace(/: .*$/s, "");
  await follow(response, (words) => host.talk(`${words}\n`));
  host.write(json ? `${JSON.stringify({ model, node }, null, 2)}\n` : `${model} is on ${node}\n`);
  return 0;
}

/** Tells each status once, and of a download each tenth. @throws SynapticError with the words of a failure. */
async function follow(response: Response, say: (words: string) => void): Promise<void> {
  const reader = createLineReader();
  let last = "";
  const take = (line: string): void => {
    const value = readJson(line);
    if (!isObject(value)) return;
    if (typeof value.error === "string") throw new SynapticError("upstream_error", value.error);
    const words = wordsOf(value);
    if (words !== last) say(words);
    last = words;
  };
  for await (const bytes of response.body ?? []) reader.push(bytes).lines.forEach(take);
  take(reader.rest());
}

function wordsOf({ status, total, completed = 0 }: { status?: unknown; total?: unknown; completed?: unknown }): string {
  const words = String(status);
  if (typeof total !== "number" || typeof completed !== "number" || total <= 0) return words;
  return `${words}: ${Math.floor((completed / total) * 10) * 10} % of ${formatBytes(total)}`;
}
