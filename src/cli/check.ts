/** `synaptic check`: prints every value of the configuration and where it came from. */
import type { Config, ConfigBackend, ConfigNode, ModelSettings } from "../core/config-types.ts";
import type { NodeSnapshot } from "../core/snapshot.ts";
import { formatBytes, formatDuration } from "../core/units.ts";
import { renderNodes } from "./render.ts";

export interface CheckOptions {
  readonly json: boolean;
  readonly write: (text: string) => void;
  /** As they answered just now. */
  readonly nodes: readonly NodeSnapshot[];
}

/** Writes one line per value, then the nodes and the warnings; returns the exit code, 1 when a node does not answer. Keys
 *  and variables are named, never shown. */
export function checkCommand(config: Config, { json, write, nodes }: CheckOptions): number {
  const code = nodes.every(({ state }) => state === "up") ? 0 : 1;
  if (json) {
    write(`${JSON.stringify({ ...publicConfig(config), nodes }, null, 2)}\n`);
    return code;
  }
  const rows = configRows(config);
  const nameWidth = Math.max(...rows.map(([name]) => name.length));
  const valueWidth = Math.min(44, Math.max(...rows.map(([, value]) => value.length)));
  write(`Configuration: ${config.file ?? "none, defaults apply"}\n\n`);
  for (const [name, value, source] of rows) {
    write(`  ${name.padEnd(nameWidth)}  ${value.padEnd(valueWidth)}  ${source}\n`.replace(/ +\n$/, "\n"));
  }
  if (nodes.length > 0) write(`\n${renderNodes(nodes)}`);
  for (const warning of config.warnings) write(`${warning === config.warnings[0] ? "\n" : ""}warning: ${warning}\n`);
  return code;
}

/** All values under the names that `sources` has for them. */
function publicConfig(config: Config) {
  const { keys, apiKey, models, ...rest } = config;
  const settings = Object.entries(models.settings).map(([id, { env, ...shown }]) => [
    id,
    { ...shown, ...(env && { env: Object.keys(env) }) },
  ]);
  return {
    ...rest,
    models: { ...models, settings: Object.fromEntries(settings) },
    keys: keys.map(({ name, scopes }) => ({ name, scopes })),
    apiKey: apiKey === null ? null : "set, not shown",
  };
}

/** Name, value, source; the source is empty on the lines that belong to the one above. */
type Row = readonly [name: string, value: string, source: string];

function configRows(config: Config): readonly Row[] {
  const from = (name: string): string => shortSource(config, name);
  const idle = config.measure.idleMs;
  const plain = (name: string, value: string | number | boolean): Row => [name, String(value), from(name)];
  return [
    plain("listen.host", config.listen.host),
    plain("listen.port", config.listen.port),
    plain("sharding", config.sharding),
    plain("pool", config.pool),
    plain("backends", config.backends.length),
    ...config.backends.map((backend): Row => ["", describeBackend(backend), ""]),
    plain("placement", config.placement),
    plain("contextSize", config.contextSize ?? "min(trained, 32768)"),
    plain("parallel", config.parallel),
    plain("kvType", config.kvType),
    plain("preload", config.preload.join(", ") || "none"),
    ["keepAlive", describeKeepAlive(config.keepAliveMs), from("keepAlive")],
    ["swap.longestWait", formatDuration(config.swap.longestWaitMs), from("swap.longestWaitMs")],
    ["swap.leastResidency", formatDuration(config.swap.leastResidencyMs), from("swap.leastResidencyMs")],
    ...listRows("llamaServer", { items: config.llamaServer, none: "found by searching", source: from("llamaServer") }),
    ...listRows("models.dirs", { items: config.models.dirs, none: "none", source: from("models.dirs") }),
    ...listRows("models.files", {
      items: Object.entries(config.models.files).map(([id, path]) => `${id} = ${path}`),
      none: "none",
      source: from("models.files"),
    }),
    ...listRows("models.settings", {
      items: Object.entries(config.models.settings).map(([id, settings]) => describeSettings(id, settings)),
      none: "none",
      source: from("models.settings"),
    }),
    plain("ollama.modelsDir", config.ollama.modelsDir ?? "the usual places"),
    ...listRows("ollama.nodes", {
      items: config.ollama.nodes.map(describeNode),
      none: "none",
      source: from("ollama.nodes"),
    }),
    plain("ollama.unloadIdle", config.ollama.unloadIdle),
    ["silence", formatDuration(config.silenceMs), from("silenceMs")],
    ["hold", formatDuration(config.holdMs), from("holdMs")],
    plain("queue.perModel", config.queue.perModel),
    plain("queue.perKey", config.queue.perKey),
    ["queue.longestWait", formatDuration(config.queue.longestWaitMs), from("queue.longestWaitMs")],
    plain("limits.inFlight", config.limits.inFlight),
    ["resumeWithin", describeKeepAlive(config.resumeWithinMs), from("resumeWithin")],
    ["probe.interval", formatDuration(config.probe.intervalMs), from("probe.intervalMs")],
    ["probe.timeout", formatDuration(config.probe.timeoutMs), from("probe.timeoutMs")],
    plain("probe.failures", config.probe.failures),
    plain("probe.successes", config.probe.successes),
    ["measure.idle", idle === 0 ? "never by itself" : formatDuration(idle), from("measure.idleMs")],
    ...listRows("keys", {
      items: config.keys.map((key) => `${key.name} (${key.scopes.join(", ")})`),
      none: "none",
      source: from("keys"),
    }),
    ["apiKey", config.apiKey === null ? "none" : "set, not shown", from("apiKey")],
    plain("insecure", config.insecure),
  ];
}

