/** What Ollama's clients list and look at: models, loaded ones, one in full; from what is known, without asking a node. */
import { settingsFor } from "../core/config-models.ts";
import { SynapticError } from "../core/errors.ts";
import { ollamaKey } from "../core/ollama.ts";
import { eachOnce, runningOnNode, runningOnShards, type ShownFile, shownOfHead } from "../core/ollama-shown.ts";
import { SAMPLING } from "../core/sampling.ts";
import type { JsonObject } from "../core/translate/json.ts";
import { type OllamaModel, ollamaPs, ollamaShow, ollamaTags } from "../core/translate/ollama-listing.ts";
import type { CatalogEntry } from "../engine/catalog-entry.ts";
import type { RuntimeView } from "./runtime-view.ts";
import { poolNodes } from "./served.ts";

/** Home Assistant waits 5 s for a list (facts/clients.md 1a): headers that take longer are left out of it. */
const PATIENCE_MS = 2_000;

/** `GET /api/tags`: the head node's models and those of nodes, each name once. */
export async function listTags(view: RuntimeView, signal: AbortSignal): Promise<JsonObject> {
  const entries = await view.catalog.list();
  const files = await filesOf(view, entries, signal);
  const ofHead = entries.map((entry) => shownEntry(view, entry, files.get(entry.id) ?? null));
  return ollamaTags(eachOnce(ofHead, poolNodes(view)));
}

/** `GET /api/ps`: coordinators that are ready, and what nodes hold. */
export async function listRunning(view: RuntimeView, signal: AbortSignal): Promise<JsonObject> {
  const ready = view.snapshot().coordinators.flatMap((one) => (one.state === "ready" && one.plan ? [one] : []));
  const entries = await Promise.all(ready.map(({ model }) => view.catalog.find(model).catch(() => null)));
  const files = await filesOf(
    view,
    entries.filter((entry) => entry !== null),
    signal,
  );
  const onShards = ready.flatMap(({ model, plan, keepUntil }, index) => {
    const entry = entries[index];
    const head = { id: model, digest: null, bytes: null, hasProjector: false, file: null };
    const shown = entry ? shownEntry(view, entry, files.get(model) ?? null) : shownOfHead(head);
    return plan ? [runningOnShards(shown, plan, keepUntil)] : [];
  });
  const onNodes = poolNodes(view).flatMap((node) => node.loaded.map((loaded) => runningOnNode(node, loaded)));
  return ollamaPs([...onShards, ...onNodes]);
}

/** `POST /api/show` of a model whose file the head node has. @throws SynapticError `model_unreadable`. */
export async function showModel(view: RuntimeView, entry: CatalogEntry, signal: AbortSignal): Promise<JsonObject> {
  const file = await view.ports.models.read(entry.path, { signal });
  return ollamaShow({
    ...shownEntry(view, entry, file),
    template: file.about?.template ?? "",
    system: "",
    license: licenseOf(file),
    parameterDefaults: { num_ctx: contextOf(view, entry, file), ...samplingOf(entry) },
    info: file.about?.info ?? {},
    from: entry.path,
  });
}

/** Where a node has it: its own answer is the better one, since the template is Ollama's there.
 *  @throws SynapticError `model_not_found` when nobody has it. */
export async function whereToShow(view: RuntimeView, model: string): Promise<CatalogEntry | { readonly url: string }> {
  const key = ollamaKey(model);
  const node = poolNodes(view).find(({ models }) => key !== null && models.some(({ name }) => ollamaKey(name) === key));
  try {
    return await view.catalog.find(model);
  } catch (error) {
    if (node && error instanceof SynapticError) return { url: node.url };
    throw error;
  }
}

function shownEntry({ config }: RuntimeView, entry: CatalogEntry, file: ShownFile | null): OllamaModel {
  const { id, digest, bytes, projector, settingsId } = entry;
  const hasProjector = projector !== null || settingsFor(config, settingsId).mmproj !== null;
  return shownOfHead({ id, digest, bytes, hasProjector, file });
}

function licenseOf({ about }: ShownFile): string {
  const license = about?.info["general.license"];
  return typeof license === "string" ? license : "";
}

/** Continue and others plan their prompts by it: what is loaded counts, else what would be. */
function contextOf(view: RuntimeView, entry: CatalogEntry, { facts }: ShownFile): number {
  const loaded = view.snapshot().coordinators.find(({ model, state }) => model === entry.id && state === "ready")?.plan;
  const { config } = view;
  const own = settingsFor(config, entry.settingsId).contextSize ?? entry.contextSize ?? config.contextSize;
  return loaded?.contextSize ?? own ?? Math.min(facts.trainedContext, USUAL_CONTEXT);
}

/** Of the planner, where nobody says another. */
const USUAL_CONTEXT = 32_768;

/** Its llama-server arguments are flag and value in turn; told by Ollama's names. */
function samplingOf({ args }: CatalogEntry): Readonly<Record<string, number>> {
  const found = SAMPLING.flatMap(({ key, flag }) => {
    const at = args.indexOf(flag);
    return at < 0 ? [] : [[key, Number(args[at + 1])] as const];
  });
  return Object.fromEntries(found);
}

/** What the headers of these say, as far as they can be read in time. */
async function filesOf(
  { ports }: RuntimeView,
  entries: readonly CatalogEntry[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, ShownFile>> {
  const found = new Map<string, ShownFile>();
  const late = Promise.withResolvers<void>();
  const cancel = ports.clock.after(PATIENCE_MS, late.resolve);
  const reading = entries.map(async ({ id, path }) => {
    // What cannot be read is listed by its name alone.
    const file = await ports.models.read(path, { signal }).catch(() => null);
    if (file) found.set(id, file);
  });
  await Promise.race([Promise.all(reading), late.promise]).finally(cancel);
  signal.throwIfAborted();
  return new Map(found);
}
