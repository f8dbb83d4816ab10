/** Turns counts per device into the bytes that a plan states. Pure. */
import type { LayerCosts } from "./plan-cost.ts";
import type { Placed } from "./plan-place.ts";
import type { BackendShare, DeviceShare, HeadShare, LocalDevice, LocalShare } from "./plan-types.ts";

/** Leaves out backends that hold nothing: naming them in `--rpc` would lock them for no use. */
export function dropUnused({ backends, slots, counts }: Placed): Placed {
  const holding = new Set(slots.filter((_, index) => (counts[index] ?? 0) > 0).map((slot) => slot.backend));
  const kept = backends.map((_, position) => position).filter((position) => holding.has(position));
  const stays = slots.map((slot) => slot.backend === -1 || holding.has(slot.backend));
  return {
    backends: backends.filter((_, position) => holding.has(position)),
    slots: slots
      .filter((_, index) => stays[index])
      .map((slot) => ({ ...slot, backend: slot.backend === -1 ? -1 : kept.indexOf(slot.backend) })),
    counts: counts.filter((_, index) => stays[index]),
  };
}

export interface Shares {
  readonly backends: readonly BackendShare[];
  readonly head: HeadShare;
}

export function buildShares(
  { backends, slots, counts }: Placed,
  costs: LayerCosts,
  localDevices: readonly LocalDevice[],
): Shares {
  const own = costs.among(slots.length);
  let from = 0;
  const shares = slots.map((slot, position) => {
    const to = from + (counts[position] ?? 0);
    const share: DeviceShare = { index: slot.index, kind: slot.kind, layers: to - from, ...own.run(from, to) };
    from = to;
    return { backend: slot.backend, share };
  });
  const of = (backend: number) => shares.filter((entry) => entry.backend === backend).map(({ share }) => share);
  const head = own.head;
  return {
    backends: backends.map(({ endpoint }, position) => sumDevices(endpoint, of(position))),
    head: {
      modelBytes: head.modelBytes,
      computeBytes: head.computeBytes,
      devices: of(-1).map(({ layers, modelBytes, kvBytes, computeBytes, index }): LocalShare => {
        return { name: localDevices[index]?.name ?? "", layers, modelBytes, kvBytes, computeBytes };
      }),
    },
  };
}

function sumDevices(endpoint: BackendShare["endpoint"], devices: readonly DeviceShare[]): BackendShare {
  const sum = (pick: (device: DeviceShare) => number) => devices.reduce((total, device) => total + pick(device), 0);
  return {
    endpoint,
    layers: sum((device) => device.layers),
    modelBytes: sum((device) => device.modelBytes),
    kvBytes: sum((device) => device.kvBytes),
    computeBytes: sum((device) => device.computeBytes),
    devices,
  };
}
