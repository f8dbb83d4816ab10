/** A whole synaptic over fake Ollama nodes of this process: no backend, no engine. Cleared after each test. */
import OpenAI from "openai";
import { Runtime } from "../../src/engine/runtime.ts";
import { createApp } from "../../src/http/app.ts";
import { clock } from "../../src/io/clock.ts";
import { requestUpstream } from "../../src/io/http-client.ts";
import { listen } from "../../src/io/http-server.ts";
import { pollNode, unloadFromNode } from "../../src/io/ollama-client.ts";
import { createRecordedLog } from "../fakes/log.ts";
import { type FakeModel, type FakeOllamaNode, startOllamaNode } from "../fakes/ollama-node.ts";
import { testConfig } from "../fakes/runtime.ts";
import { createFakeState } from "../fakes/state.ts";

export const MODEL: FakeModel = { name: "m:latest", bytes: 1_000_000_000 };
const stages: (() => Promise<void>)[] = [];

/** For `afterEach`. */
export async function clearPools(): Promise<void> {
  for (const end of stages.splice(0)) await end();
}

export interface PoolOptions {
  /** What each node has. */
  readonly models?: readonly FakeModel[];
  /** Of each node's config, beside its address. */
  readonly node?: Readonly<Record<string, unknown>>;
  /** The file's own `synaptic` key. */
  readonly own?: Readonly<Record<string, unknown>>;
}

/** So many nodes with the same models, asked in this order. */
export async function setPool(count: number, { models = [MODEL], node: more = {}, own = {} }: PoolOptions = {}) {
  const nodes = Array.from({ length: count }, () => startOllamaNode(models));
  const config = testConfig({
    own: {
      ollama: {
        nodes: nodes.map(({ url }, index) => ({ url, priority: count - index, ...more })),
        modelsDir: "/nowhere",
      },
      probe: { intervalMs: 100, timeoutMs: 500 },
      ...own,
    },
    config: { backends: [] },
  });
  const nothing = async (): Promise<never> => {
    throw new Error("not there");
  };
  const runtime = new Runtime({
    config,
    version: "1",
    ports: {
      clock,
      log: createRecordedLog(),
      rpc: { probe: nothing, openSentinel: nothing },
      llama: {
        engines: nothing,
        freePort: nothing,
        spawn: () => {
          throw new Error("not there");
        },
        environment: {},
      },
      models: {
        read: nothing,
        projector: nothing,
        examine: async (paths) => paths.map(() => null),
        list: async () => ({ models: [], incomplete: null }),
        stored: async () => ({ models: [], problems: [] }),
      },
      ollama: { poll: pollNode, unload: unloadFromNode },
      http: { request: requestUpstream },
      random: { token: () => "t" },
      machine: { memory: () => ({ freeBytes: 1, totalBytes: 1 }) },
      state: createFakeState(),
      timingModel: nothing,
    },
  });
  await runtime.start();
  const app = createApp(runtime);
  const listener = listen({ host: "127.0.0.1", port: 0, fetch: (request) => app.fetch(request) });
  stages.push(async () => {
    await listener.stop(0);
    await runtime.close();
    for (const node of nodes) await node.stop();
  });
  const client = new OpenAI({ baseURL: `${listener.url}/v1`, apiKey: "-", maxRetries: 0 });
  return { nodes, client, runtime, url: listener.url };
}

/** The first one, which there must be. */
export function first(nodes: readonly FakeOllamaNode[]): FakeOllamaNode {
  const [node] = nodes;
  if (!node) throw new Error("there is no node");
  return node;
}
