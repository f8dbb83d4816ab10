/** The models there are: from the config's files and folders and from Ollama's stores, by id, alias or Ollama's own name. */
import type { Config } from "../core/config-types.ts";
import { type ElsewhereModel, findElsewhere, placesOfElsewhere } from "../core/elsewhere.ts";
import { SynapticError } from "../core/errors.ts";
import type { Defect } from "../core/loadable.ts";
import { toModelId } from "../core/model-id.ts";
import { ollamaKey } from "../core/ollama.ts";
import type { NodeSnapshot } from "../core/snapshot.ts";
import { type CatalogEntry, fileEntry, settingsWithoutModel, storedEntry } from "./catalog-entry.ts";
import { type CatalogSources, createCatalogSources, type SourcePorts } from "./catalog-sources.ts";

export interface Catalog {
  /** All models that are not known to be damaged, ids ascending. Reads all folders anew. */
  list(): Promise<readonly CatalogEntry[]>;
  /** The damaged ones as well, and which folders could not be read. */
  survey(): Promise<Survey>;
  /** A model by any of its names. @throws SynapticError `model_not_found`, or `model_unreadable` when it is damaged. */
  find(name: string): Promise<CatalogEntry>;
}

export interface Survey {
  readonly entries: readonly CatalogEntry[];
  /** What only Ollama nodes have. */
  readonly elsewhere: readonly ElsewhereModel[];
  readonly problems: readonly Defect[];
}

/** Requests for models in folders and stores read these again after this time only; a name that is not known, at once. */
const FRESH_MS = 2_000;
const GGUF_PATH = /\.gguf$/i;

/** `preload` may be the path of a GGUF file; requests may not name paths, only what is listed. `nodes` are asked for anew
 *  each time. */
