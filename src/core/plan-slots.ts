/** Which devices may hold layers, how much of each, how fast, and in which order. Pure. */
import { localPools, Memory, poolsOf, settleClaims } from "./plan-memory.ts";
import { headCpuSpeed, isAccelerated, type Rates, ratesOf, speedClasses } from "./plan-speed.ts";
import type { BackendFacts, DeviceKind, LocalDevice, PlanInput } from "./plan-types.ts";

/** llama.cpp's own limit on `--rpc` servers per process (facts/llamacpp.md b5). */
const MAX_BACKENDS = 16;
/** `--tensor-split` takes one value less than llama.cpp's 16 devices ("got 16 input configs, but system only has 16
 *  devices", measured with 0.7.0), and the head node's own devices count. */
export const MAX_DEVICES = 15;

/** `Slot.backend` of the head node's own devices, and of its CPU. */
export const LOCAL = -1;
export const HEAD_CPU = -2;

/** A device that may hold layers, in llama.cpp's order: RPC devices first as listed, then the head node's own. */
export interface Slot {
  /** Position of its backend among those chosen, or LOCAL, or HEAD_CPU. */
  readonly backend: number;
  readonly index: number;
  readonly kind: DeviceKind;
  /** What llama.cpp itself would weigh it by. */
  readonly freeBytes: number;
  /** What may be used: free or the owner's limit, less a margin, and less what shares its memory. */
  readonly usableBytes: number;
  readonly bytesPerSecond: number;
}

/** A backend with what placement weighs it by. */
export interface Rated {
  readonly facts: BackendFacts;
  readonly priority: number;
  readonly accelerated: boolean;
  /** Bytes of weights per second, measured or by kind. */
  readonly bytesPerSecond: number;
  /** 0 for the fastest; speeds of one class count as equal. */
  readonly speedClass: number;
  /** Were nothing else on its machine. */
  readonly usableBytes: number;
  /** Per device: which memory it draws on. */
  readonly pools: readonly (string | null)[];
}

/** All that may hold layers, rated once: a search asks often. */
export interface Park {
  /** As listed in the config. */
  readonly backends: readonly Rated[];
  /** The owner's priority, then the most memory. */
  readonly byMemory: readonly Rated[];
  /** The owner's priority, then the fastest. */
  readonly bySpeed: readonly Rated[];
  readonly localDevices: readonly LocalDevice[];
  readonly localBytesPerSecond: number;
  readonly rates: Rates;
  readonly memory: Memory;
  /** Bytes per second of the head node's CPU, which holds layers only when it was measured. */
  readonly headCpu: number | null;
}

export type ParkSources = Pick<PlanInput, "backends" | "localDevices" | "head" | "held">;

/** `staysBytes`: what of the model stays on the head node whatever the placement. */
export function parkOf({ backends, localDevices, head, held }: ParkSources, staysBytes: number): Park {
  const memory = new Memory({ ...(head && { head }), ...(held && { held }) }, staysBytes);
  const headCpu = headCpuSpeed(head, localDevices);
  const rates = ratesOf(backends, headCpu);
  const speeds = backends.map(
    (backend) => backend.speed?.bytesPerSecond ?? rates[isAccelerated(backend) ? "accelerator" : "cpu"],
  );
  const classes = speedClasses(speeds);
  const rated = backends.map(
    (facts, index): Rated => ({
      facts,
      priority: facts.priority ?? 0,
      accelerated: isAccelerated(facts),
      bytesPerSecond: speeds[index] ?? 0,
      speedClass: classes[index] ?? 0,
      usableBytes: usableAlone(facts, memory),
      pools: poolsOf(facts),
    }),
  );
  return {
    backends: rated,
    byMemory: rated.toSorted(
      (a, b) => b.priority - a.priority || b.usableBytes - a.usableBytes || b.bytesPerSecond - a.bytesPerSecond,
    ),
    bySpeed: rated.toSorted((a, b) => b.priority - a.priority || b.bytesPerSecond - a.bytesPerSecond),
    localDevices,
    localBytesPerSecond: head?.speed?.bytesPerSecond ?? rates.accelerator,
    rates,
    memory,
    headCpu,
  };
}

