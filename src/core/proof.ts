/** Plan and what the engine's log showed to Proof: claimed against seen, per backend and device. Pure. */
import type { LogEvent, Place } from "./llama-log.ts";
import type { ModelFacts } from "./model.ts";
import { kvBytes } from "./plan-cost.ts";
import type { BackendShare, DeviceShare, HeadShare, LocalShare, Plan } from "./plan-types.ts";
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

interface Bytes {
  readonly model: number;
  readonly kv: number;
  readonly compute: number;
}

/** Buffers as logged so far, by place. Immutable: fold with `observe`. */
export interface Observations {
  readonly buffers: ReadonlyMap<string, Bytes>;
  readonly offloaded: { readonly layers: number; readonly totalLayers: number } | null;
}

export const NOTHING_OBSERVED: Observations = { buffers: new Map(), offloaded: null };

const EMPTY: Bytes = { model: 0, kv: 0, compute: 0 };

function keyOf(place: Place): string {
  return place.tag === "rpc" ? `${place.endpoint}/${place.device}` : place.name;
}

/** Takes in one log event. A second load or context starts afresh: only the last one counts (a dry load prints the same
 *  lines); within one, lines of a place add up (a split file and a sliding-window cache print several). */
export function observe(seen: Observations, event: LogEvent): Observations {
  switch (event.tag) {
    case "loading":
      return NOTHING_OBSERVED;
    case "context":
      return {
        ...seen,
        buffers: new Map([...seen.buffers].map(([key, bytes]) => [key, { ...bytes, kv: 0, compute: 0 }])),
      };
    case "offloaded":
      return { ...seen, offloaded: { layers: event.layers, totalLayers: event.totalLayers } };
    case "buffer": {
      const key = keyOf(event.place);
      const old = seen.buffers.get(key) ?? EMPTY;
      const value = event.what === "compute" ? event.bytes : old[event.what] + event.bytes;
      return { ...seen, buffers: new Map(seen.buffers).set(key, { ...old, [event.what]: value }) };
    }
    case "progress":
      return seen;
  }
}

/** Model and KV bytes may differ by 1 %, or by what two decimals of MiB can hide in small models. */
const TOLERANCE = 0.01;
const ROUNDING_BYTES = 32 * KIB;

function near(seen: number, planned: number): boolean {
  return Math.abs(seen - planned) <= Math.max(planned * TOLERANCE, ROUNDING_BYTES);
}

/** Compares a plan with the log of the coordinator that was started from it. */
export function proveLoad(plan: Plan, facts: ModelFacts, seen: Observations): Proof {
  const problems: string[] = [];
  const walk = new LayerWalk(plan, facts);
  const claimed = new Set<string>();
  const look = (key: string): Bytes => {
    claimed.add(key);
    return seen.buffers.get(key) ?? EMPTY;
  };
  const backends = plan.backends.map(({ endpoint, devices }): BackendShare => {
    const shares = devices.map((planned): DeviceShare => {
      const bytes = look(`${endpoint}/${planned.index}`);
      const where = devices.length > 1 ? `${endpoint} device ${planned.index}` : endpoint;
      const layers = walk.take(bytes);
      problems.push(...compare(where, planned, { ...bytes, layers }, plan));
      return { index: planned.index, kind: planned.kind, ...shareOf(bytes, layers) };
    });
    return { endpoint, ...total(shares), devices: shares };
  });
  const local = plan.head.devices.map((planned): LocalShare => {
    const bytes = look(planned.name);
    const layers = walk.take(bytes);
    problems.push(...compare(planned.name, planned, { ...bytes, layers }, plan));
    return { name: planned.name, ...shareOf(bytes, layers) };
  });
  const rest = [...seen.buffers].filter(([key]) => !claimed.has(key));
  const head = headBytes(rest);
  problems.push(...compareHead(plan, rest, head));
  const offloadedLayers = seen.offloaded?.layers ?? 0;
  if (seen.offloaded === null) problems.push("the log shows no offloaded layers");
  else if (offloadedLayers !== plan.offloadedLayers) {
    problems.push(
      `${offloadedLayers} of ${seen.offloaded.totalLayers} layers were offloaded, planned ${plan.offloadedLayers}`,
    );
  }
  return {
    proven: problems.length === 0,
    problems,
    totalLayers: seen.offloaded?.totalLayers ?? plan.totalLayers,
    offloadedLayers,
    backends,
    head: { modelBytes: head.model, computeBytes: head.compute, devices: local },
  };
}

