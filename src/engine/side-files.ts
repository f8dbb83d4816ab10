/** A model as it is loaded: its own file, and those that its settings put beside it. */
import { settingsFor } from "../core/config-models.ts";
import type { Config } from "../core/config-types.ts";
import { SynapticError, wrapError } from "../core/errors.ts";
import type { ModelFacts } from "../core/model.ts";
import type { SideFile } from "../core/plan-types.ts";
import type { CatalogEntry } from "./catalog-entry.ts";
import type { ModelPort, ReadModel } from "./ports.ts";

export interface ReadWhole extends ReadModel {
  /** The owner's own; without it the model's. */
  readonly projector?: SideFile;
  readonly draft?: { readonly path: string; readonly facts: ModelFacts };
}

export interface ReadOptions {
  readonly config: Config;
  readonly signal: AbortSignal;
}

/** Reads a model's header and those of its projector and draft. @throws SynapticError `model_unreadable` that names the one at fault. */
export async function readWhole(
  models: ModelPort,
  entry: CatalogEntry,
  { config, signal }: ReadOptions,
): Promise<ReadWhole> {
  const { mmproj, draft } = settingsFor(config, entry.settingsId);
  const [model, projector, drafting] = await Promise.all([
    models.read(entry.path, { signal }),
    mmproj === null ? null : named("projector", models.projector(mmproj, { signal }), signal),
    draft === null ? null : named("draft model", models.read(draft, { signal }), signal),
  ]);
  return {
    ...model,
    ...(projector && { projector }),
    ...(drafting && { draft: { path: drafting.path, facts: drafting.facts } }),
  };
}

async function named<T>(what: string, reading: Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    signal.throwIfAborted();
    const { code, message, hint } = wrapError("model_unreadable", `Cannot read the ${what}`, error);
    throw new SynapticError(code, message.replace("Cannot read model", `Cannot read the ${what}`), {
      ...(hint !== undefined && { hint }),
      cause: error,
    });
  }
}
