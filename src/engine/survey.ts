/** All models with what they are and where they would run now: reads their headers, and plans from what was last seen. */
import type { Config } from "../core/config-types.ts";
import { SynapticError, wrapError } from "../core/errors.ts";
import type { Defect } from "../core/loadable.ts";
import {
  factsFor,
  type ListedModel,
  listElsewhere,
  type ModelListing,
  nowhere,
  type Outlook,
  onPool,
  outlookOf,
} from "../core/model-listing.ts";
import type { Catalog } from "./catalog.ts";
import type { CatalogEntry } from "./catalog-entry.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Fleet } from "./fleet.ts";
import type { ModelPort, ReadModel } from "./ports.ts";

export interface Surveyed {
  readonly config: Config;
  readonly catalog: Catalog;
  readonly fleet: Pick<Fleet, "planAsSeen" | "snapshot">;
  readonly dispatch: Pick<Dispatch, "route">;
  readonly models: ModelPort;
}

/** Headers read at the same time. */
const AT_ONCE = 4;

/** The damaged ones too, each with its reason; rejects with the signal's reason alone. */
export async function surveyModels(surveyed: Surveyed, signal: AbortSignal): Promise<ModelListing> {
  const { entries, elsewhere, problems } = await surveyed.catalog.survey();
  const models: ListedModel[] = [];
  for (let at = 0; at < entries.length; at += AT_ONCE) {
    const some = entries.slice(at, at + AT_ONCE);
    models.push(...(await Promise.all(some.map((entry) => listOne(surveyed, entry, signal)))));
  }
  const others = elsewhere.map(async (model) =>
    listElsewhere(model, await pooled(surveyed, { id: model.id, contextSize: null }, signal)),
  );
  return { models: [...models, ...(await Promise.all(others))], problems };
}

async function listOne(surveyed: Surveyed, entry: CatalogEntry, signal: AbortSignal): Promise<ListedModel> {
  const { id, aliases, origin, digest, path, bytes, notes } = entry;
  const read = entry.defect ?? (await readEntry(surveyed, entry, signal));
  const isRead = "facts" in read;
  const outlook = isRead ? await outlookFor(surveyed, entry, signal) : nowhere("", []);
  return {
    ...{ id, aliases, origin, digest, path, notes },
    ...factsFor(isRead ? read.facts : null, bytes),
    ...outlook,
    defect: isRead ? null : read,
  };
}

async function readEntry(
  { models }: Surveyed,
  { path }: CatalogEntry,
  signal: AbortSignal,
): Promise<ReadModel | Defect> {
  try {
    return await models.read(path, { signal });
  } catch (error) {
    signal.throwIfAborted();
    const { message, hint } = wrapError("model_unreadable", `Cannot read model ${path}`, error);
    return { reason: message.replace(`Cannot read model ${path}: `, ""), hint: hint ?? "see its file" };
  }
}

/** Where a request for it goes to the pool now; null when it does not. By the same rule as requests. */
async function pooled(
  { dispatch }: Surveyed,
  { id, contextSize }: Pick<CatalogEntry, "id" | "contextSize">,
  signal: AbortSignal,
): Promise<Outlook | null> {
  try {
    const routed = await dispatch.route(id, signal);
    const { decision } = routed;
    return decision.kind === "pool" ? onPool(decision, routed.contextSize ?? contextSize) : null;
  } catch (error) {
    signal.throwIfAborted();
    // Why it cannot be sharded either is said below, in the listing's own words.
    if (error instanceof SynapticError) return null;
    throw error;
  }
}

/** Of a model that is loaded, where it lies; else where it would. */
async function outlookFor(surveyed: Surveyed, entry: CatalogEntry, signal: AbortSignal): Promise<Outlook> {
  const { config, fleet } = surveyed;
  const loaded = fleet.snapshot().find(({ model, state }) => model === entry.id && state === "ready")?.plan;
  if (loaded) return outlookOf({ ok: true, plan: loaded }, true);
  const onNodes = await pooled(surveyed, entry, signal);
  if (onNodes) return onNodes;
  if (!config.sharding) return nowhere("model sharding is switched off", ["set model_sharding_enabled to true"]);
  try {
    const { result } = await fleet.planAsSeen(entry, signal);
    return outlookOf(result, false);
  } catch (error) {
    signal.throwIfAborted();
    // Without an engine nothing runs, and the listing is useful all the same.
    const { message, hint } = error instanceof SynapticError ? error : wrapError("internal", "Cannot plan", error);
    return nowhere(message, hint === undefined ? [] : [hint]);
  }
}
