/** Which devices may hold layers, how much of each, and in which order. Pure. */
import type { BackendFacts, DeviceKind, LocalDevice } from "./plan-types.ts";
import { GIB } from "./units.ts";

/** llama.cpp's own limit on `--rpc` servers per process (facts/llamacpp.md b5). */
export const MAX_BACKENDS = 16;
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
  const local = localDevices.map(
    (device, index): Slot => ({
      backend: -1,
      index,
      kind: "accelerator",
      freeBytes: device.freeBytes,
      usableBytes: lessMargin(device.freeBytes),
    }),
  );
  return [...backends.flatMap(slotsOfBackend), ...local];
}

/** The owner's limit is shared by a backend's devices in proportion to what each has free. */
function slotsOfBackend(backend: BackendFacts, position: number): readonly Slot[] {
  const free = backend.devices.reduce((sum, device) => sum + device.freeBytes, 0);
  const limit = backend.maxMemoryBytes;
  const limited = limit !== undefined && limit < free;
  return backend.devices.map((device) => {
    const freeBytes = limited ? Math.floor((limit * device.freeBytes) / free) : device.freeBytes;
    return {
      backend: position,
      index: device.index,
      kind: device.kind,
      freeBytes,
      usableBytes: limited ? freeBytes : lessMargin(freeBytes),
    };
  });
}

function lessMargin(freeBytes: number): number {
  return Math.floor(freeBytes - Math.min(MARGIN_BYTES, freeBytes * MARGIN_SHARE));
}

/** Best first: the owner's priority, accelerators before CPUs, then the most memory. */
export function rankBackends(backends: readonly BackendFacts[]): readonly BackendFacts[] {
  const rated = backends.map((backend) => ({
    backend,
    priority: backend.priority ?? 0,
    accelerated: backend.devices.some((device) => device.kind === "accelerator") ? 1 : 0,
    usable: slotsOfBackend(backend, 0).reduce((sum, slot) => sum + slot.usableBytes, 0),
  }));
  rated.sort((a, b) => b.priority - a.priority || b.accelerated - a.accelerated || b.usable - a.usable);
  return rated.map(({ backend }) => backend);
}
