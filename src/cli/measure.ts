/** `synaptic measure`: times backends now, with a small model of our own, and keeps what came of it. */
import type { Config } from "../core/config-types.ts";
import { formatSpeed } from "../core/speed-book.ts";
import { MEASURE_HOLDER, type MeasureRow } from "../core/timing.ts";
import type { Clock } from "../engine/ports.ts";
import { type Client, findRunning, readAnswer } from "./client.ts";
import type { Host } from "./host.ts";
import { withRuntime } from "./look.ts";
import { table } from "./render.ts";

export interface MeasureOptions {
  readonly config: Config;
  /** As typed; none means all that are configured. */
  readonly endpoints: readonly string[];
  /** The head node by itself as well. */
  readonly head: boolean;
  readonly json: boolean;
}

/** Exit code 1 when one of them was not timed, or there was none. */
export async function measureCommand(host: Host, options: MeasureOptions): Promise<number> {
  const rows = await measure(host, options);
  host.write(options.json ? `${JSON.stringify(rows, null, 2)}\n` : renderMeasured(rows));
  return rows.length > 0 && rows.every(({ timing }) => timing !== null) ? 0 : 1;
}

async function measure(host: Host, { config, endpoints, head }: MeasureOptions): Promise<readonly MeasureRow[]> {
  const ports = host.ports(config, "info");
  const wish = { ...(endpoints.length > 0 && { endpoints }), head };
  const client = await findRunning(ports.http, config);
  if (!client) {
    return await withRuntime(host, { config, ports }, async (runtime) => await runtime.measure(wish, host.stopping));
  }
  ports.log.info(`a synaptic runs at ${client.url}: it is asked to measure`);
  const stop = follow(ports.clock, client, (endpoint) => ports.log.info(`measuring ${endpoint}`));
  try {
    const response = await client.post("/synaptic/measure", wish, host.stopping);
    // Our own server's answer, rendered only.
    return ((await readAnswer(client.url, response)) as { readonly measured: readonly MeasureRow[] }).measured;
  } finally {
    stop();
  }
}

const ASK_MS = 500;

/** Tells of each backend that the running server times, once, until what it returns is called. */
function follow(clock: Clock, client: Client, tell: (endpoint: string) => void): () => void {
  const told = new Set<string>();
  let stopped = false;
  let cancel = () => {};
  const ask = async (): Promise<void> => {
    const snapshot = await client.status().catch(() => null);
    if (stopped) return;
    for (const { endpoint, lease } of snapshot?.backends ?? []) {
      if (lease !== MEASURE_HOLDER || told.has(endpoint)) continue;
      told.add(endpoint);
      tell(endpoint);
    }
    cancel = clock.after(ASK_MS, () => void ask());
  };
  void ask();
  return () => {
    stopped = true;
    cancel();
  };
}

/** One line for each, with its speed or why it has none. */
export function renderMeasured(rows: readonly MeasureRow[]): string {
  if (rows.length === 0) return "No backends are configured (rpc_backends)\n";
  const cells = rows.map(({ endpoint, devices, timing, failure }) => [
    endpoint === "head" ? "head node" : endpoint,
    devices.join(", ") || "-",
    timing ? formatSpeed(timing.bytesPerSecond) : "-",
    timing ? timing.tokensPerSecond.toFixed(1) : "-",
    timing?.measuredAt ?? "-",
    timing?.build ?? "-",
    failure?.message ?? "",
  ]);
  return table(["BACKEND", "DEVICES", "SPEED", "TOKENS/S", "MEASURED", "LLAMA-SERVER", ""], cells);
}
