/** The configuration's keys as a Markdown table, from its JSON Schema. Pure. */
import { z } from "zod";
import { markdownTable } from "./bench-stats.ts";

/** The parts of JSON Schema that zod writes for our configuration. */
const nodeSchema = z.object({
  type: z.string().optional(),
  description: z.string().optional(),
  enum: z.array(z.string()).optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  properties: z.record(z.string(), z.unknown()).optional(),
  additionalProperties: z.unknown().optional(),
  items: z.unknown().optional(),
  anyOf: z.array(z.unknown()).optional(),
});
type Node = z.infer<typeof nodeSchema>;

/** Descriptions that many keys share: those keys are named in one sentence each. */
const IGNORED = "SynapticLlamas' own; synaptic ignores it.";
const LATER = "Known, not used yet in this version of synaptic.";

interface Key {
  readonly path: string;
  readonly node: Node;
}

/** Every key with its path: `[]` stands for each item of a list, `NAME` for a key of the owner's choice. */
function keysOf(path: string, node: Node): readonly Key[] {
  const at = (suffix: string): string => (path === "" ? suffix : `${path}.${suffix}`);
  const properties = Object.entries(node.properties ?? {}).flatMap(([name, child]) => walk(at(name), child));
  const items = isNode(node.items) ? keysOf(`${path}[]`, nodeSchema.parse(node.items)) : [];
  const named = isNode(node.additionalProperties)
    ? keysOf(at("NAME"), nodeSchema.parse(node.additionalProperties))
    : [];
  return [...properties, ...items, ...named];
}

function walk(path: string, child: unknown): readonly Key[] {
  const node = nodeSchema.parse(child);
  return [{ path, node }, ...keysOf(path, node)];
}

function isNode(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

function describeType(node: Node): string {
  if (node.enum) return node.enum.map((word) => `\`${word}\``).join(", ");
  if (node.anyOf) return node.anyOf.map((option) => describeType(nodeSchema.parse(option))).join(" or ");
  const range = describeRange(node);
  if (node.type === "array") return "list";
  return `${node.type ?? "anything"}${range}`;
}

function describeRange({ minimum, maximum }: Node): string {
  // zod bounds every integer by what a double can hold.
  const most = maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum;
  if (minimum === undefined) return most === undefined ? "" : ` up to ${most}`;
  return most === undefined ? ` from ${minimum}` : ` ${minimum} to ${most}`;
}

/** A table of the keys that do something, and below it the names of those that do not. */
export function configKeys(schema: Readonly<Record<string, unknown>>): string {
  const keys = keysOf("", nodeSchema.parse(schema));
  const named = (description: string): string =>
    keys
      .filter(({ node }) => node.description === description)
      .map(({ path }) => `\`${path}\``)
      .join(", ");
  const rows = keys
    .filter(({ node }) => node.description !== IGNORED && node.description !== LATER)
    .map(({ path, node }) => [`\`${path}\``, describeType(node), cell(node.description ?? "")]);
  return [
    markdownTable(["key", "type", "meaning"], rows),
    `Known, and without effect in this version: ${named(LATER)}.`,
    `Known and ignored, since SynapticLlamas alone uses them: ${named(IGNORED)}.`,
  ].join("\n\n");
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
