/** Which backends there are, from the first source that names any, and what `synaptic.backends` says about each. Pure. */
import { isDummyBackend } from "./config-legacy.ts";
import type { ConfigFile } from "./config-schema.ts";
import type { SynapticFile } from "./config-schema-own.ts";
import {
  type Candidate,
  type ConfigInput,
  choose,
  fileCandidate,
  fromEnvironment,
  type Ledger,
} from "./config-sources.ts";
import type { ConfigBackend } from "./config-types.ts";
import { DEFAULT_RPC_PORT, readEndpoint } from "./config-words.ts";
import { nearest } from "./nearest.ts";
import { type Endpoint, formatEndpoint, parseBytes } from "./units.ts";

type BackendExtras = NonNullable<SynapticFile["backends"]>[number];

/** A backend with the place that named it, for messages. */
interface Named {
  readonly host: string;
  readonly port: number;
  readonly source: string | null;
  readonly key: string;
}

export interface BackendContext {
  readonly input: ConfigInput;
  readonly file: ConfigFile;
  /** Indexes in rpc_backends that hold SynapticLlamas' placeholder. */
  readonly dummies: ReadonlySet<number>;
}

/** All backends in use; problems and lines go to the ledger. */
export function resolveBackends(ledger: Ledger, context: BackendContext): readonly ConfigBackend[] {
  const extras = readExtras(ledger, context.file.synaptic?.backends ?? []);
  const listed = choose<readonly Named[]>(ledger, {
    name: "backends",
    from: candidates(ledger, context, extras),
    fallback: [],
  });
  const named = withoutRepeats(ledger, listed);
  warnOfStrangers(ledger, named, extras);
  return named.flatMap((backend) => {
    const about = extras.get(identity(backend))?.about;
    return about?.exclude ? [] : [describeBackend(backend, about)];
  });
}

/** Whether `rpc_backends.conf` beside the file counts: SynapticLlamas always writes the key, so an empty list is as none. */
export function wantsSideFile(file: unknown): boolean {
  if (typeof file !== "object" || file === null || !("rpc_backends" in file)) return true;
  return Array.isArray(file.rpc_backends) && file.rpc_backends.every(isDummyBackend);
}

function candidates(ledger: Ledger, context: BackendContext, extras: Extras): readonly Candidate<readonly Named[]>[] {
  const { input, file, dummies } = context;
  const variable = fromEnvironment(input.env, ["RPC_BACKENDS", "LLAMA_RPC_BACKENDS"]);
  const theirs = (file.rpc_backends ?? []).flatMap(({ host, port = DEFAULT_RPC_PORT }, index) =>
    dummies.has(index) ? [] : [{ host, port, source: null, key: `rpc_backends[${index}]` }],
  );
  const ours = [...extras.values()].map(({ backend }) => backend);
  const conf = input.sideFiles.rpcBackendsConf;
  return [
    {
      source: variable.name,
      read: () => (variable.text === undefined ? undefined : readVariable(ledger, variable.name, variable.text)),
    },
    fileCandidate(input, ["rpc_backends"], theirs.length > 0 ? theirs : undefined),
    fileCandidate(input, ["synaptic", "backends"], ours.length > 0 ? ours : undefined),
    { source: conf?.path ?? "", read: () => (conf ? readConf(ledger, conf) : undefined) },
    fileCandidate(input, ["rpc_backends"], file.rpc_backends ? [] : undefined),
  ];
}

function readVariable(ledger: Ledger, name: string, text: string): readonly Named[] {
  const parts = text.split(",").map((part) => part.trim());
  return parts.flatMap((part, index) =>
    part === ""
      ? []
      : readNamed(ledger, { source: name, key: parts.length > 1 ? `entry ${index + 1}` : "", text: part }),
  );
}

