/** Models as the file names them: absolute paths, settings held against what the planner owns, names that clash. Pure. */
import { describeFound, formatPath, NOT_SHOWN } from "./config-problems.ts";
import type { SynapticFile } from "./config-schema-own.ts";
import { type ConfigInput, choose, fileCandidate, type Ledger } from "./config-sources.ts";
import type { Config, ModelSettings, ModelsConfig, SamplingConfig } from "./config-types.ts";
import { readKeepAlive } from "./keep-alive.ts";
import { isModelId } from "./model-id.ts";
import { ownedFlag, ownedVariable } from "./owned-flags.ts";
import { SAMPLING, type SamplingKey } from "./sampling.ts";

type ModelsFile = NonNullable<SynapticFile["models"]>;
type SettingsFile = NonNullable<ModelsFile["settings"]>[string];

const SETTINGS = ["synaptic", "models", "settings"] as const;

interface Folders {
  readonly folder: string;
  readonly home: string;
}

/** Absolute form of a path in the file: `~/` is home, relative ones start at the file's folder. */
export function resolvePath(path: string, { folder, home }: Folders): string {
  // A Windows path with its drive is absolute as it is.
  if (/^[A-Za-z]:[\\/]/.test(path)) return path;
  const full =
    path === "~" || path.startsWith("~/") ? home + path.slice(1) : path.startsWith("/") ? path : `${folder}/${path}`;
  const parts: string[] = [];
  for (const part of full.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/** The folder that relative paths of the file start at. */
export function foldersOf(input: ConfigInput): Folders {
  const path = input.file?.path;
  return { folder: path === undefined ? input.home : path.slice(0, path.lastIndexOf("/")) || "/", home: input.home };
}

/** Folders, files and settings of `synaptic.models`; problems and lines go to the ledger. */
export function resolveModels(ledger: Ledger, input: ConfigInput, file: ModelsFile): ModelsConfig {
  const folders = foldersOf(input);
  const dirs = (file.dirs ?? []).map((dir) => resolvePath(dir, folders));
  const files = Object.entries(file.files ?? {}).map(([id, path]) => [id, resolvePath(path, folders)] as const);
  const settings = Object.entries(file.settings ?? {});
  for (const id of Object.keys(file.files ?? {})) checkName(ledger, id, ["synaptic", "models", "files", id]);
  for (const [id, one] of settings) {
    checkName(ledger, id, [...SETTINGS, id]);
    checkArgs(ledger, id, one.args ?? []);
    checkEnv(ledger, id, one.env ?? {});
  }
  checkAliases(ledger, file);
  const given = <T>(name: keyof ModelsFile, value: T, fallback: T): T =>
    choose(ledger, {
      name: `models.${name}`,
      from: [fileCandidate(input, ["synaptic", "models", name], file[name] && value)],
      fallback,
    });
  return {
    dirs: given("dirs", dirs, []),
    files: given("files", Object.fromEntries(files), {}),
    settings: given("settings", Object.fromEntries(settings.map(([id, one]) => [id, pickSettings(one, folders)])), {}),
  };
}

function checkName(ledger: Ledger, name: string, path: readonly (string | number)[]): void {
  if (isModelId(name)) return;
  const expected = "a model name without spaces around it and without commas";
  ledger.problems.push({ source: null, key: formatPath(path), expected, found: describeFound(name) });
}

function checkArgs(ledger: Ledger, id: string, args: readonly string[]): void {
  for (const [index, argument] of args.entries()) {
    const key = formatPath([...SETTINGS, id, "args", index]);
    const owned = ownedFlag(argument);
    if (owned) {
      const expected = "an argument that synaptic does not set itself";
      ledger.problems.push({ source: null, key, expected, found: owned.flag, hint: `${owned.flag}: ${owned.instead}` });
    } else if (/^--?[A-Za-z][\w-]*[\s=]/.test(argument)) {
      const [flag = ""] = argument.split(/[\s=]/);
      const hint = `write ["${flag}", "value"]: llama-server gets each text as one argument`;
      ledger.problems.push({
        source: null,
        key,
        expected: "one argument per text",
        found: `${flag} and its value in one`,
        hint,
      });
    }
  }
}

function checkEnv(ledger: Ledger, id: string, env: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(env)) {
    const key = formatPath([...SETTINGS, id, "env", name]);
    const instead = ownedVariable(name);
    if (instead !== null) {
      const expected = "a variable that synaptic does not decide itself";
      ledger.problems.push({ source: null, key, expected, found: name, hint: `${name}: ${instead}` });
    } else if (!/^[A-Za-z_]\w*$/.test(name) || value.includes("\0")) {
      ledger.problems.push({ source: null, key, expected: "the name and text of a variable", found: NOT_SHOWN });
    }
  }
}

/** One name, one model: a request could not tell them apart. */
function checkAliases(ledger: Ledger, file: ModelsFile): void {
  const settings = Object.entries(file.settings ?? {});
  const owners = new Map<string, string>();
  for (const id of [...Object.keys(file.files ?? {}), ...settings.map(([id]) => id)]) owners.set(id, id);
  for (const [id, { aliases = [] }] of settings) {
    for (const [index, alias] of aliases.entries()) {
      const path = [...SETTINGS, id, "aliases", index];
      checkName(ledger, alias, path);
      const owner = owners.get(alias);
      owners.set(alias, id);
      if (owner === undefined) continue;
      const found = `${describeFound(alias)}, which is ${owner === id ? "given twice" : `a name of ${owner}`}`;
      ledger.problems.push({ source: null, key: formatPath(path), expected: "a name of no other model", found });
    }
  }
}

function pickSettings(one: SettingsFile, folders: Folders): ModelSettings {
  const { args, env, contextSize, parallel, kvType, aliases, preload, pin, route, mmproj, draft, sampling } = one;
  const keepAliveMs = readKeepAlive(one.keepAlive);
  return {
    ...(keepAliveMs === null ? {} : { keepAliveMs }),
    ...(pin === undefined ? {} : { pin }),
    ...(args === undefined ? {} : { args }),
    ...(env === undefined ? {} : { env }),
    ...(contextSize === undefined ? {} : { contextSize }),
    ...(parallel === undefined ? {} : { parallel }),
    ...(kvType === undefined ? {} : { kvType }),
    ...(aliases === undefined ? {} : { aliases }),
    ...(preload === undefined ? {} : { preload }),
    ...(route === undefined ? {} : { route }),
    ...(mmproj === undefined ? {} : { mmproj: resolvePath(mmproj, folders) }),
    ...(draft === undefined ? {} : { draft: resolvePath(draft, folders) }),
    ...(sampling === undefined ? {} : { sampling: withoutAbsent(sampling) }),
  };
}

/** A key that is there without a value counts as absent. */
function withoutAbsent(sampling: NonNullable<SettingsFile["sampling"]>): SamplingConfig {
  const given: Partial<Record<SamplingKey, number>> = {};
  for (const { key } of SAMPLING) {
    const value = sampling[key];
    if (value !== undefined) given[key] = value;
  }
  return given;
}

type RunSettings = Required<Omit<ModelSettings, "preload" | "route" | "contextSize" | "mmproj" | "draft">> & {
  readonly contextSize: number | null;
  readonly mmproj: string | null;
  readonly draft: string | null;
  /** Null where what fits decides. */
  readonly route: "pool" | "shard" | null;
};

/** What one model runs with: its own settings before the general ones, except where a flag or variable set those. */
export function settingsFor(config: Config, id: string): RunSettings {
  const own = Object.hasOwn(config.models.settings, id) ? config.models.settings[id] : undefined;
  return {
    args: own?.args ?? [],
    env: own?.env ?? {},
    aliases: own?.aliases ?? [],
    contextSize: own?.contextSize ?? config.contextSize,
    parallel: own?.parallel ?? config.parallel,
    kvType: own?.kvType ?? config.kvType,
    mmproj: own?.mmproj ?? null,
    draft: own?.draft ?? null,
    route: own?.route ?? null,
    sampling: own?.sampling ?? {},
    keepAliveMs: own?.keepAliveMs ?? config.keepAliveMs,
    pin: own?.pin ?? false,
  };
}