function describeKeepAlive(ms: number): string {
  return ms === Number.POSITIVE_INFINITY ? "for ever" : formatDuration(ms);
}

interface ListedValue {
  readonly items: readonly string[];
  readonly none: string;
  readonly source: string;
}

function listRows(name: string, { items, none, source }: ListedValue): readonly Row[] {
  const [first = none, ...rest] = items;
  return [[name, first, source], ...rest.map((item): Row => ["", item, ""])];
}

/** The file's path stands in the first line already. */
function shortSource(config: Config, name: string): string {
  const source = config.sources[name] ?? "";
  return config.file !== null && source.startsWith(`${config.file}: `)
    ? `file: ${source.slice(config.file.length + 2)}`
    : source;
}

function describeBackend({ endpoint, maxMemoryBytes, layers, priority }: ConfigBackend): string {
  const extras = [
    maxMemoryBytes === undefined ? [] : `at most ${formatBytes(maxMemoryBytes)}`,
    layers === undefined ? [] : `${layers} layers`,
    priority === undefined ? [] : `priority ${priority}`,
  ].flat();
  return extras.length === 0 ? endpoint : `${endpoint} (${extras.join(", ")})`;
}

function describeNode({ url, implied, weight, priority, memoryBytes }: ConfigNode): string {
  const extras = [
    implied ? ["if it answers"] : [],
    weight === undefined ? [] : `weight ${weight}`,
    priority === undefined ? [] : `priority ${priority}`,
    memoryBytes === undefined ? [] : `memory ${formatBytes(memoryBytes)}`,
  ].flat();
  return extras.length === 0 ? url : `${url} (${extras.join(", ")})`;
}

function describeSettings(id: string, { env, args, keepAliveMs, sampling = {}, ...rest }: ModelSettings): string {
  const parts = [
    ...(keepAliveMs === undefined ? [] : [`keepAlive ${describeKeepAlive(keepAliveMs)}`]),
    ...Object.entries(sampling).map(([key, value]) => `${key} ${value}`),
    ...Object.entries(rest).map(([key, value]) => `${key} ${Array.isArray(value) ? value.join(", ") : String(value)}`),
    ...(args === undefined || args.length === 0 ? [] : [`args ${args.join(" ")}`]),
    ...(env === undefined || Object.keys(env).length === 0 ? [] : [`env ${Object.keys(env).join(", ")}`]),
  ];
  return `${id}: ${parts.join("; ") || "nothing set"}`;
}
