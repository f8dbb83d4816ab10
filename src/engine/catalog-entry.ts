/** One model of the catalog: where it comes from, what it is called, and what its coordinator is given. */
import { settingsFor } from "../core/config-models.ts";
import { formatPath } from "../core/config-problems.ts";
import type { Config } from "../core/config-types.ts";
import type { Defect } from "../core/loadable.ts";
import { type ModelDefaults, NO_DEFAULTS } from "../core/model-defaults.ts";
import { nearest } from "../core/nearest.ts";
import { ollamaKey } from "../core/ollama.ts";
import type { SideFile } from "../core/plan-types.ts";
import { overlayArgs, samplingArgs } from "../core/sampling.ts";
import type { StoredModel } from "../core/stored-model.ts";
import type { ModelFile } from "./ports.ts";

export interface ModelOrigin {
  readonly kind: "file" | "folder" | "ollama";
  /** The config's key, or the folder. */
  readonly where: string;
}

export interface CatalogEntry extends ModelFile {
  readonly aliases: readonly string[];
  readonly origin: ModelOrigin;
  /** Under which name the config has its settings. */
  readonly settingsId: string;
  /** What all spellings of its name have in common; null for models that are none of Ollama's. */
  readonly ollamaKey: string | null;
  /** SHA-256 of its Ollama manifest. */
  readonly digest: string | null;
  /** Of all its files; null when only its header knows. */
  readonly bytes: number | null;
  /** Tokens of context where the owner's config names none. */
  readonly contextSize: number | null;
  /** Arguments of llama-server that come before the owner's own. */
  readonly args: readonly string[];
  readonly projector: SideFile | null;
  readonly adapters: readonly SideFile[];
  /** What it says where a request does not. */
  readonly defaults: ModelDefaults;
  /** What it has and llama-server is not given, in sentences. */
  readonly notes: readonly string[];
  /** Why it cannot be loaded, where that is known already. */
  readonly defect: Defect | null;
}

export interface EntrySource {
  readonly origin: ModelOrigin;
  readonly config: Config;
}

/** A GGUF file by itself. */
export function fileEntry({ id, path }: ModelFile, { origin, config }: EntrySource): CatalogEntry {
  const { aliases, sampling } = settingsFor(config, id);
  return {
    ...{ id, path, origin, aliases, settingsId: id, ollamaKey: null, digest: null, bytes: null, contextSize: null },
    ...{ args: samplingArgs(sampling), projector: null, adapters: [], defaults: NO_DEFAULTS, notes: [] },
    defect: null,
  };
}

/** A model of an Ollama store. */
export function storedEntry({ id, path, store, ...model }: StoredModel, config: Config): CatalogEntry {
  const settingsId = settingsIdOf(id, config);
  const { digest, bytes, contextSize, projector, adapters, defaults, notes, defect } = model;
  const { aliases, sampling } = settingsFor(config, settingsId);
  return {
    ...{ id, path, settingsId, aliases, ollamaKey: ollamaKey(id), origin: { kind: "ollama", where: store } },
    ...{ digest, bytes, contextSize, projector, adapters, defaults, notes, defect },
    args: overlayArgs(model.args, samplingArgs(sampling)),
  };
}

/** The owner may write an Ollama model's name in any of its spellings. */
function settingsIdOf(id: string, { models: { settings } }: Config): string {
  if (Object.hasOwn(settings, id)) return id;
  const key = ollamaKey(id);
  return Object.keys(settings).find((name) => key !== null && ollamaKey(name) === key) ?? id;
}

/** Settings whose model is nowhere: a slip, or a model that is not there yet. */
export function settingsWithoutModel(
  { models: { settings } }: Config,
  entries: readonly CatalogEntry[],
): readonly string[] {
  const used = new Set(entries.map(({ settingsId }) => settingsId));
  return Object.keys(settings).flatMap((id) => {
    if (used.has(id)) return [];
    const suggestion = nearest(
      id,
      entries.map((entry) => entry.id),
    );
    const advice = suggestion === null ? "" : ` (did you mean ${suggestion}?)`;
    return [`${formatPath(["synaptic", "models", "settings", id])} has no effect: there is no such model${advice}`];
  });
}
