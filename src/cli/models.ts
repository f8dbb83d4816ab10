/** `synaptic models`: all models, what they are, where they would run and why; the damaged ones with their reasons. */
import type { Config } from "../core/config-types.ts";
import type { ListedModel, ModelListing } from "../core/model-listing.ts";
import { formatBytes } from "../core/units.ts";
import { findRunning } from "./client.ts";
import type { Host } from "./host.ts";
import { withRuntime } from "./look.ts";
import { table } from "./render.ts";

export interface ModelsOptions {
  readonly config: Config;
  readonly json: boolean;
}

/** Exit code 1 when there is no model, or something of what there is cannot be read. */
export async function modelsCommand(host: Host, { config, json }: ModelsOptions): Promise<number> {
  const listing = await look(host, config);
  host.write(json ? `${JSON.stringify(listing, null, 2)}\n` : renderModels(listing));
  const { models, problems } = listing;
  return models.length > 0 && problems.length === 0 && models.every(({ defect }) => defect === null) ? 0 : 1;
}

async function look(host: Host, config: Config): Promise<ModelListing> {
  // What is wrong stands in the listing.
  const ports = host.ports(config, "error");
  const client = await findRunning(ports.http, config);
  // Our own server's answer, rendered only.
  if (client) return (await client.get("/synaptic/models")) as ModelListing;
  return await withRuntime(host, { config, ports }, (runtime) => runtime.models(host.stopping));
}

const NONE =
  "No models: `ollama pull` one, or name GGUF files under synaptic.models.files or folders under synaptic.models.dirs\n";

/** A table of those that can be read, then what is wrong with the others. */
export function renderModels({ models, problems }: ModelListing): string {
  const sound = models.filter(({ defect }) => defect === null);
  const rows = sound.map((model) => [
    model.id,
    model.bytes === null ? "-" : formatBytes(model.bytes),
    model.architecture ?? "-",
    model.quantization ?? "-",
    model.contextSize ?? "-",
    whereOf(model),
    model.runs ? (model.reasons[0] ?? "") : "",
  ]);
  const header = ["MODEL", "SIZE", "ARCHITECTURE", "WEIGHTS", "CONTEXT", "WHERE", "WHY"];
  const parts = [
    ...(rows.length > 0 ? [table(header, rows)] : []),
    ...(models.length === 0 ? [NONE] : []),
    models.map(describeDamage).join(""),
    describeElsewhere(models),
    problems.map(({ reason, hint }) => `${reason}\n  ${hint}\n`).join(""),
  ];
  return parts.filter((part) => part !== "").join("\n");
}

function whereOf({ runs, where, origin }: ListedModel): string {
  return runs || origin.kind === "node" ? where : `nowhere: ${where}`;
}

/** What to do to have here what other machines have: once for all models with the same remedy but for their names. */
function describeElsewhere(models: readonly ListedModel[]): string {
  const byRemedy = new Map<string, string[]>();
  for (const { id, origin, notes } of models) {
    if (origin.kind !== "node") continue;
    const remedy = (notes[0] ?? "").replaceAll(id, "MODEL");
    byRemedy.set(remedy, [...(byRemedy.get(remedy) ?? []), id]);
  }
  return [...byRemedy].map(([remedy, ids]) => `Not on this machine: ${ids.join(", ")}\n  ${remedy}\n`).join("");
}

function describeDamage({ id, defect }: ListedModel): string {
  return defect ? `${id} cannot be used: ${defect.reason}\n  ${defect.hint}\n` : "";
}
