/** The single values of a configuration, each from the first source that has it. Pure. */
import { z } from "zod";
import { foldersOf, resolvePath } from "./config-models.ts";
import { formatPath, NOT_SHOWN } from "./config-problems.ts";
import type { ConfigFile } from "./config-schema.ts";
import { contextSchema, placementSchema, type SynapticFile } from "./config-schema-own.ts";
import {
  type ConfigInput,
  choose,
  fileCandidate,
  fromEnvironment,
  type Ledger,
  textCandidate,
} from "./config-sources.ts";
import type { Config, ConfigKey, MeasureConfig, ProbeConfig } from "./config-types.ts";
import { listenHostSchema } from "./config-words.ts";

/** What every resolver reads: the input and the file's own part, already held to the schema. */
export interface ValueContext {
  readonly input: ConfigInput;
  readonly file: ConfigFile;
  readonly own: SynapticFile;
}

/** A value that only the key `synaptic` sets. */
export function ownValue<T>(
  ledger: Ledger,
  { input }: ValueContext,
  { path, value, fallback }: { readonly path: readonly string[]; readonly value: T | undefined; readonly fallback: T },
): T {
  return choose(ledger, { name: path.join("."), from: [fileCandidate(input, ["synaptic", ...path], value)], fallback });
}

/** On the command line 0 asks for any free port; in a file it would name no place to reach. */
const flagPortExpected = "a port from 1 to 65535, or 0 for any free one";
const flagPortSchema = z
  .int({ error: flagPortExpected })
  .min(0, { error: flagPortExpected })
  .max(65_535, { error: flagPortExpected });

export function resolveListen(ledger: Ledger, { input, own }: ValueContext): Config["listen"] {
  const { flags, env } = input;
  const host = choose<string>(ledger, {
    name: "listen.host",
    from: [
      textCandidate(ledger, { name: "--host", text: flags.host }, listenHostSchema),
      textCandidate(ledger, fromEnvironment(env, ["SYNAPTIC_HOST"]), listenHostSchema),
      fileCandidate(input, ["synaptic", "listen", "host"], own.listen?.host),
    ],
    fallback: "127.0.0.1",
  });
  const port = choose<number>(ledger, {
    name: "listen.port",
    from: [
      textCandidate(ledger, { name: "--port", text: flags.port }, flagPortSchema),
      textCandidate(ledger, fromEnvironment(env, ["SYNAPTIC_PORT"]), flagPortSchema),
      fileCandidate(input, ["synaptic", "listen", "port"], own.listen?.port),
    ],
    fallback: 11_400,
  });
  const hosts = own.listen?.hosts?.map((name) => name.toLowerCase()) ?? [];
  return { host, port, ...(hosts.length > 0 && { hosts }) };
}

export interface ContextSetting {
  readonly contextSize: number | null;
  /** A flag or a variable set it: then it counts before the models' own settings too. */
  readonly forced: boolean;
}

export function resolveContext(ledger: Ledger, { input, own }: ValueContext): ContextSetting {
  const { flags, env } = input;
  const contextSize = choose<number | null>(ledger, {
    name: "contextSize",
    from: [
      textCandidate(ledger, { name: "--context-size", text: flags.contextSize }, contextSchema),
      textCandidate(ledger, fromEnvironment(env, ["SYNAPTIC_CONTEXT_SIZE", "SOLLOL_CTX_SIZE"]), contextSchema),
      fileCandidate(input, ["synaptic", "contextSize"], own.contextSize),
    ],
    fallback: null,
  });
  const variables = [env.SYNAPTIC_CONTEXT_SIZE, env.SOLLOL_CTX_SIZE];
  return { contextSize, forced: Boolean(flags.contextSize ?? variables.find(Boolean)) };
}

export function resolvePlacement(ledger: Ledger, { input, own }: ValueContext): Config["placement"] {
  return choose(ledger, {
    name: "placement",
    from: [
      textCandidate(ledger, { name: "--placement", text: input.flags.placement }, placementSchema),
      textCandidate(ledger, fromEnvironment(input.env, ["SYNAPTIC_PLACEMENT"]), placementSchema),
      fileCandidate(input, ["synaptic", "placement"], own.placement),
    ],
    fallback: "fewest",
  });
}

