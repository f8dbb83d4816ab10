/** A model as an Ollama store has it on disk, and what of a store could not be read. Types only. */
import type { Defect } from "./loadable.ts";
import type { ModelDefaults } from "./model-defaults.ts";
import type { SideFile } from "./plan-types.ts";

export interface StoredModel {
  /** As `ollama list` shows it. */
  readonly id: string;
  /** The store's folder, that with `blobs` and `manifests`. */
  readonly store: string;
  /** SHA-256 of the manifest: what `ollama list` shortens to its ID. Null when it cannot be read. */
  readonly digest: string | null;
  /** The blob with the weights; empty when there is none. */
  readonly path: string;
  /** Of all its layers, as `ollama list` shows it. */
  readonly bytes: number;
  readonly projector: SideFile | null;
  readonly adapters: readonly SideFile[];
  /** `num_ctx` of its params, in tokens. */
  readonly contextSize: number | null;
  /** Its sampling defaults, as arguments of llama-server. */
  readonly args: readonly string[];
  /** What it says where a request does not. */
  readonly defaults: ModelDefaults;
  /** What it has and llama-server is not given, in sentences. */
  readonly notes: readonly string[];
  /** Why it cannot be used; null when it can. */
  readonly defect: Defect | null;
}

export interface StoreListing {
  /** Damaged ones too; ids in ascending order. */
  readonly models: readonly StoredModel[];
  /** Folders whose models are not known. */
  readonly problems: readonly Defect[];
}
