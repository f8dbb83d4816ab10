/** Finds and reads models on disk: one GGUF file or all parts of a split one, and the models of a folder. */
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import type { GgufHeader } from "../core/gguf.ts";
import { mergeParts, partNames, partOf, splitOf } from "../core/gguf-split.ts";
import { headerRepairs, whyNotLoadable } from "../core/loadable.ts";
import { type ModelFacts, modelFacts } from "../core/model.ts";
import { aboutModel, type ModelAbout } from "../core/model-about.ts";
import { toModelId } from "../core/model-id.ts";
import { withinDeadline } from "./disk-deadline.ts";
import { readGgufHeader, unreadable } from "./gguf-file.ts";

export interface ModelOnDisk {
  /** What `llama-server --model` takes: of a split model the first part. */
  readonly path: string;
  /** All parts in order; one for a model that is not split. */
  readonly files: readonly string[];
  readonly header: GgufHeader;
  readonly facts: ModelFacts;
  /** Arguments for llama-server that repair what is wrong in the header. */
  readonly args: readonly string[];
  readonly about: ModelAbout;
  /** When the file was last written, in milliseconds since 1970. */
  readonly modifiedAtMs: number;
}

/**
 * Reads a model's header and what placement needs of it, from its file or from any part of a split model.
 * @throws SynapticError `model_unreadable`; the signal's reason when it was aborted
 */
export async function readModel(path: string, { signal }: { signal: AbortSignal }): Promise<ModelOnDisk> {
  return withinDeadline(path, (either) => readAll(path, either), { signal });
}

async function readAll(path: string, signal: AbortSignal): Promise<ModelOnDisk> {
  const header = await readGgufHeader(path);
  const split = splitOf(header);
  const files = split ? await partFiles(path, header) : [path];
  const headers: GgufHeader[] = [];
  for (const file of files) {
    signal.throwIfAborted();
    headers.push(file === path ? header : await readGgufHeader(file));
  }
  const merged = split ? mergeParts(headers) : ({ ok: true, header } as const);
  if (!merged.ok) throw unreadable(path, merged.reason, "download all parts again");
  const foreign = whyNotLoadable(merged.header);
  if (foreign) throw unreadable(path, foreign.reason, foreign.hint);
  const result = modelFacts(merged.header);
  if (!result.ok) throw unreadable(path, result.reason, "choose a GGUF file of a language model");
  const args = headerRepairs(merged.header);
  const more = { about: aboutModel(merged.header), modifiedAtMs: (await stat(path)).mtimeMs };
  return { path: files[0] ?? path, files, header: merged.header, facts: result.facts, args, ...more };
}

async function partFiles(path: string, header: GgufHeader): Promise<string[]> {
  const split = splitOf(header);
  const names = split ? partNames(basename(path), split) : ({ ok: false, reason: "model is not split" } as const);
  if (!names.ok) throw unreadable(path, names.reason, "give the parts their original names again");
  const paths = names.names.map((name) => join(dirname(path), name));
  const present = await Promise.all(paths.map(isFile));
  const missing = names.names.filter((_, i) => !present[i]);
  if (missing.length > 0) {
    const more = missing.length > 3 ? ` and ${missing.length - 3} more` : "";
    const detail = `${missing.length} of ${names.names.length} parts missing: ${missing.slice(0, 3).join(", ")}${more}`;
    throw unreadable(path, detail, `put all parts into ${dirname(path)}`);
  }
  return paths;
}

export interface ModelFile {
  /** The file name without `.gguf` and part number; with its folder, then its part number, where two models have the same. */
  readonly id: string;
  readonly path: string;
}

export interface ModelList {
  /** Sorted by path. */
  readonly models: readonly ModelFile[];
  /** Why the list may lack models: a limit was reached, or a folder below could not be read. */
  readonly incomplete: string | null;
}

export interface ListOptions {
  readonly signal: AbortSignal;
  /** Folders below `dir` that are looked into. */
  readonly maxDepth?: number;
  readonly maxModels?: number;
}

/** A folder that is no model folder (a home, a disk) must not be walked for minutes. */
const MAX_ENTRIES = 50_000;

/**
 * The GGUF models below a folder: of split models the first part, projectors (mmproj) left out. Links to files are
 * followed, as in the Hugging Face cache; links to folders are not, so no circle is walked.
 * @throws SynapticError `model_unreadable` when `dir` itself cannot be listed; the signal's reason when it was aborted
 */
export async function listModelFiles(dir: string, options: ListOptions): Promise<ModelList> {
  return withinDeadline(dir, (signal) => walk(dir, { ...options, signal }), options);
}

async function walk(dir: string, { signal, maxDepth = 5, maxModels = 1000 }: ListOptions): Promise<ModelList> {
  const paths: string[] = [];
  let entriesSeen = 0;
  let incomplete: string | null = null;
  const folders = [{ folder: dir, depth: 0 }];
  for (let next = folders.shift(); next; next = folders.shift()) {
    signal.throwIfAborted();
    const { folder, depth } = next;
    const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
      const detail = cause instanceof Error ? cause.message : String(cause);
      if (folder === dir) throw unreadable(dir, `cannot list the folder: ${detail}`, "check the path", cause);
      incomplete ??= `${folder} cannot be read`;
      return [];
    });
    entriesSeen += entries.length;
    for (const entry of entries) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && depth < maxDepth) folders.push({ folder: path, depth: depth + 1 });
      else if (entry.isDirectory()) incomplete ??= `folders deeper than ${maxDepth} were left out`;
      else if (isModelName(entry.name) && (entry.isFile() || (await isFile(path)))) paths.push(path);
    }
    if (paths.length > maxModels || entriesSeen > MAX_ENTRIES) {
      incomplete ??= paths.length > maxModels ? `more than ${maxModels} models` : `more than ${MAX_ENTRIES} files`;
      break;
    }
  }
  return { models: withIds(dir, paths.toSorted().slice(0, maxModels)), incomplete };
}

function isModelName(name: string): boolean {
  const isLaterPart = (partOf(name)?.index ?? 0) > 0;
  return name.endsWith(".gguf") && !name.startsWith(".") && !/mmproj/i.test(name) && !isLaterPart;
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

function withIds(dir: string, paths: readonly string[]): ModelFile[] {
  const ids = new Map<string, string>();
  // Whole files choose before parts: a part always has its number to fall back on.
  for (const path of [
    ...paths.filter((one) => !partOf(basename(one))),
    ...paths.filter((one) => partOf(basename(one))),
  ]) {
    const [name, folder] = [basename(path), dirname(relative(dir, path))];
    const whole = toModelId(join(folder, name));
    const id = [idOf(name), toModelId(join(folder, idOf(name)))].find((candidate) => !ids.has(candidate)) ?? whole;
    ids.set(id, path);
  }
  return [...ids].map(([id, path]) => ({ id, path })).toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

function idOf(fileName: string): string {
  return toModelId(partOf(fileName)?.base ?? fileName);
}
