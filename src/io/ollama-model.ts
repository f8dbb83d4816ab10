/** One model of an Ollama store: its manifest and small layers read, its blobs held against what they should be. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { SynapticError } from "../core/errors.ts";
import type { Defect } from "../core/loadable.ts";
import type { ModelFacts } from "../core/model.ts";
import { NO_DEFAULTS } from "../core/model-defaults.ts";
import { blobNames, type OllamaLayer, partsOf, pullAgain } from "../core/ollama-manifest.ts";
import type { SideFile } from "../core/plan-types.ts";
import type { StoredModel } from "../core/stored-model.ts";
import { formatBytes } from "../core/units.ts";
import { Damage, type ManifestFile, type ReadManifest } from "./ollama-manifest-file.ts";
import { denied, isDenied } from "./ollama-places.ts";

/** Looks into files; into GGUF headers both reject with `model_unreadable` when that fails. */
export interface Inspector {
  manifest(file: ManifestFile): Promise<ReadManifest>;
  /** Null when there is no time to know; rejects also when llama-server could not load the model. */
  model(path: string): Promise<{ readonly facts: Pick<ModelFacts, "chatTemplate"> } | null>;
  /** Why llama-server would not take a projector; null when it would. */
  projector(path: string): Promise<string | null>;
}

/** Never rejects: what is wrong with a model stands in its `defect`. */
export async function readStoredModel(file: ManifestFile, inspector: Inspector): Promise<StoredModel> {
  const { id, store } = file;
  const known: Known = { digest: null, bytes: 0, path: "" };
  const blank = { projector: null, adapters: [], contextSize: null, args: [], defaults: NO_DEFAULTS, notes: [] };
  try {
    return { id, store, ...(await readParts(file, known, inspector)), ...known, defect: null };
  } catch (error) {
    return { id, store, ...blank, ...known, defect: await defectOf(error, file) };
  }
}

/** What stays true of a damaged model. */
interface Known {
  digest: string | null;
  bytes: number;
  path: string;
}

async function defectOf(error: unknown, { path }: ManifestFile): Promise<Defect> {
  if (error instanceof Damage) return error.defect;
  if (isDenied(error)) return await denied(path);
  return {
    reason: `its manifest cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    hint: `see ${path}`,
  };
}

type Usable = Pick<StoredModel, "projector" | "adapters" | "contextSize" | "args" | "defaults" | "notes">;

async function readParts(file: ManifestFile, known: Known, inspector: Inspector): Promise<Usable> {
  const { id, store } = file;
  const { digest, manifest, config, params, system } = await inspector.manifest(file);
  known.digest = digest;
  known.bytes = [manifest.config, ...manifest.layers].reduce((sum, layer) => sum + (layer?.bytes ?? 0), 0);
  const result = partsOf(manifest, config, id);
  if (!result.ok) throw new Damage(result.defect.reason, result.defect.hint);
  const { parts } = result;
  const check = (layer: OllamaLayer, what: string): Promise<SideFile> => checkBlob(layer, { id, store, what });
  known.path = (await check(parts.model, "weights")).path;
  const model = await look(inspector.model, known.path, id);
  const isBare = parts.hasTemplate && model?.facts.chatTemplate === false;
  const projector = parts.projector && (await check(parts.projector, "projector"));
  const flaw = projector && (await look(inspector.projector, projector.path, id));
  const adapters: SideFile[] = [];
  for (const layer of parts.adapters) adapters.push(await check(layer, "adapter"));
  refuseCommas(adapters);
  return {
    projector: flaw === null ? projector : null,
    adapters,
    contextSize: params.contextSize,
    args: params.args,
    defaults: { system, stop: params.stop },
    notes: [
      ...parts.notes,
      ...(isBare ? [BARE] : []),
      ...params.notes,
      ...(flaw === null ? [] : [`images are not understood: ${flaw}`]),
    ],
  };
}

const BARE = "its GGUF file has none, so llama-server takes ChatML; --chat-template in its args names another";

interface BlobOf {
  readonly id: string;
  readonly store: string;
  /** What the blob holds, in a word. */
  readonly what: string;
}

/** The file of a blob, when it is there and has its size. @throws Damage */
async function checkBlob(layer: OllamaLayer, { id, store, what }: BlobOf): Promise<SideFile> {
  const names = blobNames(layer);
  for (const name of names) {
    const path = join(store, "blobs", name);
    const found = await statBlob(path);
    if (!found) continue;
    if (!found.isFile()) throw new Damage(`the blob of its ${what} is no file: ${path}`, pullAgain(id));
    if (found.size === layer.bytes) return { path, bytes: found.size };
    throw new Damage(
      `the blob of its ${what} has ${formatBytes(found.size)}, its manifest says ${formatBytes(layer.bytes)} (${path})`,
      `\`ollama rm ${id}\`, then ${pullAgain(id)}`,
    );
  }
  const path = join(store, "blobs", names[0]);
  if (await statBlob(`${path}-partial`)) {
    throw new Damage(`the download of its ${what} is not finished`, `\`ollama pull ${id}\` goes on with it`);
  }
  throw new Damage(`the blob of its ${what} is missing: ${path}`, pullAgain(id));
}

/** Null when it is not there. @throws Damage when this user may not know. */
async function statBlob(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    if (!isDenied(error)) return null;
    const { reason, hint } = await denied(path);
    throw new Damage(reason, hint);
  }
}

/** @throws Damage with what is wrong inside. */
async function look<T>(into: (path: string) => Promise<T>, path: string, id: string): Promise<T> {
  try {
    return await into(path);
  } catch (error) {
    if (!(error instanceof SynapticError)) throw error;
    if (isDenied(error.cause)) {
      const { reason, hint } = await denied(path);
      throw new Damage(reason, hint);
    }
    const reason = error.message.replace(`Cannot read model ${path}: `, "");
    // A split file finds its other parts by name, and blobs have none.
    const hint = /^file is part \d+ of/.test(reason)
      ? "merge the parts (`llama-gguf-split --merge`) and create it again from that file"
      : (error.hint ?? pullAgain(id));
    throw new Damage(reason, hint);
  }
}

function refuseCommas(files: readonly SideFile[]): void {
  const split = files.find(({ path }) => path.includes(","));
  if (!split) return;
  throw new Damage(
    `the path of its adapter has a comma, where llama-server would divide it: ${split.path}`,
    "move the store to a folder without a comma in its name (OLLAMA_MODELS)",
  );
}
