/** What is known of models that are to be planned, whether they find room together, and why one finds none. */
import { SynapticError } from "../core/errors.ts";
import type { MemoryView } from "../core/node-memory.ts";
import { planModel } from "../core/plan.ts";
import type { Plan, PlanInput } from "../core/plan-types.ts";
import type { EngineFacts } from "../core/snapshot.ts";
import type { CatalogEntry } from "./catalog-entry.ts";
import type { ReadWhole } from "./side-files.ts";

/** What a plan is made of, beside the backends. */
export interface InputSources extends ReadWhole {
  readonly engine: EngineFacts;
  /** Models whose coordinators would give away what they hold. */
  readonly givers: readonly string[];
  /** What others are going to hold. */
  readonly beside?: readonly Plan[];
  /** Nodes, backends and head node as they would be; as they are without it. */
  readonly view?: MemoryView;
}

export class Room {
  readonly #input: (entry: CatalogEntry, sources: InputSources) => PlanInput;
  /** As each model was last asked for. */
  readonly #entries = new Map<string, CatalogEntry>();
  /** As it was last read. */
  readonly #sources = new Map<string, InputSources>();
  /** As it was last planned for a load. */
  readonly #planned = new Map<string, CatalogEntry>();

  constructor(input: (entry: CatalogEntry, sources: InputSources) => PlanInput) {
    this.#input = input;
  }

  /** A tag may have got other files since it was last asked for: the next load takes them. */
  ask(entry: CatalogEntry): void {
    if (isOther(this.#entries.get(entry.id), entry)) this.#sources.delete(entry.id);
    this.#entries.set(entry.id, entry);
  }

  latest(entry: CatalogEntry): CatalogEntry {
    return this.#entries.get(entry.id) ?? entry;
  }

  /** Whether what was last planned, and is perhaps loaded, are other files than are asked for now. */
  isOutdated(entry: CatalogEntry): boolean {
    return isOther(this.#planned.get(entry.id), entry);
  }

  /** To be called as it is planned for a load. */
  learn(entry: CatalogEntry, sources: InputSources): void {
    this.#sources.set(entry.id, sources);
    this.#planned.set(entry.id, entry);
  }

  isKnown(model: string): boolean {
    return this.#sources.has(model);
  }

  /** Whether these would all be placed, one after the other, without what the givers hold; by what was last seen. */
  fits(models: readonly string[], givers: readonly string[]): boolean {
    const beside: Plan[] = [];
    return models.every((model) => {
      const entry = this.#entries.get(model);
      const sources = this.#sources.get(model);
      const result = entry && sources && planModel(this.#input(entry, { ...sources, givers, beside }));
      if (result?.ok) beside.push(result.plan);
      return result?.ok ?? false;
    });
  }

  /** Why a model cannot be loaded, though all the givers went: that, or these pinned ones. */
  refusal(entry: CatalogEntry, sources: InputSources, pinned: readonly string[]): SynapticError {
    if (pinned.length > 0) {
      const names = `${pinned.length === 1 ? "the pinned model" : "pinned models"} ${pinned.join(", ")}`;
      return new SynapticError("does_not_fit", `Cannot load ${entry.id}: its room is held by ${names}`, {
        hint: "unpin one (pin in synaptic.models.settings), or add a backend",
      });
    }
    const result = planModel(this.#input(entry, sources));
    if (result.ok)
      return new SynapticError("no_backends", `Cannot load ${entry.id} now: its backends have just changed`);
    const { code, message, hint } = result.refusal;
    return new SynapticError(code, message, { hint });
  }
}

function isOther(known: CatalogEntry | undefined, { path, digest }: CatalogEntry): boolean {
  return known !== undefined && (known.path !== path || known.digest !== digest);
}

export function shardingOff(model: string): SynapticError {
  return new SynapticError("no_backends", `Cannot load ${model}: model sharding is switched off`, {
    hint: "set model_sharding_enabled to true in the config",
  });
}
