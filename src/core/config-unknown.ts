/** Keys of the file that have no effect: unknown ones with the nearest known key, and those of later versions. Pure. */
import { z } from "zod";
import { formatPath, type Path } from "./config-problems.ts";
import { fileSchema } from "./config-schema.ts";
import { LATER_KEYS } from "./config-schema-own.ts";
import { nearest } from "./nearest.ts";

interface KeyFinding {
  readonly path: Path;
  readonly key: string;
  readonly known: readonly string[];
}

/** At most two lines, however many keys: each line names its keys once. */
export function keyWarnings(file: unknown): readonly string[] {
  const unknown: string[] = [];
  const later = new Set<string>();
  visitKeys(fileSchema, { value: file, path: [] }, ({ path, key, known }) => {
    if (!known.includes(key)) unknown.push(describeUnknown(path, { key, known }));
    else if (isLater(path, key)) later.add(formatPath([...path, key]));
  });
  const warnings: string[] = [];
  if (unknown.length > 0) warnings.push(`Unknown keys have no effect: ${listed(unknown)}`);
  if (later.size > 0) warnings.push(`Not used yet in this version of synaptic: ${listed([...later])}`);
  return warnings;
}

const MOST_NAMED = 20;

function listed(names: readonly string[]): string {
  const more = names.length - MOST_NAMED;
  return names.slice(0, MOST_NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

function describeUnknown(
  path: Path,
  { key, known }: { readonly key: string; readonly known: readonly string[] },
): string {
  const suggestion = nearest(key, known);
  const own = path.length === 0 && suggestion === null && OWN_KEYS.includes(key);
  const advice = own ? `synaptic.${key}` : suggestion;
  return formatPath([...path, key]) + (advice === null ? "" : ` (did you mean ${advice}?)`);
}

/** A key of ours written at the top level is a likely slip. */
const OWN_KEYS = [
  "listen",
  "llamaServer",
  "contextSize",
  "parallel",
  "kvType",
  "placement",
  "models",
  "ollama",
  "probe",
  "measure",
  "keys",
  "queue",
  "limits",
];

function isLater(path: Path, key: string): boolean {
  const [top, section, part] = path;
  if (top !== "synaptic") return false;
  if (section === "backends") return LATER_KEYS.backend.some((word) => word === key);
  return (
    section === "models" && part === "settings" && path.length === 4 && LATER_KEYS.settings.some((word) => word === key)
  );
}

interface Place {
  readonly value: unknown;
  readonly path: Path;
}

/** Walks objects, lists and records of the schema together with the value; open objects (`rpc_backends[]`) are skipped. */
function visitKeys(schema: z.core.$ZodType, place: Place, visit: (finding: KeyFinding) => void): void {
  const { value, path } = place;
  if (schema instanceof z.ZodOptional) {
    visitKeys(schema.unwrap(), place, visit);
    return;
  }
  if (schema instanceof z.ZodArray && Array.isArray(value)) {
    for (const [index, item] of value.entries())
      visitKeys(schema.element, { value: item, path: [...path, index] }, visit);
    return;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return;
  if (schema instanceof z.ZodUnion) {
    for (const option of schema.options) if (option instanceof z.ZodObject) visitKeys(option, place, visit);
    return;
  }
  if (schema instanceof z.ZodRecord) {
    for (const [key, item] of Object.entries(value))
      visitKeys(schema.valueType, { value: item, path: [...path, key] }, visit);
    return;
  }
  if (!(schema instanceof z.ZodObject) || schema.def.catchall) return;
  const shape: Readonly<Record<string, z.core.$ZodType>> = schema.shape;
  const known = Object.keys(shape);
  for (const [key, item] of Object.entries(value)) {
    visit({ path, key, known });
    const inner = Object.hasOwn(shape, key) ? shape[key] : undefined;
    if (inner) visitKeys(inner, { value: item, path: [...path, key] }, visit);
  }
}