/** `rpc_backends.conf`: one `host:port` per line, `#` starts a comment. */
function readConf(
  ledger: Ledger,
  { path, text }: { readonly path: string; readonly text: string },
): readonly Named[] | undefined {
  const found = text.split(/\r\n|\r|\n/).flatMap((line, index) => {
    const content = line.replace(/#.*/, "").trim();
    return content === "" ? [] : readNamed(ledger, { source: path, key: `line ${index + 1}`, text: content });
  });
  return found.length > 0 ? found : undefined;
}

interface TextPlace {
  readonly source: string | null;
  readonly key: string;
  readonly text: string;
}

function readNamed(ledger: Ledger, { source, key, text }: TextPlace): readonly Named[] {
  const read = readEndpoint(text);
  if (read.ok) return [{ host: read.host, port: read.port, source, key }];
  const hint = read.hint === undefined ? {} : { hint: read.hint };
  ledger.problems.push({ source, key, expected: read.expected, found: JSON.stringify(text.slice(0, 60)), ...hint });
  return [];
}

/** The same backend however it is written: host names ignore case, and localhost is this machine. */
function identity({ host, port }: { readonly host: string; readonly port: number }): Endpoint {
  const name = host.toLowerCase();
  return formatEndpoint(name === "localhost" ? "127.0.0.1" : name, port);
}

function withoutRepeats(ledger: Ledger, listed: readonly Named[]): readonly Named[] {
  const first = new Map<Endpoint, Named>();
  for (const backend of listed) {
    const earlier = first.get(identity(backend));
    if (earlier) reportRepeat(ledger, backend, earlier);
    else first.set(identity(backend), backend);
  }
  return [...first.values()];
}

function reportRepeat(ledger: Ledger, repeat: Named, earlier: Named): void {
  ledger.problems.push({
    source: repeat.source,
    key: repeat.key,
    expected: "each backend once",
    found: `${formatEndpoint(repeat.host, repeat.port)} again${earlier.key ? `, first at ${earlier.key}` : ""}`,
    hint: "an rpc-server serves one connection: remove the repeated entry",
  });
}

type Extras = ReadonlyMap<Endpoint, { readonly backend: Named; readonly about: BackendExtras }>;

function readExtras(ledger: Ledger, list: readonly BackendExtras[]): Extras {
  const extras = new Map<Endpoint, { backend: Named; about: BackendExtras }>();
  for (const [index, about] of list.entries()) {
    const key = `synaptic.backends[${index}]`;
    const [backend] = readNamed(ledger, { source: null, key: `${key}.endpoint`, text: about.endpoint });
    if (!backend) continue;
    const earlier = extras.get(identity(backend));
    if (earlier) reportRepeat(ledger, { ...backend, key }, earlier.backend);
    else extras.set(identity(backend), { backend: { ...backend, key }, about });
    if (typeof about.maxMemory === "string" && !parseBytes(about.maxMemory)) {
      const expected = 'a size above 0, such as "12GiB"';
      ledger.problems.push({ source: null, key: `${key}.maxMemory`, expected, found: JSON.stringify(about.maxMemory) });
    }
  }
  return extras;
}

/** A line, not a refusal: SynapticLlamas itself removes backends from the file (localhost ones at every start). */
function warnOfStrangers(ledger: Ledger, named: readonly Named[], extras: Extras): void {
  const known = new Set(named.map(identity));
  for (const [id, { backend }] of extras) {
    if (known.has(id)) continue;
    const suggestion = nearest(id, known);
    const advice = suggestion === null ? "" : ` (did you mean ${suggestion}?)`;
    const endpoint = formatEndpoint(backend.host, backend.port);
    ledger.warnings.push(`${backend.key} has no effect: ${endpoint} is not among the backends${advice}`);
  }
}

function describeBackend({ host, port }: Named, about: BackendExtras | undefined): ConfigBackend {
  const { maxMemory, layers, priority, ownDevice } = about ?? {};
  const maxMemoryBytes = typeof maxMemory === "string" ? parseBytes(maxMemory) : maxMemory;
  return {
    endpoint: formatEndpoint(host, port),
    host,
    port,
    ...(typeof maxMemoryBytes === "number" ? { maxMemoryBytes } : {}),
    ...(layers === undefined ? {} : { layers }),
    ...(priority === undefined ? {} : { priority }),
    ...(ownDevice === undefined ? {} : { ownDevice }),
  };
}
