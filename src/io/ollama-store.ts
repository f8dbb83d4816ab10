/** Lists the models of Ollama's stores, straight from their files: Ollama itself need not run. */
import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Defect, projectorDefect } from "../core/loadable.ts";
import { NO_DEFAULTS } from "../core/model-defaults.ts";
import { toModelId } from "../core/model-id.ts";
import { ollamaName, showOllamaName } from "../core/ollama.ts";
import type { StoredModel, StoreListing } from "../core/stored-model.ts";
import { withinDeadline } from "./disk-deadline.ts";
import { readGgufHeader } from "./gguf-file.ts";
import { HeaderMemory } from "./header-memory.ts";
import type { ModelReader } from "./model-reader.ts";
import { ManifestReader } from "./ollama-manifest-file.ts";
import { type Inspector, readStoredModel } from "./ollama-model.ts";
import { denied, findStores, isDenied, type Machine } from "./ollama-places.ts";

export interface StoreOptions {
  readonly machine: Machine;
  readonly reader: Pick<ModelReader, "glance">;
  /** How long one listing waits for headers; models whose header comes later count as sound meanwhile. */
  readonly patienceMs?: number;
}

export type ListStored = (modelsDir: string | null, options: { readonly signal: AbortSignal }) => Promise<StoreListing>;

/** HOST/NAMESPACE/MODEL/TAG: Ollama takes nothing at any other depth. */
const LEVELS = 4;
const MAX_MODELS = 2_000;
const MAX_ENTRIES = 50_000;
const PATIENCE_MS = 4_000;

/**
 * Makes the lister of stores: the one that is named, or those found in the usual places. Each listing looks at all
 * folders, files and their sizes anew, so that what Ollama pulled or removed shows at once; what manifests and headers say
 * is remembered for as long as their files stay the same.
 */
export function createStoreLister({ machine, reader, patienceMs = PATIENCE_MS }: StoreOptions): ListStored {
  const manifests = new ManifestReader();
  const projectors = new HeaderMemory(async (path) => projectorDefect(await readGgufHeader(path)));
  const list = async (modelsDir: string | null, signal: AbortSignal): Promise<StoreListing> => {
    const { promise: timeUp, resolve } = Promise.withResolvers<null>();
    const timer = setTimeout(resolve, patienceMs, null);
    const inspector: Inspector = {
      manifest: (file) => manifests.read(file),
      model: (path) => reader.glance(path, timeUp),
      projector: (path) => projectors.ask(path, timeUp),
    };
    return await listAll(modelsDir, { machine, inspector, signal }).finally(() => clearTimeout(timer));
  };
  return (modelsDir, { signal }) =>
    withinDeadline(modelsDir ?? "Ollama's stores", (either) => list(modelsDir, either), { signal });
}

interface ListOptions {
  readonly machine: Machine;
  readonly inspector: Inspector;
  readonly signal: AbortSignal;
}

async function listAll(modelsDir: string | null, { machine, inspector, signal }: ListOptions): Promise<StoreListing> {
  const { roots, problems: unreachable } = await findStores(modelsDir, machine);
  const problems: Defect[] = [...unreachable];
  const models = new Map<string, StoredModel>();
  for (const store of roots) {
    const walked = await walk(store, signal);
    problems.push(...walked.problems);
    for (const { id, path, valid } of walked.manifests) {
      signal.throwIfAborted();
      // The first store that has a name keeps it.
      if (models.has(id)) continue;
      models.set(id, valid ? await readStoredModel({ id, store, path }, inspector) : misnamed(id, { store, path }));
    }
  }
  return { models: [...models.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1)), problems };
}

interface FoundManifest {
  readonly id: string;
  readonly path: string;
  readonly valid: boolean;
}

interface Walked {
  readonly manifests: readonly FoundManifest[];
  readonly problems: readonly Defect[];
}

/** All manifests of a store, by name; hidden files are none of Ollama's. */
async function walk(store: string, signal: AbortSignal): Promise<Walked> {
  const manifests: FoundManifest[] = [];
  const problems: Defect[] = [];
  let seen = 0;
  const enter = async (folder: string, parts: readonly string[]): Promise<void> => {
    for (const entry of await entriesOf(folder, problems)) {
      signal.throwIfAborted();
      if (++seen > MAX_ENTRIES || manifests.length >= MAX_MODELS) return;
      const { name } = entry;
      if (name.startsWith(".")) continue;
      const path = join(folder, name);
      const { isFile, isFolder } = await kindOf(entry, path);
      if (parts.length < LEVELS - 1 && isFolder) await enter(path, [...parts, name]);
      if (parts.length === LEVELS - 1 && isFile) manifests.push(manifestAt(path, [...parts, name]));
    }
  };
  await enter(join(store, "manifests"), []);
  if (seen > MAX_ENTRIES || manifests.length >= MAX_MODELS) {
    problems.push({
      reason: `Not all models of the Ollama store ${store} are listed: more than ${MAX_MODELS} models or ${MAX_ENTRIES} files`,
      hint: "remove what is not used (`ollama rm`)",
    });
  }
  return { manifests, problems };
}

async function entriesOf(folder: string, problems: Defect[]): Promise<readonly Dirent[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    if (isDenied(error)) {
      const { reason, hint } = await denied(folder);
      problems.push({ reason: `Cannot list the Ollama models below ${folder}: ${reason}`, hint });
    }
    // What has gone meanwhile was removed.
    return [];
  }
}

/** Links are followed; one that leads nowhere is neither. Some file systems tell no kind without being asked. */
async function kindOf(entry: Dirent, path: string): Promise<{ readonly isFile: boolean; readonly isFolder: boolean }> {
  const isTold = entry.isFile() || entry.isDirectory();
  const found = isTold ? entry : await stat(path).catch(() => null);
  return { isFile: found?.isFile() ?? false, isFolder: found?.isDirectory() ?? false };
}

function manifestAt(path: string, parts: readonly string[]): FoundManifest {
  const [host = "", namespace = "", model = "", tag = ""] = parts;
  const name = ollamaName([host, namespace, model, tag]);
  return name
    ? { id: showOllamaName(name), path, valid: true }
    : { id: toModelId(parts.join("/")), path, valid: false };
}

function misnamed(id: string, { store, path }: { readonly store: string; readonly path: string }): StoredModel {
  return {
    ...{ id, store, digest: null, path: "", bytes: 0, projector: null, adapters: [], contextSize: null },
    ...{ args: [], defaults: NO_DEFAULTS, notes: [] },
    defect: { reason: `its path is no name of a model: ${path}`, hint: "remove that file, or rename it" },
  };
}