export function resolveProbe(ledger: Ledger, context: ValueContext): ProbeConfig {
  const probe = context.own.probe ?? {};
  return {
    intervalMs: ownValue(ledger, context, { path: ["probe", "intervalMs"], value: probe.intervalMs, fallback: 5000 }),
    failures: ownValue(ledger, context, { path: ["probe", "failures"], value: probe.failures, fallback: 3 }),
    successes: ownValue(ledger, context, { path: ["probe", "successes"], value: probe.successes, fallback: 2 }),
    timeoutMs: ownValue(ledger, context, { path: ["probe", "timeoutMs"], value: probe.timeoutMs, fallback: 2000 }),
  };
}

export function resolveMeasure(ledger: Ledger, context: ValueContext): MeasureConfig {
  const { idleMs } = context.own.measure ?? {};
  return { idleMs: ownValue(ledger, context, { path: ["measure", "idleMs"], value: idleMs, fallback: 60_000 }) };
}

/** Values with one source beside the default. */
export function resolvePlain(
  ledger: Ledger,
  context: ValueContext,
): Pick<Config, "silenceMs" | "llamaServer" | "parallel" | "kvType" | "holdMs" | "insecure"> {
  const { input, file, own } = context;
  const servers = typeof own.llamaServer === "string" ? [own.llamaServer] : own.llamaServer;
  const seconds = choose(ledger, {
    name: "silenceMs",
    from: [fileCandidate(input, ["agent_timeout"], file.agent_timeout)],
    fallback: 300,
  });
  return {
    silenceMs: Math.ceil(seconds * 1000),
    llamaServer: ownValue(ledger, context, {
      path: ["llamaServer"],
      value: servers?.map((path) => resolvePath(path, foldersOf(input))),
      fallback: [],
    }),
    parallel: ownValue(ledger, context, { path: ["parallel"], value: own.parallel, fallback: 4 }),
    kvType: ownValue(ledger, context, { path: ["kvType"], value: own.kvType, fallback: "f16" }),
    holdMs: ownValue(ledger, context, { path: ["holdMs"], value: own.holdMs, fallback: 50_000 }),
    insecure: choose(ledger, {
      name: "insecure",
      from: [{ source: "--insecure", read: () => input.flags.insecure || undefined }],
      fallback: false,
    }),
  };
}

/** Ollama's store: OLLAMA_MODELS, where quotes and blanks around the path do not count, as Ollama reads it. */
export function resolveModelsDir(ledger: Ledger, { input, own }: ValueContext): string | null {
  const name = "OLLAMA_MODELS";
  const given = input.env[name]?.replace(/^[\s"']+|[\s"']+$/g, "") || undefined;
  const absolute = (path: string | undefined) => (path === undefined ? path : resolvePath(path, foldersOf(input)));
  return choose<string | null>(ledger, {
    name: "ollama.modelsDir",
    from: [
      { source: name, read: () => absolute(given) },
      fileCandidate(input, ["synaptic", "ollama", "modelsDir"], absolute(own.ollama?.modelsDir)),
    ],
    fallback: null,
  });
}

export function resolveUnloadIdle(ledger: Ledger, context: ValueContext): boolean {
  const value = context.own.ollama?.unloadIdle;
  return ownValue(ledger, context, { path: ["ollama", "unloadIdle"], value, fallback: true });
}

export function resolveKeys(ledger: Ledger, context: ValueContext): readonly ConfigKey[] {
  const keys = ownValue(ledger, context, { path: ["keys"], value: context.own.keys, fallback: [] });
  const names = keys.map((key) => key.name);
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) === index) continue;
    const key = formatPath(["synaptic", "keys", index, "name"]);
    ledger.problems.push({ source: null, key, expected: "a name of its own", found: `${JSON.stringify(name)} again` });
  }
  return keys.map(({ name, hash, scopes }) => ({
    name,
    hash: `sha256:${hash.slice("sha256:".length).toLowerCase()}` as const,
    scopes: [...new Set(scopes)],
  }));
}

const API_KEY = "SYNAPTIC_API_KEY";
/** What a client can send after `Authorization: Bearer `. */
const apiKeySchema = z.string().regex(/^[\x21-\x7e]{1,512}$/);

export function resolveApiKey(ledger: Ledger, { input }: ValueContext): string | null {
  const text = input.env[API_KEY] || undefined;
  if (text !== undefined && !apiKeySchema.safeParse(text).success) {
    const expected = "1 to 512 visible ASCII characters without spaces";
    ledger.problems.push({ source: API_KEY, key: "", expected, found: NOT_SHOWN });
  }
  return choose<string | null>(ledger, {
    name: "apiKey",
    from: [{ source: API_KEY, read: () => text }],
    fallback: null,
  });
}
