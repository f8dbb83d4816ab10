/** Plan and what the engine's log showed to Proof: claimed against seen, per backend and device. Pure. */
import type { ModelFacts } from "./model.ts";
import type { BackendShare, DeviceShare, HeadShare, LocalShare, Plan } from "./plan-types.ts";
import { type Bytes, EMPTY, isHead, type Observations, placeKey } from "./proof-observe.ts";
import { LayerWalk } from "./proof-walk.ts";
import { formatBytes, KIB } from "./units.ts";

/** What really lies where, in the plan's shape, and every difference that matters. */
export interface Proof {
  readonly proven: boolean;
  /** One sentence per difference; empty when proven. */
  readonly problems: readonly string[];
  readonly totalLayers: number;
  readonly offloadedLayers: number;
  readonly backends: readonly BackendShare[];
  readonly head: HeadShare;
}

/** Compares a plan with the log of the coordinator that was started from it. */
export function proveLoad(plan: Plan, facts: ModelFacts, seen: Observations): Proof {
  const problems: string[] = [];
  const walk = new LayerWalk(plan, facts);
  const claimed = new Set<string>();
  /** What one planned device holds, layers included; its differences are noted. */
  const look = (where: string, key: string, planned: Share): Share => {
    claimed.add(key);
    const bytes = seen.buffers.get(key) ?? EMPTY;
    const layers = walk.take(bytes, planned.layers);
    problems.push(...compareDevice(where, planned, { ...bytes, layers }, plan));
    return { layers, modelBytes: bytes.model, kvBytes: bytes.kv + bytes.state, computeBytes: bytes.compute };
  };
  const backends = plan.backends.map(({ endpoint, devices }): BackendShare => {
    const shares = devices.map((planned): DeviceShare => {
      const where = devices.length > 1 ? `${endpoint} device ${planned.index}` : endpoint;
      const share = look(where, placeKey({ tag: "rpc", endpoint, device: planned.index }), planned);
      return { index: planned.index, kind: planned.kind, ...share };
    });
    return { endpoint, ...total(shares), devices: shares };
  });
  const devices = plan.head.devices.map(({ name, ...planned }): LocalShare => ({ name, ...look(name, name, planned) }));
  const others = [...seen.buffers].filter(([key]) => !claimed.has(key));
  problems.push(...compareStrays(others), ...compareOffload(plan, seen));
  const head = others.filter(([key]) => isHead(key)).reduce((sum, [, bytes]) => add(sum, bytes), EMPTY);
  problems.push(...compareHead(plan, head, problems.length === 0));
  return {
    proven: problems.length === 0,
    problems,
    totalLayers: seen.offloaded?.totalLayers ?? plan.totalLayers,
    offloadedLayers: seen.offloaded?.layers ?? 0,
    backends,
    head: { modelBytes: head.model, computeBytes: head.compute, ...cpuShare(plan, head), devices },
  };
}

/** Layers that the plan leaves to the head node's CPU are there when their cache is: nothing else is logged of them. */
function cpuShare({ head: { layers } }: Plan, { kv, state }: Bytes): Pick<HeadShare, "layers" | "kvBytes"> {
  return layers === undefined ? {} : { layers: kv + state > 0 ? layers : 0, kvBytes: kv + state };
}

interface Share {
  readonly layers: number;
  readonly modelBytes: number;
  readonly kvBytes: number;
  readonly computeBytes: number;
}

function total(devices: readonly DeviceShare[]): Share {
  const sum = { layers: 0, modelBytes: 0, kvBytes: 0, computeBytes: 0 };
  for (const device of devices) {
    sum.layers += device.layers;
    sum.modelBytes += device.modelBytes;
    sum.kvBytes += device.kvBytes;
    sum.computeBytes += device.computeBytes;
  }
  return sum;
}

function add(a: Bytes, b: Bytes): Bytes {
  return {
    model: a.model + b.model,
    mapped: a.mapped + b.mapped,
    kv: a.kv + b.kv,
    state: a.state + b.state,
    compute: a.compute + b.compute,
  };
}

/** Model and KV bytes may differ by 1 %, or by what two decimals of MiB can hide in small models. */
const TOLERANCE = 0.01;
const ROUNDING_BYTES = 32 * KIB;

function near(seen: number, planned: number): boolean {
  return Math.abs(seen - planned) <= Math.max(planned * TOLERANCE, ROUNDING_BYTES);
}

/** Too much, and nothing but the range of a mapping says so: that spans tensors which lie elsewhere. */
function onlyMapped({ model, mapped }: Bytes, planned: number): boolean {
  return model > planned && model - mapped <= planned;
}

function compareDevice(where: string, planned: Share, seen: Bytes & { layers: number }, plan: Plan): string[] {
  if (planned.modelBytes > 0 && seen.model === 0) {
    return [`${where} holds nothing, planned ${planned.layers} layers (${formatBytes(planned.modelBytes)})`];
  }
  const problems: string[] = [];
  if (seen.layers !== planned.layers) problems.push(`${where} holds ${seen.layers} layers, planned ${planned.layers}`);
  if (!near(seen.model, planned.modelBytes) && !onlyMapped(seen, planned.modelBytes)) {
    problems.push(`${where} holds ${formatBytes(seen.model)} of weights, planned ${formatBytes(planned.modelBytes)}`);
  }
  const kv = seen.kv + seen.state;
  const kvFits = plan.kvInexact ? kv <= planned.kvBytes * (1 + TOLERANCE) + ROUNDING_BYTES : near(kv, planned.kvBytes);
  if (!kvFits) {
    problems.push(`${where} holds ${formatBytes(kv)} of KV cache, planned ${formatBytes(planned.kvBytes)}`);
  }
  return problems;
}

/** Devices that hold something although the plan does not name them. */
function compareStrays(others: readonly (readonly [string, Bytes])[]): string[] {
  return others
    .filter(([key, { model, kv, state }]) => !isHead(key) && model + kv + state > 0)
    .map(([key, { model, kv, state }]) => `${key} holds ${formatBytes(model + kv + state)}, planned none`);
}

/** With all layers on the head node's CPU, llama-server says nothing of offloading where no device could take them. */
function compareOffload({ offloadedLayers }: Plan, { offloaded }: Observations): string[] {
  if (offloaded === null && offloadedLayers === 0) return [];
  if (offloaded === null) return ["the log shows no offloaded layers"];
  if (offloaded.layers === offloadedLayers) return [];
  return [`${offloaded.layers} of ${offloaded.totalLayers} layers were offloaded, planned ${offloadedLayers}`];
}

/** When `restIsRight`, each weight is where it should be, and what a mapping spans beyond says nothing. */
function compareHead({ head: planned, kvInexact }: Plan, seen: Bytes, restIsRight: boolean): string[] {
  const problems: string[] = [];
  if (!near(seen.model, planned.modelBytes) && !(restIsRight && onlyMapped(seen, planned.modelBytes))) {
    problems.push(
      `the head node holds ${formatBytes(seen.model)} of weights, planned ${formatBytes(planned.modelBytes)}`,
    );
  }
  const kv = seen.kv + seen.state;
  const { kvBytes = 0 } = planned;
  const kvFits = kvInexact ? kv <= kvBytes * (1 + TOLERANCE) + ROUNDING_BYTES : near(kv, kvBytes);
  if (!kvFits) {
    const claimed = kvBytes > 0 ? formatBytes(kvBytes) : "none";
    problems.push(`the head node holds ${formatBytes(kv)} of KV cache, planned ${claimed}`);
  }
  return problems;
}