function shareOf(bytes: Bytes, layers: number) {
  return { layers, modelBytes: bytes.model, kvBytes: bytes.kv, computeBytes: bytes.compute };
}

function total(devices: readonly DeviceShare[]) {
  const sum = { layers: 0, modelBytes: 0, kvBytes: 0, computeBytes: 0 };
  for (const device of devices) {
    sum.layers += device.layers;
    sum.modelBytes += device.modelBytes;
    sum.kvBytes += device.kvBytes;
    sum.computeBytes += device.computeBytes;
  }
  return sum;
}

interface Planned {
  readonly layers: number;
  readonly modelBytes: number;
  readonly kvBytes: number;
}

function compare(where: string, planned: Planned, seen: Bytes & { layers: number }, plan: Plan): string[] {
  if (planned.layers > 0 && seen.model === 0) {
    return [`${where} holds nothing, planned ${planned.layers} layers (${formatBytes(planned.modelBytes)})`];
  }
  const problems: string[] = [];
  if (seen.layers !== planned.layers) problems.push(`${where} holds ${seen.layers} layers, planned ${planned.layers}`);
  if (!near(seen.model, planned.modelBytes)) {
    problems.push(`${where} holds ${formatBytes(seen.model)} of weights, planned ${formatBytes(planned.modelBytes)}`);
  }
  const kvFits = plan.kvInexact ? seen.kv <= planned.kvBytes * (1 + TOLERANCE) : near(seen.kv, planned.kvBytes);
  if (!kvFits)
    problems.push(`${where} holds ${formatBytes(seen.kv)} of KV cache, planned ${formatBytes(planned.kvBytes)}`);
  return problems;
}

/** Everything that no planned device holds: the head node's memory (`CPU`, `CPU_Mapped`, `CPU_REPACK`), or a stray. */
function headBytes(rest: readonly (readonly [string, Bytes])[]): Bytes {
  const onHead = rest.filter(([key]) => isHead(key)).map(([, bytes]) => bytes);
  return onHead.reduce(
    (sum, bytes) => ({ model: sum.model + bytes.model, kv: sum.kv + bytes.kv, compute: sum.compute + bytes.compute }),
    EMPTY,
  );
}

/** Pinned host buffers (`CUDA_Host`) are the head node's memory too. */
function isHead(key: string): boolean {
  return key.startsWith("CPU") || key.endsWith("_Host");
}

function compareHead(plan: Plan, rest: readonly (readonly [string, Bytes])[], head: Bytes): string[] {
  const problems = rest
    .filter(([key, bytes]) => !isHead(key) && bytes.model + bytes.kv > 0)
    .map(([key, bytes]) => `${key} holds ${formatBytes(bytes.model + bytes.kv)}, planned none`);
  if (!near(head.model, plan.head.modelBytes)) {
    problems.push(
      `the head node holds ${formatBytes(head.model)} of weights, planned ${formatBytes(plan.head.modelBytes)}`,
    );
  }
  if (head.kv > ROUNDING_BYTES) problems.push(`the head node holds ${formatBytes(head.kv)} of KV cache, planned none`);
  return problems;
}

/** Derives how many layers each device holds. Layers are contiguous, so what one device holds tells where the next one
 *  begins: counted by KV cache where it is exact, else by weights; the output head by the bytes that are left over. */
class LayerWalk {
  readonly #facts: ModelFacts;
  readonly #kv: readonly number[];
  readonly #byWeight: boolean;
  #position = 0;

  constructor(plan: Plan, facts: ModelFacts) {
    this.#facts = facts;
    this.#kv = facts.layers.map((layer) => kvBytes(layer, plan));
    this.#byWeight = plan.kvInexact !== null || this.#kv.some((bytes) => bytes === 0);
  }

  take(bytes: Bytes): number {
    const { layers } = this.#facts;
    const sizes = this.#byWeight ? layers.map((layer) => layer.weightBytes) : this.#kv;
    const target = this.#byWeight ? bytes.model - this.#facts.perDeviceBytes : bytes.kv;
    let sum = 0;
    let weights = bytes.model > 0 ? this.#facts.perDeviceBytes : 0;
    let next = this.#position;
    while (next < layers.length && sum + (sizes[next] ?? 0) / 2 < target) {
      sum += sizes[next] ?? 0;
      weights += layers[next]?.weightBytes ?? 0;
      next++;
    }
    const count = next - this.#position;
    this.#position = next;
    const holdsOutput = next === layers.length && bytes.model - weights > this.#facts.outputBytes / 2;
    return count + (holdsOutput ? 1 : 0);
  }
}
