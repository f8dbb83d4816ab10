/** Reads manifests and the small blobs that they name: once for as long as a manifest stays the same. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Defect } from "../core/loadable.ts";
import {
  blobNames,
  type OllamaConfig,
  type OllamaLayer,
  type OllamaManifest,
  parseConfig,
  parseManifest,
  pullAgain,
} from "../core/ollama-manifest.ts";
import { NO_PARAMS, type OllamaParams, parseParams } from "../core/ollama-params.ts";

/** The manifest of a safetensors model names each of its thousands of tensors. */
const MAX_MANIFEST_BYTES = 16 * 1024 ** 2;
const MAX_SMALL_BYTES = 1024 ** 2;
const MAX_REMEMBERED = 4_000;

export interface ManifestFile {
  readonly id: string;
  /** The folder with `blobs` and `manifests`. */
  readonly store: string;
  readonly path: string;
}

export interface ReadManifest {
  /** SHA-256 of the file. */
  readonly digest: string;
  readonly manifest: OllamaManifest;
  /** Null when it cannot be read: a damaged one keeps no GGUF file from being loaded. */
  readonly config: OllamaConfig | null;
  readonly params: OllamaParams;
  /** The text that it begins each conversation with. */
  readonly system: string | null;
}

/** What can be wrong with a model, thrown to end its reading early. */
export class Damage extends Error {
  readonly defect: Defect;
  constructor(reason: string, hint: string) {
    super(reason);
    this.defect = { reason, hint };
  }
}

export class ManifestReader {
  readonly #known = new Map<string, ReadManifest>();

  /** @throws Damage when it is no manifest; what the system says when it cannot be read. */
  async read({ id, store, path }: ManifestFile): Promise<ReadManifest> {
    const { size, mtimeMs, ctimeMs, ino } = await stat(path);
    const key = [path, size, mtimeMs, ctimeMs, ino].join(":");
    const known = this.#known.get(key);
    if (known) return known;
    if (size > MAX_MANIFEST_BYTES) throw new Damage("its manifest is larger than 16 MiB", pullAgain(id));
    const bytes = await readFile(path);
    const result = parseManifest(bytes.toString("utf8"));
    if (!result.ok) throw new Damage(result.reason, pullAgain(id));
    const { manifest } = result;
    const layerOf = (wanted: string) => manifest.layers.find(({ kind }) => kind === wanted) ?? null;
    const [params, system] = [layerOf("params"), layerOf("system")];
    const small = [manifest.config, params, system];
    const texts = await Promise.all(small.map((layer) => layer && readSmallBlob(store, layer)));
    const [configText = null, paramsText = null, systemText = null] = texts;
    const read = {
      digest: new Bun.CryptoHasher("sha256").update(bytes).digest("hex"),
      manifest,
      config: configText === null ? null : parseConfig(configText),
      params: paramsOf(params, paramsText),
      system: systemText || null,
    };
    // What is missing may come back without a change of the manifest.
    const isWhole = small.every((layer, index) => layer === null || texts[index] !== null);
    if (this.#known.size >= MAX_REMEMBERED) this.#known.clear();
    if (isWhole) this.#known.set(key, read);
    return read;
  }
}

function paramsOf(layer: OllamaLayer | null, text: string | null): OllamaParams {
  if (text !== null) return parseParams(text);
  return layer ? { ...NO_PARAMS, notes: ["its params layer is missing; defaults apply"] } : NO_PARAMS;
}

async function readSmallBlob(store: string, layer: OllamaLayer): Promise<string | null> {
  for (const name of blobNames(layer)) {
    const path = join(store, "blobs", name);
    const found = await stat(path).catch(() => null);
    if (found?.isFile() && found.size <= MAX_SMALL_BYTES) return await readFile(path, "utf8").catch(() => null);
  }
  return null;
}
