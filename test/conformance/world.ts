/** What the SDKs meet: the compiled binary before a real coordinator over real rpc-servers, and before Ollama nodes. */

import { join } from "node:path";
import { writeEmbeddingModel } from "../../scripts/sample-embedding.ts";
import { type Lab, openLab } from "../e2e/lab.ts";
import type { Synaptic } from "../e2e/synaptic.ts";
import { type FakeModel, type FakeOllamaNode, startOllamaNode } from "../fakes/ollama-node.ts";
import type { RealRpcServer } from "../fakes/real-rpc-server.ts";

/** On the shards: it recites one text, whatever it is asked (scripts/recitation). */
export const RECITE = "recite";
/** An embedding model, on a coordinator of the head node alone. */
export const EMBED = "embed";
/** On nodes. */
export const TALE: FakeModel = { name: "tale:8b", bytes: 4_700_000_000, capabilities: ["completion"] };
export const MIND: FakeModel = {
  name: "mind:8b",
  bytes: 4_700_000_000,
  capabilities: ["completion", "tools", "thinking", "vision", "insert"],
};
export const VECTORS: FakeModel = { name: "vec:latest", bytes: 300_000_000, capabilities: ["embedding"] };
const OTHERS = ["spaced/tale:8b", "hf.co/u/r:Q4_K_M"].map((name) => ({ ...TALE, name }));

/** A model of each kind of upstream, for what must be alike on both. */
export const KINDS = [RECITE, TALE.name] as const;

/** Of RECITE, long enough to be broken off: it starts over and over. */
export const ENDLESS = { max_tokens: 1500, ignore_eos: true };

/** What TALE and its like say. */
export const TALE_TEXT = "All is well ✓";

/** Of `main`, in tokens. */
export const CONTEXT = 2048;

export interface ServeOptions {
  readonly nodes?: readonly FakeOllamaNode[];
  readonly backends?: readonly RealRpcServer[];
  /** Keys below `synaptic`. */
  readonly own?: object;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface World extends AsyncDisposable {
  readonly lab: Lab;
  /** Both kinds behind one address: RECITE on two backends, the rest on `node`; a second node is dead. */
  readonly main: Synaptic;
  readonly node: FakeOllamaNode;
  /** Path of the reciting model. */
  readonly model: string;
  /** Another synaptic, for what would spoil `main` for others; it goes with the world. */
  serve(options: ServeOptions): Promise<Synaptic>;
  /** An Ollama node, TALE on it unless told otherwise; it goes with the world. */
  startNode(models?: readonly FakeModel[]): FakeOllamaNode;
}

/** A node that is killed in the middle of its first answer, after two pieces. */
export function frailNode({ startNode }: Pick<World, "startNode">): FakeOllamaNode {
  const node = startNode();
  node.manner = {
    async before(index) {
      if (index !== 2) return;
      // The first two are on their way once this one is waited for.
      await Bun.sleep(20);
      await node.stop();
      await new Promise(() => {});
    },
  };
  return node;
}

export async function openWorld(): Promise<World> {
  const lab = await openLab();
  const nodes: FakeOllamaNode[] = [];
  const startNode: World["startNode"] = (models = [TALE]) => {
    const node = startOllamaNode(models);
    nodes.push(node);
    return node;
  };
  const embedder = join(lab.folder, "embed.gguf");
  const [backends, model] = await Promise.all([
    lab.backends(2),
    lab.model({ layers: 8, type: "F16" }),
    writeEmbeddingModel(embedder),
  ]);
  const serve: World["serve"] = async ({ nodes = [], backends = [], own = {}, env = {} }) => {
    const config = lab.config(
      backends.map(({ endpoint }) => endpoint),
      {
        models: { files: { [RECITE]: model } },
        contextSize: CONTEXT,
        ollama: { nodes: nodes.map(({ url }) => url) },
        probe: { intervalMs: 200 },
        ...own,
      },
    );
    const synaptic = await lab.serve({ config, env });
    // With keys the status is the owner's alone; who serves with keys waits for itself.
    if (!("keys" in own) && env.SYNAPTIC_API_KEY === undefined) {
      await synaptic.untilStatus("all nodes polled", (status) =>
        status.nodes.every(({ state }) => state !== "unknown") ? status : null,
      );
    }
    return synaptic;
  };
  const node = startNode([TALE, MIND, VECTORS, ...OTHERS]);
  const dead = startNode();
  await dead.stop();
  const main = await serve({
    nodes: [node, dead],
    backends,
    own: { parallel: 2, models: { files: { [RECITE]: model, [EMBED]: embedder } } },
  });
  await main.load(RECITE);
  return {
    ...{ lab, main, node, model, serve, startNode },
    async [Symbol.asyncDispose]() {
      await lab[Symbol.asyncDispose]();
      await Promise.all(nodes.map((each) => each.stop()));
    },
  };
}
