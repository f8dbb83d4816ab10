/** The models that can be loaded: from the config's files and folders, by id or alias. */
import { settingsFor } from "../core/config-models.ts";
import type { Config } from "../core/config-types.ts";
import { SynapticError, wrapError } from "../core/errors.ts";
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

  const list = async (): Promise<readonly CatalogEntry[]> => {
    const found = new Map<string, string>();
    // The first to claim an id keeps it: files of the config, then the preload, then folders in their order.
    const add = ({ id, path }: ModelFile) => void (found.has(id) || found.set(id, path));
    for (const [id, path] of Object.entries(models.files)) add({ id, path });
    if (preload && GGUF_PATH.test(preload)) add({ id: idOf(preload), path: preload });
    for (const files of await Promise.all(models.dirs.map(inFolder))) files.forEach(add);
    return [...found]
      .map(([id, path]): CatalogEntry => ({ id, path, aliases: settingsFor(config, id).aliases }))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  };

  return {
    list,
    async find(name) {
      const entries = await list();
      const wanted = preload === name && GGUF_PATH.test(name) ? idOf(name) : name;
      const entry = entries.find(({ id }) => id === wanted) ?? entries.find(({ aliases }) => aliases.includes(wanted));
      if (entry) return entry;
      const known = entries.map(({ id }) => id).slice(0, 10);
      throw new SynapticError("model_not_found", `The model '${name}' does not exist`, {
        param: "model",
        hint:
          known.length > 0
            ? `known here: ${known.join(", ")}`
            : "name a GGUF file under synaptic.models.files, or its folder under synaptic.models.dirs",
      });
    },
  };
}

function idOf(path: string): string {
  return path.replace(/^.*[/\\]/, "").replace(GGUF_PATH, "");
}
