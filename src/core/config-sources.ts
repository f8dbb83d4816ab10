/** Who sets a value: the first source that has one wins, and the ledger writes down which it was. Pure. */
import type { z } from "zod";
import { describeFound, type Problem } from "./config-problems.ts";
import type { ConfigEnvironment, ConfigFlags } from "./config-types.ts";

export interface ConfigInput {
  /** Parsed JSON and the absolute path it came from; null when there is no file. */
  readonly file: { readonly path: string; readonly value: unknown } | null;
  readonly flags: ConfigFlags;
  /** Empty variables count as absent, as in shells. */
  readonly env: ConfigEnvironment;
  readonly sideFiles: {
    readonly rpcBackendsConf?: { readonly path: string; readonly text: string };
    /** `~/.synapticllamas_nodes.json`, parsed. */
    readonly nodes?: { readonly path: string; readonly value: unknown };
  };
  /** Absolute: `~/` in paths. */
  readonly home: string;
  /** Whether the caller is about to listen: only then is an open listener refused. */
  readonly serving: boolean;
}

/** One possible origin of a value; `read` is called only when no earlier one had a value. */
export interface Candidate<T> {
  readonly source: string;
  readonly read: () => T | undefined;
}

/** Everything that resolving gathers beside the values. */
export interface Ledger {
  readonly problems: Problem[];
  readonly warnings: string[];
  readonly sources: Record<string, string>;
}

export const FROM_DEFAULT = "default";

/** The first candidate with a value, else the fallback; `name` is what `sources` calls it. */
export function choose<T>(
  ledger: Ledger,
  { name, from, fallback }: { readonly name: string; readonly from: readonly Candidate<T>[]; readonly fallback: T },
): T {
  for (const candidate of from) {
    const value = candidate.read();
    if (value === undefined) continue;
    ledger.sources[name] = candidate.source;
    return value;
  }
  ledger.sources[name] = FROM_DEFAULT;
  return fallback;
}

/** A text from the command line or the environment, held to the same schema as the file's value. */
export interface TextSource {
  /** `--port` or `SYNAPTIC_PORT`. */
  readonly name: string;
  readonly text: string | undefined;
}

export function textCandidate<T>(ledger: Ledger, source: TextSource, schema: z.ZodType<T>): Candidate<T> {
  return {
    source: source.name,
    read: () => (source.text === undefined ? undefined : parseText(ledger, source, schema)),
  };
}

function parseText<T>(ledger: Ledger, { name, text }: TextSource, schema: z.ZodType<T>): T | undefined {
  const asNumber = text !== undefined && /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : undefined;
  const tried = [asNumber, text].filter((value) => value !== undefined).map((value) => schema.safeParse(value));
  for (const result of tried) if (result.success) return result.data;
  ledger.problems.push({
    source: name,
    key: "",
    expected: tried[0]?.error?.issues[0]?.message ?? "another value",
    found: describeFound(text),
  });
  return undefined;
}

/** The first variable of these that is set and not empty. */
export function fromEnvironment(env: ConfigEnvironment, names: readonly string[]): TextSource {
  const name = names.find((candidate) => env[candidate]) ?? names[0] ?? "";
  return { name, text: env[name] || undefined };
}

/** A value that the file has at this path. */
export function fileCandidate<T>(input: ConfigInput, path: readonly string[], value: T | undefined): Candidate<T> {
  return { source: input.file ? `${input.file.path}: ${path.join(".")}` : FROM_DEFAULT, read: () => value };
}