function usableAlone({ devices, machine, maxMemoryBytes = Number.POSITIVE_INFINITY }: BackendFacts, memory: Memory) {
  return Math.min(
    maxMemoryBytes,
    devices.reduce((sum, device) => sum + memory.usable(device, machine), 0),
  );
}

/** The same with only some of its backends. */
export function parkWith(park: Park, isKept: (backend: Rated) => boolean): Park {
  return {
    ...park,
    backends: park.backends.filter(isKept),
    byMemory: park.byMemory.filter(isKept),
    bySpeed: park.bySpeed.filter(isKept),
  };
}

/** Devices of the chosen backends and the head node's own, with what each may hold beside the others. */
export function slotsOf(park: Park, chosen: readonly Rated[]): readonly Slot[] {
  const { memory, localDevices, rates } = park;
  const cards = localPools(localDevices);
  const open = chosen.flatMap(({ facts, pools }, backend) => {
    const free = facts.devices.reduce((sum, device) => sum + device.freeBytes, 0);
    const limit = facts.maxMemoryBytes ?? free;
    return facts.devices.map((device, position) => {
      // The owner's limit is shared by a backend's devices in proportion to what each has free.
      const mostBytes = limit < free ? Math.floor((limit * device.freeBytes) / free) : device.freeBytes;
      return {
        backend,
        index: device.index,
        kind: device.kind,
        freeBytes: mostBytes,
        bytesPerSecond: facts.speed?.bytesPerSecond ?? rates[device.kind],
        claim: { pool: pools[position] ?? null, usableBytes: memory.usable(device, facts.machine), mostBytes },
      };
    });
  });
  const local = localDevices.map(({ freeBytes }, index) => ({
    ...{ backend: LOCAL, index, kind: "accelerator" as const, freeBytes },
    bytesPerSecond: park.localBytesPerSecond,
    claim: {
      pool: cards[index] ?? null,
      usableBytes: memory.usable({ kind: "accelerator", freeBytes }, undefined),
      mostBytes: freeBytes,
    },
  }));
  const all = [...open, ...local];
  const usable = settleClaims(all.map(({ claim }) => claim));
  return all.map(({ claim: _, ...slot }, index) => ({ ...slot, usableBytes: usable[index] ?? 0 }));
}

/** The first that one llama-server can take together; last those that draw on the memory of an earlier one alone. */
export function withinLimits(ranked: Iterable<Rated>, localDevices: readonly LocalDevice[]): readonly Rated[] {
  const taken: Rated[] = [];
  const sharing: Rated[] = [];
  const pools = new Set<string>(localPools(localDevices));
  let devices = localDevices.length;
  const take = (backend: Rated): void => {
    const count = backend.facts.devices.length;
    if (taken.length === MAX_BACKENDS || devices + count > MAX_DEVICES) return;
    devices += count;
    taken.push(backend);
  };
  for (const backend of ranked) {
    if (devices >= MAX_DEVICES || taken.length === MAX_BACKENDS) break;
    if (backend.pools.every((pool) => pool !== null && pools.has(pool))) sharing.push(backend);
    else {
      take(backend);
      for (const pool of backend.pools) if (pool !== null) pools.add(pool);
    }
  }
  for (const backend of sharing) take(backend);
  return taken;
}

/** For placements that use all: accelerators before CPUs, then the most memory. */
export function bestFirst({ byMemory }: Park): readonly Rated[] {
  const accelerated = (backend: Rated) => (backend.accelerated ? 1 : 0);
  return byMemory.toSorted((a, b) => b.priority - a.priority || accelerated(b) - accelerated(a));
}

export function inListedOrder({ backends }: Park, chosen: readonly Rated[]): readonly Rated[] {
  if (chosen.length < 2) return chosen;
  const kept = new Set(chosen);
  return backends.filter((backend) => kept.has(backend));
}
