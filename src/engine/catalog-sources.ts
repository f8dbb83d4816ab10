/** Reads the folders and stores that models come from; one that fails hides none of the others. */
import type { Config } from "../core/config-types.ts";
import { type SynapticError, wrapError } from "../core/errors.ts";
import type { Defect } from "../core/loadable.ts";
import type { StoredModel, StoreListing } from "../core/stored-model.ts";
import type { Clock, Logger, ModelFile, ModelPort } from "./ports.ts";

export interface SourcePorts {
  readonly models: ModelPort;
  readonly log: Logger;
  readonly clock: Clock;
}

export interface Sources {
  /** In the order of the folders. */
  readonly files: readonly { readonly folder: string; readonly file: ModelFile }[];
  readonly stored: readonly StoredModel[];
  /** What could not be read, or not wholly. */
  readonly problems: readonly Defect[];
}

export interface CatalogSources {
  /** Warns of each problem once. */
  read(): Promise<Sources>;
  /** What is wrong with these files, as far as is known in time; null for nothing. */
  examine(paths: readonly string[]): Promise<readonly (Defect | null)[]>;
}

/** A folder on a sleeping disk or a lost network share must not hold a request for longer. */
const LIST_MS = 10_000;

interface Folder {
  readonly files: Sources["files"];
  readonly problems: readonly Defect[];
}

export function createCatalogSources({ models, log, clock }: SourcePorts, config: Config): CatalogSources {
  const warned = new Set<string>();
  const warnOnce = (message: string, key: string): void => {
    if (!warned.has(message)) log.warn(message, { key });
    warned.add(message);
  };
  /** A signal of our own clock, ended with the work. */
  const inTime = async <T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    const late = new AbortController();
    const cancel = clock.after(LIST_MS, () => late.abort(new Error(`no answer within ${LIST_MS / 1000} s`)));
    return await work(late.signal).finally(cancel);
  };

  const inFolder = async (folder: string): Promise<Folder> => {
    const hint = "check the folder under synaptic.models.dirs";
    try {
      const { models: found, incomplete } = await inTime((signal) => models.list(folder, { signal }));
      const reason = `Not all models below ${folder} are listed: ${incomplete}`;
      const files = found.map((file) => ({ folder, file }));
      return { files, problems: incomplete === null ? [] : [{ reason, hint }] };
    } catch (error) {
      return { files: [], problems: [asDefect(wrapError("model_unreadable", `Cannot read ${folder}`, error), hint)] };
    }
  };
  const inStores = async (): Promise<StoreListing> => {
    try {
      return await inTime((signal) => models.stored(config.ollama.modelsDir, { signal }));
    } catch (error) {
      const failure = wrapError("model_unreadable", "Cannot read Ollama's models", error);
      return { models: [], problems: [asDefect(failure, "check the disk that holds them")] };
    }
  };

  return {
    async examine(paths) {
      if (paths.length === 0) return [];
      // What cannot be looked into is told when it is loaded.
      return await inTime((signal) => models.examine(paths, { signal })).catch(() => paths.map(() => null));
    },
    async read() {
      const [folders, listing] = await Promise.all([Promise.all(config.models.dirs.map(inFolder)), inStores()]);
      const files = folders.flatMap((folder) => folder.files);
      const ofFolders = folders.flatMap((folder) => folder.problems);
      for (const { reason } of ofFolders) warnOnce(reason, "synaptic.models.dirs");
      for (const { reason, hint } of listing.problems) warnOnce(`${reason}: ${hint}`, "synaptic.ollama.modelsDir");
      return { files, stored: listing.models, problems: [...ofFolders, ...listing.problems] };
    },
  };
}

function asDefect({ message, hint }: SynapticError, otherwise: string): Defect {
  return { reason: message, hint: hint ?? otherwise };
}
