/** Reads the configuration file and what lies beside it; never writes. */
import { stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { resolveConfig } from "../core/config.ts";
import { wantsSideFile } from "../core/config-backends.ts";
import { wantsNodesFile } from "../core/config-nodes.ts";
import { configError } from "../core/config-problems.ts";
import type { ConfigInput } from "../core/config-sources.ts";
import type { Config, ConfigEnvironment, ConfigFlags } from "../core/config-types.ts";
import { SynapticError } from "../core/errors.ts";
import { readJson } from "./json-text.ts";

/** A configuration of a thousand backends has 100 KiB. */
const LARGEST_BYTES = 1024 * 1024;
const DEFAULT_NAME = ".synapticllamas.json";
const SIDE_NAME = "rpc_backends.conf";
/** SynapticLlamas' list of Ollama nodes, in the home folder. */
const NODES_NAME = ".synapticllamas_nodes.json";

export interface LoadOptions {
  /** As typed after `--config`; true when it was given without a value, which asks for the default path. */
  readonly path?: string | true;
  readonly flags: ConfigFlags;
  readonly env: ConfigEnvironment;
  /** Absolute. */
  readonly home: string;
  /** Where relative paths on the command line start; absolute. */
  readonly cwd: string;
  /** Whether the caller is about to listen: then an open listener without a key is refused. */
  readonly serving: boolean;
}

/**
 * The configuration from `--config`, `SYNAPTIC_CONFIG` or `~/.synapticllamas.json`, in this order.
 * @throws SynapticError `config_missing` when a file that was asked for is not there, `config_invalid` for all else.
 */
export async function loadConfig(options: LoadOptions): Promise<Config> {
  const { flags, env, home, serving } = options;
  const { path, required } = configPath(options);
  const text = await readSmallFile(path);
  if (text === null && required) throw missing(path);
  const file = text === null ? null : { path, value: parseFile(path, text) };
  const sideFiles = {
    ...(wantsSideFile(file?.value) ? await readSideFile(dirname(path)) : {}),
    ...(wantsNodesFile(file?.value) ? await readNodesFile(home) : {}),
  };
  const result = resolveConfig({ file, flags, env, sideFiles, home, serving });
  if (!result.ok) throw configError(result.problems, file?.path ?? null);
  return result.config;
}

/** Where the configuration is looked for, and whether it must be there. */
export function configPath({ path, env, home, cwd }: Pick<LoadOptions, "path" | "env" | "home" | "cwd">): {
  readonly path: string;
  readonly required: boolean;
} {
  const asked = path ?? (env.SYNAPTIC_CONFIG || undefined);
  if (asked === undefined || asked === true) return { path: resolve(home, DEFAULT_NAME), required: asked === true };
  return { path: asked.startsWith("~/") ? resolve(home, asked.slice(2)) : resolve(cwd, asked), required: true };
}

function missing(path: string): SynapticError {
  const hint = "check the path, or start from config.example.json; without --config, defaults apply when it is missing";
  return new SynapticError("config_missing", `Cannot read ${path}: it does not exist`, { hint });
}

function parseFile(path: string, text: string): unknown {
  if (text.trim() === "") {
    throw new SynapticError("config_invalid", `Cannot read ${path}: the file is empty`, {
      hint: "write {} for the defaults, or start from config.example.json",
    });
  }
  const reading = readJson(text);
  if (reading.ok) return reading.value;
  const { line, column, problem } = reading;
  throw new SynapticError("config_invalid", `Cannot read ${path}: line ${line}, column ${column}: ${problem}`, {
    hint: "correct the file at this place; synaptic never writes it",
  });
}

async function readNodesFile(home: string): Promise<ConfigInput["sideFiles"]> {
  const path = resolve(home, NODES_NAME);
  const text = await readSmallFile(path);
  // SynapticLlamas leaves it empty when it is ended at the wrong moment.
  return text === null || text.trim() === "" ? {} : { nodes: { path, value: parseFile(path, text) } };
}

async function readSideFile(folder: string): Promise<ConfigInput["sideFiles"]> {
  const path = resolve(folder, SIDE_NAME);
  const text = await readSmallFile(path);
  return text === null ? {} : { rpcBackendsConf: { path, text } };
}

/** UTF-8 text without its byte order mark; null when there is no such file. */
async function readSmallFile(path: string): Promise<string | null> {
  try {
    const found = await stat(path);
    if (found.isDirectory()) throw unreadable(path, "it is a directory");
    if (!found.isFile()) throw unreadable(path, "it is not a regular file");
    const bytes = await Bun.file(path)
      .slice(0, LARGEST_BYTES + 1)
      .bytes();
    if (bytes.length > LARGEST_BYTES) throw unreadable(path, "it is larger than 1 MiB");
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (thrown) {
    if (thrown instanceof SynapticError) throw thrown;
    if (thrown instanceof TypeError) throw unreadable(path, "it is not UTF-8 text", thrown);
    const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
    if (code === "ENOENT") return null;
    if (code === "EACCES" || code === "EPERM") throw unreadable(path, "permission denied", thrown);
    if (code === "ENOTDIR") throw unreadable(path, "a part of the path is no directory", thrown);
    throw unreadable(path, thrown instanceof Error ? thrown.message : String(thrown), thrown);
  }
}

function unreadable(path: string, reason: string, cause?: unknown): SynapticError {
  return new SynapticError("config_invalid", `Cannot read ${path}: ${reason}`, {
    hint: "give the path of a JSON file that this user may read",
    cause,
  });
}
