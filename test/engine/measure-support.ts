/** A runtime whose backends can be timed: every llama-server loads as planned, and runs at a speed by backend. */
import type { ModelFacts } from "../../src/core/model.ts";
import type { EngineFacts } from "../../src/core/snapshot.ts";
import { MEASURE_HOLDER } from "../../src/core/timing.ts";
import { planTiming } from "../../src/core/timing-plan.ts";
import type { Endpoint } from "../../src/core/units.ts";
import { MIB } from "../../src/core/units.ts";
import { Runtime } from "../../src/engine/runtime.ts";
import type { FakeChild } from "../fakes/llama-port.ts";
import { ENGINE } from "../fakes/llama-port.ts";
import type { FakeState } from "../fakes/state.ts";
import { logOfPlan } from "../fixtures/engine-log.ts";
import { backendsWith, modelOf } from "../fixtures/model-facts.ts";
import { configOf, portsOf, THREE } from "./fleet-support.ts";

/** 108 MiB of weights, nearly as the real one. */
export const TIMING_FACTS = modelOf({ layers: 3, layerBytes: 35 * MIB, kvElements: 512, outputBytes: 3 * MIB });
export const WEIGHT_BYTES = 108 * MIB;

export interface MeasureWorld {
  /** The `synaptic` key. */
  readonly own?: Readonly<Record<string, unknown>>;
  readonly more?: Readonly<Record<string, unknown>>;
  readonly engine?: EngineFacts;
  /** Of an earlier runtime. */
  readonly state?: FakeState;
  /** Beside the model `a`, which one backend holds. */
  readonly large?: ModelFacts;
  /** Tokens per second; 100 where nothing is said. */
  readonly speeds?: Readonly<Record<string, number>>;
}

export function setUp({ own = {}, more = {}, engine = ENGINE, state, large, speeds = {} }: MeasureWorld = {}) {
  const parts = portsOf({ timing: TIMING_FACTS, ...(large && { large }) });
  const { llama, clock, rpc, log } = parts;
  llama.facts = engine;
  const ports = { ...parts.ports, ...(state && { state }) };
  const models = { files: { a: "/models/a.gguf", large: "/models/large.gguf" } };
  const runtime = new Runtime({ config: configOf({ own: { models, ...own }, more }), ports, version: "1.2.3" });

  /** As planned: the timing model on one backend or the head node, another model as the snapshot says. */
  const load = (child: FakeChild): void => {
    const rpcList = child.valueOf("--rpc");
    const isTiming = child.valueOf("--model") === "/cache/timing.gguf";
    const plan = runtime.snapshot().coordinators.find((each) => each.plan?.command.includes(child.valueOf("--port")));
    if (!isTiming) return void (plan?.plan && child.load(logOfPlan(plan.plan)));
    const isHead = !child.args.includes("--rpc");
    // What stands behind --rpc is an endpoint.
    const [backend = null] = isHead
      ? []
      : backendsWith(8 * 1024 ** 3).map((b) => ({ ...b, endpoint: rpcList as Endpoint }));
    const timing = planTiming({
      facts: TIMING_FACTS,
      path: "",
      head: ports.machine.memory(),
      localDevices: engine.localDevices,
      backend,
    });
    if (!timing.ok) throw new Error(timing.refusal.message);
    const perSecond = speeds[isHead ? "head" : rpcList] ?? 100;
    child.completion = async () => new Response(JSON.stringify({ timings: { predicted_per_second: perSecond } }));
    child.load(logOfPlan(timing.plan));
  };
  llama.onSpawn = load;

  const speedOf = (endpoint: string) =>
    runtime.snapshot().backends.find((backend) => backend.endpoint === endpoint)?.speed?.bytesPerSecond ?? null;
  /** GB/s of each backend, null where unknown. */
  const shown = () => THREE.map((endpoint) => gigabytes(speedOf(endpoint)));
  const measuring = () => runtime.snapshot().backends.find(({ lease }) => lease === MEASURE_HOLDER)?.endpoint ?? null;
  return { llama, clock, rpc, log, ports, state: state ?? parts.state, runtime, load, shown, measuring };
}

export function gigabytes(bytesPerSecond: number | null): number | null {
  return bytesPerSecond === null ? null : Math.round(bytesPerSecond / 1e8) / 10;
}
