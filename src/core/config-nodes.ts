/** Which Ollama nodes there are, from the first source that names any, and what may be done with them. Pure. */
import { formatPath } from "./config-problems.ts";
import type { SynapticFile } from "./config-schema-own.ts";
import { type Candidate, type ConfigInput, choose, fileCandidate, type Ledger } from "./config-sources.ts";
import type { Config, ConfigNode } from "./config-types.ts";
import { hostOfNode, NODE_EXPECTED, portOfNode, readNodeUrl } from "./node-url.ts";
import { parseBytes } from "./units.ts";

export interface NodesContext {
  readonly input: ConfigInput;
  readonly own: NonNullable<SynapticFile["ollama"]>;
  /** Without the pool, only nodes that the owner names for synaptic are watched. */
  readonly pool: boolean;
  /** What listens there is synaptic itself. */
  readonly listen: Config["listen"];
}

/** Ollama's own address where nobody names another. */
const IMPLIED: ConfigNode = { url: "http://127.0.0.1:11434", implied: true };
const KEY = ["synaptic", "ollama", "nodes"] as const;

/** All nodes to watch; problems and lines go to the ledger. */
export function resolveNodes(ledger: Ledger, context: NodesContext): readonly ConfigNode[] {
  const { input, own, pool, listen } = context;
  const named = own.nodes?.flatMap((node, index) => readNode(ledger, node, [...KEY, index]));
  const side = input.sideFiles.nodes;
  const from: Candidate<readonly ConfigNode[]>[] = [
    variable(ledger, context, "SYNAPTIC_OLLAMA_NODES"),
    variable(ledger, context, "OLLAMA_NODES"),
    variable(ledger, context, "OLLAMA_HOST"),
    fileCandidate(input, KEY, named),
  ];
  if (pool) {
    from.push({ source: side?.path ?? "", read: () => (side ? readSideFile(ledger, side) : undefined) });
  }
  const implied = pool && !isOwnAddress(IMPLIED.url, listen) ? [IMPLIED] : [];
  const nodes = choose(ledger, { name: "ollama.nodes", from, fallback: implied });
  warnOfHidden(ledger, named);
  return withoutRepeats(ledger, notOurselves(ledger, nodes, listen));
}

/** Whether `~/.synapticllamas_nodes.json` counts: not where the config has a list of its own, or wants no pool. */
export function wantsNodesFile(file: unknown): boolean {
  const at = (value: unknown, key: string): unknown =>
    typeof value === "object" && value !== null ? Object.getOwnPropertyDescriptor(value, key)?.value : undefined;
  const isNamed = at(at(at(file, "synaptic"), "ollama"), "nodes") !== undefined;
  return !isNamed && at(file, "task_distribution_enabled") !== false;
}

/** A list with commas; null addresses of synaptic itself, which `OLLAMA_HOST` names to let the `ollama` command ask it. */
function variable(ledger: Ledger, { input, listen }: NodesContext, name: string): Candidate<readonly ConfigNode[]> {
  const read = () => {
    const parts = (input.env[name] ?? "").split(",").map((part) => part.trim());
    const nodes = parts.flatMap((text) => (text === "" ? [] : readAddress(ledger, text, { source: name, key: "" })));
    const others = nodes.filter(({ url }) => !isOwnAddress(url, listen));
    return others.length > 0 ? others : undefined;
  };
  return { source: name, read };
}

type NodeEntry = NonNullable<NonNullable<SynapticFile["ollama"]>["nodes"]>[number];

function readNode(ledger: Ledger, node: NodeEntry, path: readonly (string | number)[]): readonly ConfigNode[] {
  if (typeof node === "string") return readAddress(ledger, node, { source: null, key: formatPath(path) });
  const { url, weight, priority, memory } = node;
  const memoryBytes = typeof memory === "string" ? parseBytes(memory) : memory;
  if (memoryBytes === null || memoryBytes === 0) {
    const key = formatPath([...path, "memory"]);
    ledger.problems.push({
      source: null,
      key,
      expected: 'a size above 0, such as "24GiB"',
      found: JSON.stringify(memory),
    });
  }
  return readAddress(ledger, url, { source: null, key: formatPath([...path, "url"]) }).map((read) => ({
    ...read,
    ...(weight !== undefined && { weight }),
    ...(priority !== undefined && { priority }),
    ...(memoryBytes && { memoryBytes }),
  }));
}

