/** Which devices may hold layers, how much of each, and in which order. Pure. */
import type { BackendFacts, DeviceKind, LocalDevice } from "./plan-types.ts";
import { GIB } from "./units.ts";

/** llama.cpp's own limit on `--rpc` servers per process (facts/llamacpp.md b5). */
const MAX_BACKENDS = 16;
/** `--tensor-split` takes one value less than llama.cpp's 16 devices ("got 16 input configs, but system only has 16
 *  devices", measured with 0.7.0), and the head node's own devices count. */
export const MAX_DEVICES = 15;
/** Kept free on every device: 5 %, 1 GiB at most (llama.cpp's own `--fit-target`). */
const MARGIN_SHARE = 0.05;
const MARGIN_BYTES = GIB;

/** A device that may hold layers, in llama.cpp's order: RPC devices first as listed, then the head node's own. */
export interface Slot {
  /** Position of its backend among those chosen, or -1 for a device of the head node. */
  readonly backend: number;
  readonly index: number;
  readonly kind: DeviceKind;
  /** What llama.cpp itself would weigh it by. */
  readonly freeBytes: number;
  /** What may be used: free or the owner's limit, less a margin. */
  readonly usableBytes: number;
}

export function slotsOf(backends: readonly BackendFacts[], localDevices: readonly LocalDevice[]): readonly Slot[] {
  const sharing = new Map<string, number>();
  for (const { machine, devices } of backends) {
    const cpus = devices.filter((device) => device.kind === "cpu").length;
    if (machine !== undefined) sharing.set(machine, (sharing.get(machine) ?? 0) + cpus);
  }
  const sharers = ({ machine }: BackendFacts) => (machine === undefined ? 1 : (sharing.get(machine) ?? 1));
  const local = localDevices.map(
    (device, index): Slot => ({
      backend: -1,
      index,
      kind: "accelerator",
      freeBytes: device.freeBytes,
      usableBytes: lessMargin(device.freeBytes),
    }),
  );
  return [...backends.flatMap((backend, position) => slotsOfBackend(backend, position, sharers(backend))), ...local];
}

/** The owner's limit is shared by a backend's devices in proportion to what each has free. Without one, the CPU devices
 *  of one machine (`sharers` of them) share its memory, which each reports as its own. */
function slotsOfBackend(backend: BackendFacts, position: number, sharers: number): readonly Slot[] {
  const free = backend.devices.reduce((sum, device) => sum + device.freeBytes, 0);
  const limit = backend.maxMemoryBytes;
  const limited = limit !== undefined && limit < free;
  return backend.devices.map((device) => {
    const freeBytes = limited ? Math.floor((limit * device.freeBytes) / free) : device.freeBytes;
    const usable = lessMargin(device.kind === "cpu" ? freeBytes / sharers : freeBytes);
    return {
      backend: position,
      index: device.index,
      kind: device.kind,
      freeBytes,
      usableBytes: limited ? freeBytes : usable,
    };
  });
}

function lessMargin(freeBytes: number): number {
  return Math.floor(freeBytes - Math.min(MARGIN_BYTES, freeBytes * MARGIN_SHARE));
}

/** Best first: the owner's priority, accelerators before CPUs, then the most memory; last those that share the memory of
 *  a better one. */
export function rankBackends(backends: readonly BackendFacts[]): readonly BackendFacts[] {
  const rated = backends.map((backend) => ({
    backend,
    priority: backend.priority ?? 0,
    accelerated: isAccelerated(backend) ? 1 : 0,
    usable: slotsOfBackend(backend, 0, 1).reduce((sum, slot) => sum + slot.usableBytes, 0),
  }));
  rated.sort((a, b) => b.priority - a.priority || b.accelerated - a.accelerated || b.usable - a.usable);
  const machines = new Set<string>();
  const [first, sharing]: [BackendFacts[], BackendFacts[]] = [[], []];
  for (const { backend } of rated) {
    const shares = backend.machine !== undefined && !isAccelerated(backend) && machines.has(backend.machine);
    (shares ? sharing : first).push(backend);
    if (backend.machine !== undefined && !isAccelerated(backend)) machines.add(backend.machine);
  }
  return [...first, ...sharing];
}

function isAccelerated({ devices }: BackendFacts): boolean {
  return devices.some((device) => device.kind === "accelerator");
}

/** The best that one llama-server can take together. */
export function withinLimits(
  ranked: readonly BackendFacts[],
  localDevices: readonly LocalDevice[],
): readonly BackendFacts[] {
  let devices = localDevices.length;
  const taken: BackendFacts[] = [];
  for (const backend of ranked) {
    if (taken.length === MAX_BACKENDS || devices + backend.devices.length > MAX_DEVICES) continue;
    devices += backend.devices.length;
    taken.push(backend);
  }
  return taken;
}
