/** What is wrong with a configuration, in words: key, expected, found. Never shows a secret. Pure. */
import type { z } from "zod";
import { SynapticError } from "./errors.ts";

export interface Problem {
  /** The flag, variable or side file at fault; null for the configuration file. */
  readonly source: string | null;
  /** `rpc_backends[2].port`; empty for the whole document. */
  readonly key: string;
  readonly expected: string;
  readonly found: string;
  readonly hint?: string;
}

export type Path = readonly PropertyKey[];

/** `synaptic.models.settings["llama3.1:70b"].args[2]`. */
export function formatPath(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (/^[A-Za-z_$][\w$-]{0,59}$/.test(String(part))) text += text ? `.${String(part)}` : String(part);
    else text += `[${shorten(JSON.stringify(String(part)))}]`;
  }
  return text;
}

const LONGEST_SHOWN = 60;

/** `"50052"`, `70000`, `nothing`, `a list of 3`: objects by their keys only, since values in them may be secret. */
export function describeFound(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : `a list of ${value.length}`;
  if (typeof value === "object" && value !== null) {
    const keys = Object.keys(value);
    return keys.length === 0 ? "an empty object" : `an object with ${shorten(keys.join(", "))}`;
  }
  if (typeof value === "string") return value === "" ? "an empty text" : shorten(JSON.stringify(value));
  return shorten(String(value));
}

function shorten(text: string): string {
  return text.length <= LONGEST_SHOWN ? text : `${text.slice(0, LONGEST_SHOWN - 3)}...`;
}

const SECRET_KEYS = new Set<PropertyKey>(["keys", "args", "env", "redis_password"]);
const OPEN_KEYS = new Set<PropertyKey>(["name", "scopes"]);
export const NOT_SHOWN = "a value that is not shown";

function describeAt(path: Path, value: unknown): string {
  const secret = path.some((part) => SECRET_KEYS.has(part)) && !path.some((part) => OPEN_KEYS.has(part));
  return secret && typeof value === "string" && value !== "" ? NOT_SHOWN : describeFound(value);
}

export function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = Object.getOwnPropertyDescriptor(value, part)?.value;
  }
  return value;
}

/** One problem per key (zod may report a value twice); the schema's own messages say what was expected. */
export function schemaProblems(
  error: z.ZodError,
  { root, hint }: { readonly root: unknown; readonly hint: (path: Path, value: unknown) => string | undefined },
): readonly Problem[] {
  const byKey = new Map<string, Problem>();
  for (const issue of error.issues) {
    const key = formatPath(issue.path);
    if (byKey.has(key)) continue;
    const value = valueAt(root, issue.path);
    const advice = hint(issue.path, value);
    byKey.set(key, {
      source: null,
      key,
      expected: issue.message,
      found: describeAt(issue.path, value),
      ...(advice === undefined ? {} : { hint: advice }),
    });
  }
  return [...byKey.values()];
}

const MOST_SHOWN = 20;

/** All problems at once, as `config_invalid`; `path` names the file for those whose source is null. */
export function configError(problems: readonly Problem[], path: string | null): SynapticError {
  const file = path ?? "the configuration";
  const places = new Set(problems.map((problem) => problem.source ?? file));
  const [place] = places;
  const where = places.size === 1 && place !== undefined ? place : "the configuration";
  const lines = problems.slice(0, MOST_SHOWN).map((problem) => {
    const at = places.size === 1 ? [problem.key] : [problem.source ?? file, problem.key];
    const prefix = at.filter((part) => part !== "").join(": ");
    return `${prefix}${prefix ? ": " : ""}expected ${problem.expected}, found ${problem.found}`;
  });
  if (problems.length > MOST_SHOWN) lines.push(`and ${problems.length - MOST_SHOWN} more`);
  const body = lines.length === 1 ? (lines[0] ?? "") : [`${problems.length} problems`, ...lines].join("\n  ");
  const hints = new Set(problems.flatMap((problem) => problem.hint ?? []));
  const hint = [...hints].slice(0, MOST_SHOWN).join("\n  ") || "see `synaptic config schema` for every key";
  return new SynapticError("config_invalid", `Cannot use ${where}: ${body}`, { hint });
}