interface Place {
  readonly source: string | null;
  readonly key: string;
}

function readAddress(ledger: Ledger, text: string, place: Place): readonly ConfigNode[] {
  const read = readNodeUrl(text);
  if (read.ok) return [{ url: read.url }];
  // Perhaps with a password in it.
  const found = text.includes("@") ? "an address with a user name" : JSON.stringify(text.slice(0, 60));
  ledger.problems.push({
    ...place,
    expected: NODE_EXPECTED,
    found,
    ...(read.hint !== undefined && { hint: read.hint }),
  });
  return [];
}

/** SynapticLlamas' `{"nodes": [{"url", "name", "priority"}]}` (facts/replaced-system.md section 1.3); undefined for none. */
function readSideFile(
  ledger: Ledger,
  { path, value }: { readonly path: string; readonly value: unknown },
): readonly ConfigNode[] | undefined {
  const list = typeof value === "object" && value !== null && "nodes" in value ? value.nodes : value;
  if (!Array.isArray(list)) {
    ledger.problems.push({
      source: path,
      key: "",
      expected: 'an object such as {"nodes": [{"url": "http://10.0.0.5:11434"}]}',
      found: "something else",
    });
    return undefined;
  }
  const nodes = list.flatMap((entry: unknown, index): readonly ConfigNode[] => {
    const key = `nodes[${index}]`;
    const about: object = typeof entry === "object" && entry !== null ? entry : {};
    const url = typeof entry === "string" ? entry : "url" in about ? about.url : undefined;
    if (typeof url !== "string") {
      ledger.problems.push({ source: path, key, expected: "an object with url", found: "something else" });
      return [];
    }
    const priority = "priority" in about && typeof about.priority === "number" ? Math.trunc(about.priority) : 0;
    return readAddress(ledger, url, { source: path, key }).map((node) =>
      priority === 0 ? node : { ...node, priority },
    );
  });
  return nodes.length > 0 ? nodes : undefined;
}

/** A line where a variable of Ollama's own, which many set for Ollama itself, hides the owner's list. */
function warnOfHidden(ledger: Ledger, named: readonly ConfigNode[] | undefined): void {
  const source = ledger.sources["ollama.nodes"];
  if (!named || named.length === 0 || (source !== "OLLAMA_HOST" && source !== "OLLAMA_NODES")) return;
  ledger.warnings.push(
    `${source} is set and comes before synaptic.ollama.nodes: unset it to use the ${named.length} named there`,
  );
}

function notOurselves(ledger: Ledger, nodes: readonly ConfigNode[], listen: Config["listen"]): readonly ConfigNode[] {
  return nodes.filter(({ url }) => {
    const isOurs = isOwnAddress(url, listen);
    if (isOurs) ledger.warnings.push(`${url} is left out of the Ollama nodes: synaptic itself listens there`);
    return !isOurs;
  });
}

function isOwnAddress(url: string, { host, port }: Config["listen"]): boolean {
  const isHere = (name: string) => /^(?:localhost|127\..*|::1|0\.0\.0\.0|::)$/i.test(name);
  const named = hostOfNode(url);
  return portOfNode(url) === port && (named === host.toLowerCase() || (isHere(named) && isHere(host)));
}

function withoutRepeats(ledger: Ledger, nodes: readonly ConfigNode[]): readonly ConfigNode[] {
  const first = new Map<string, ConfigNode>();
  for (const node of nodes) {
    const id = node.url.replace("//localhost", "//127.0.0.1");
    if (first.has(id))
      ledger.warnings.push(`${node.url} is named twice among the Ollama nodes: the first entry counts`);
    else first.set(id, node);
  }
  return [...first.values()];
}
