/** A fleet over scripted backends, with models in memory and an engine that loads as planned. */
import type { Config } from "../../src/core/config-types.ts";
import type { ModelFacts } from "../../src/core/model.ts";
import { type CatalogEntry, fileEntry } from "../../src/engine/catalog-entry.ts";
import { Fleet } from "../../src/engine/fleet.ts";
import { createKnownEngine } from "../../src/engine/known-engine.ts";
import { createMonitor } from "../../src/engine/monitor.ts";
import { Nodes } from "../../src/engine/nodes.ts";
import { createOllamaRoom } from "../../src/engine/ollama-room.ts";
import type { Ports } from "../../src/engine/ports.ts";
import { accepted } from "../core/config-support.ts";
import { advanceUntil, createFakeClock } from "../fakes/clock.ts";
import { type FakeChild, FakeLlama } from "../fakes/llama-port.ts";
import { createRecordedLog } from "../fakes/log.ts";
import { ScriptedOllama } from "../fakes/ollama-port.ts";
import { ScriptedRpc } from "../fakes/rpc-port.ts";
import { createFakeState } from "../fakes/state.ts";
import { logOfPlan } from "../fixtures/engine-log.ts";
import { modelOf } from "../fixtures/model-facts.ts";

export const NEVER = new AbortController().signal;

/** Of 8 GiB each, as ScriptedRpc answers. */
export const THREE = ["10.0.0.1:50052", "10.0.0.2:50052", "10.0.0.3:50052"] as const;

export function entry(id: string): CatalogEntry {
  const origin = { kind: "folder", where: "/models" } as const;
  return fileEntry({ id, path: `/models/${id}.gguf` }, { origin, config: configOf({}) });
}

export interface FleetWorld {
  readonly models?: Readonly<Record<string, ModelFacts>>;
  /** The `synaptic` key of the config. */
  readonly own?: Readonly<Record<string, unknown>>;
  readonly more?: Readonly<Record<string, unknown>>;
}

export function portsOf(models: Readonly<Record<string, ModelFacts>>) {
  const llama = new FakeLlama();
  const clock = createFakeClock();
  const log = createRecordedLog();
  const rpc = new ScriptedRpc();
  const ollama = new ScriptedOllama();
  const state = createFakeState();
  const ports: Ports = {
    clock,
    log,
    llama,
    http: llama,
    rpc: { probe: rpc.probe.bind(rpc), openSentinel: rpc.openSentinel.bind(rpc) },
    models: {
      async read(path) {
        const id = path.replace(/^.*\/|\.gguf$/g, "");
        return { path, facts: models[id] ?? modelOf() };
      },
      examine: async (paths) => paths.map(() => null),
      projector: async (path) => ({ path, bytes: 1 }),
      list: async () => ({ models: [], incomplete: null }),
      stored: async () => ({ models: [], problems: [] }),
    },
    ollama,
    random: { token: () => "secret" },
    machine: { memory: () => ({ freeBytes: 64 * 1024 ** 3, totalBytes: 64 * 1024 ** 3 }) },
    state,
    timingModel: async () => "/cache/timing.gguf",
  };
  return { llama, clock, log, rpc, ollama, state, ports };
}

export function configOf({ own = {}, more = {} }: Omit<FleetWorld, "models">): Config {
  const backends = THREE.map((endpoint) => ({ host: endpoint.split(":")[0], port: 50052 }));
  return accepted({ rpc_backends: backends, ...more, synaptic: own });
}

/** Every child loads as its plan says, at once, unless `onSpawn` is set otherwise. */
export async function setUp({ models = {}, ...world }: FleetWorld = {}) {
  const parts = portsOf(models);
  const { ports, rpc, clock, llama } = parts;
  const config = configOf(world);
  const monitor = createMonitor(
    { ...rpcOf(rpc), clock, log: ports.log },
    { ...config.probe, backends: config.backends.map(({ endpoint }) => endpoint) },
  );
  const nodes = new Nodes(ports, { ...config.probe, nodes: config.ollama.nodes.filter(({ implied }) => !implied) });
  const room = createOllamaRoom({ ...ports, nodes }, config.ollama);
  const fleet = new Fleet(ports, { config, monitor, engine: createKnownEngine(ports, monitor), ollama: room });
  const loadAsPlanned = (child: FakeChild) => {
    const plan = fleet.snapshot().find((each) => each.plan?.command.includes(child.valueOf("--port")))?.plan;
    if (plan) child.load(logOfPlan(plan));
  };
  llama.onSpawn = loadAsPlanned;
  monitor.start();
  nodes.start();
  await Promise.all([monitor.firstRound, nodes.firstRound]);
  /** Loads a model and gives the grant back. */
  const use = async (id: string): Promise<void> => {
    (await advanceUntil(clock, fleet.acquire(entry(id), NEVER))).release();
  };
  const states = () => Object.fromEntries(fleet.snapshot().map(({ model, state }) => [model, state]));
  const leases = () => monitor.snapshot().map(({ lease }) => lease);
  return { ...parts, config, monitor, fleet, loadAsPlanned, use, states, leases };
}

function rpcOf(rpc: ScriptedRpc) {
  return { probe: rpc.probe.bind(rpc), openSentinel: rpc.openSentinel.bind(rpc) };
}
