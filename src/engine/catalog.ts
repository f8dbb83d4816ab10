/** The models that can be loaded: from the config's files and folders, by id or alias. */
import { settingsFor } from "../core/config-models.ts";
import type { Config } from "../core/config-types.ts";
import { SynapticError, wrapError } from "../core/errors.ts";
import { toModelId } from "../core/model-id.ts";
import type { Logger, ModelFile, ModelPort } from "./ports.ts";

export interface CatalogEntry extends ModelFile {
  readonly aliases: readonly string[];
}

export interface Catalog {
  /** All models, ids ascending. A folder that cannot be read is warned of once and left out. */
  list(): Promise<readonly CatalogEntry[]>;
  /** @throws SynapticError `model_not_found`. */
  find(name: string): Promise<CatalogEntry>;
}

/** A folder on a sleeping disk or a lost network share must not hold a request for longer. */
const LIST_MS = 10_000;
const GGUF_PATH = /\.gguf$/i;

/** `preload` may be the path of a GGUF file; requests may not name paths, only what is listed. */
export function createCatalog(ports: { readonly models: ModelPort; readonly log: Logger }, config: Config): Catalog {
  const { models, preload } = config;
  const warned = new Set<string>();
  const warnOnce = (folder: string, message: string): void => {
    if (!warned.has(folder)) ports.log.warn(message, { key: "synaptic.models.dirs" });
    warned.add(folder);
  };

  const inFolder = async (folder: string): Promise<readonly ModelFile[]> => {
    try {
      const { models, incomplete } = await ports.models.list(folder, { signal: AbortSignal.timeout(LIST_MS) });
      if (incomplete) warnOnce(folder, `Not all models below ${folder} are listed: ${incomplete}`);
      return models;
    } catch (error) {
      warnOnce(folder, wrapError("model_unreadable", `Cannot read ${folder}`, error).message);
      return [];
    }
  };

  const entryOf = ({ id, path }: ModelFile): CatalogEntry => ({ id, path, aliases: settingsFor(config, id).aliases });
  // The first to claim an id keeps it: files of the config, then the preload, then folders in their order.
  const named = new Map<string, CatalogEntry>();
  const claim = (claimed: Map<string, CatalogEntry>, file: ModelFile) =>
    void (claimed.has(file.id) || claimed.set(file.id, entryOf(file)));
  for (const [id, path] of Object.entries(models.files)) claim(named, { id, path });
  const preloaded = preload && GGUF_PATH.test(preload) ? { id: idFor(preload, named), path: preload } : null;
  if (preloaded) claim(named, preloaded);

  const list = async (): Promise<readonly CatalogEntry[]> => {
    const all = new Map(named);
    for (const files of await Promise.all(models.dirs.map(inFolder))) for (const file of files) claim(all, file);
    return [...all.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  };

  return {
    list,
    async find(name) {
      const wanted = name === preloaded?.path ? preloaded.id : name;
      // Most requests name one of these: no folder is read for them.
      const known = named.get(wanted) ?? [...named.values()].find(({ aliases }) => aliases.includes(wanted));
      if (known) return known;
      const entries = await list();
      const entry = entries.find(({ id }) => id === wanted) ?? entries.find(({ aliases }) => aliases.includes(wanted));
      if (entry) return entry;
      const ids = entries.map(({ id }) => id).slice(0, 10);
      throw new SynapticError("model_not_found", `The model '${name}' does not exist`, {
        param: "model",
        hint:
          ids.length > 0
            ? `known here: ${ids.join(", ")}`
            : "name a GGUF file under synaptic.models.files, or its folder under synaptic.models.dirs",
      });
    },
  };
}

/** Its file name; where another file has that id already, its whole path. */
function idFor(path: string, named: ReadonlyMap<string, CatalogEntry>): string {
  const id = toModelId(path.replace(/^.*[/\\]/, ""));
  const other = named.get(id);
  return other === undefined || other.path === path ? id : toModelId(path);
}