export function createCatalog(
  ports: SourcePorts,
  config: Config,
  nodes: () => readonly NodeSnapshot[] = () => [],
): Catalog {
  const sources = createCatalogSources(ports, config);
  const { named, preloaded } = namedEntries(config);
  const findNamed = indexOf(named.values(), false);
  const warned = new Set<string>();

  const read = async (): Promise<Reading> => {
    const { files, stored, problems } = await sources.read();
    const all = new Map(named);
    for (const { folder, file } of files) {
      claim(all, fileEntry(file, { origin: { kind: "folder", where: folder }, config }));
    }
    for (const model of stored) claim(all, storedEntry(model, config));
    const sorted = [...all.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    const entries = await withDefects(sorted, sources);
    // Where folders could not be read, their models may well be what the settings are for.
    for (const line of problems.length > 0 ? [] : settingsWithoutModel(config, entries)) {
      if (!warned.has(line)) ports.log.warn(line, { key: "synaptic.models.settings" });
      warned.add(line);
    }
    const keys = new Set(entries.map((entry) => entry.ollamaKey));
    const elsewhere = findElsewhere(nodes(), (key) => keys.has(key));
    return { at: ports.clock.now(), entries, elsewhere, problems, find: indexOf(entries, true) };
  };

  let latest: Reading | null = null;
  let reading: Promise<Reading> | null = null;
  /** However many ask, folders are read once at a time. */
  const survey = async (): Promise<Reading> => {
    reading ??= read().finally(() => {
      reading = null;
    });
    latest = await reading;
    return latest;
  };

  return {
    survey,
    list: async () => (await survey()).entries.filter(({ defect }) => defect === null),
    async find(name) {
      const wanted = name === preloaded?.path ? preloaded.id : name;
      // Most requests name one of these: no folder is read for them.
      const known = findNamed(wanted);
      if (known) return known;
      const recent = latest && ports.clock.now() - latest.at < FRESH_MS ? latest.find(wanted) : null;
      if (recent?.defect === null) return recent;
      const now = await survey();
      const entry = now.find(wanted);
      if (!entry) throw notFound(name, now);
      if (entry.defect) throw damaged(entry.id, entry.defect);
      return entry;
    },
  };
}

type Find = (name: string) => CatalogEntry | null;

interface Reading extends Survey {
  readonly at: number;
  readonly find: Find;
}

/** The first to claim an id keeps it: files of the config, the preload, folders in their order, then Ollama's stores. */
function claim(claimed: Map<string, CatalogEntry>, entry: CatalogEntry): void {
  if (!claimed.has(entry.id)) claimed.set(entry.id, entry);
}

/** Of stored models it is known; of plain files the headers tell. */
async function withDefects(
  entries: readonly CatalogEntry[],
  sources: Pick<CatalogSources, "examine">,
): Promise<readonly CatalogEntry[]> {
  const plain = entries.filter(({ origin }) => origin.kind !== "ollama").map(({ path }) => path);
  const defects = await sources.examine(plain);
  const byPath = new Map(plain.map((path, index) => [path, defects[index] ?? null]));
  return entries.map((entry) => ({ ...entry, defect: entry.defect ?? byPath.get(entry.path) ?? null }));
}

/** What the config names by file. */
function namedEntries(config: Config) {
  const { models, preload } = config;
  const named = new Map<string, CatalogEntry>();
  for (const [id, path] of Object.entries(models.files)) {
    claim(named, fileEntry({ id, path }, { origin: { kind: "file", where: "synaptic.models.files" }, config }));
  }
  // The only one that may be a path: settings are of models with names.
  const path = preload.find((name) => GGUF_PATH.test(name) && !Object.hasOwn(models.settings, name));
  const preloaded = path === undefined ? null : { id: idFor(path, named), path };
  if (preloaded) claim(named, fileEntry(preloaded, { origin: { kind: "file", where: "model" }, config }));
  return { named, preloaded };
}

/** By id first, then by alias; then as in Ollama, where case and the tag `latest` make no other model. */
function indexOf(entries: Iterable<CatalogEntry>, withTags: boolean): Find {
  const all = [...entries];
  const ids = new Map(all.map((entry) => [entry.id, entry]));
  const aliases = new Map(all.flatMap((entry) => entry.aliases.map((alias) => [alias, entry] as const)));
  const keys = new Map<string | null, CatalogEntry>();
  const add = (key: string | null, entry: CatalogEntry): void => {
    if (key !== null && !keys.has(key)) keys.set(key, entry);
  };
  for (const entry of all) add(entry.ollamaKey, entry);
  // Ollama's clients write a tag to every name, also to those of plain files, which come after Ollama's own.
  for (const entry of withTags ? all : []) for (const name of [entry.id, ...entry.aliases]) add(ollamaKey(name), entry);
  return (name) => ids.get(name) ?? aliases.get(name) ?? keys.get(ollamaKey(name)) ?? null;
}

function damaged(id: string, { reason, hint }: Defect): SynapticError {
  return new SynapticError("model_unreadable", `Cannot load ${id}: ${reason}`, { param: "model", hint });
}

function notFound(name: string, { entries, elsewhere, problems }: Survey): SynapticError {
  const key = ollamaKey(name);
  const there = key === null ? undefined : elsewhere.find(({ id }) => ollamaKey(id) === key);
  if (there) {
    const hint = `${there.id} is ${placesOfElsewhere(there)}: ${there.remedy}`;
    return new SynapticError("model_not_found", `The model '${name}' does not exist`, { param: "model", hint });
  }
  const ids = entries.map(({ id }) => id).slice(0, 10);
  const known =
    ids.length > 0
      ? `known here: ${ids.join(", ")}`
      : "name a GGUF file under synaptic.models.files, or its folder under synaptic.models.dirs, or `ollama pull` a model";
  // It may well be there, where nobody could look.
  const [hidden] = problems;
  return new SynapticError("model_not_found", `The model '${name}' does not exist`, {
    param: "model",
    hint: hidden ? `${known}; ${hidden.reason}: ${hidden.hint}` : known,
  });
}

/** Its file name; where another file has that id already, its whole path. */
function idFor(path: string, named: ReadonlyMap<string, CatalogEntry>): string {
  const id = toModelId(path.replace(/^.*[/\\]/, ""));
  const other = named.get(id);
  return other === undefined || other.path === path ? id : toModelId(path);
}
