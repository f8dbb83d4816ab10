/** What is left of accelerators for others while a load that was planned on them has not taken its memory yet. Pure. */
import { poolsOf } from "./plan-memory.ts";
import type { BackendFacts, DeviceFacts, Plan } from "./plan-types.ts";

/**
 * The backends with what such loads leave of the cards that they share with them: a card reports what is taken, and not what
 * is about to be. `seen`: those of the loads, as
 * they were when these were planned.
 */
export function lessLoading(
  backends: readonly BackendFacts[],
  loads: readonly Plan[],
  seen: readonly BackendFacts[],
): readonly BackendFacts[] {
  const left = leftOf(loads, seen);
  if (left.size === 0) return backends;
  return backends.map((backend) => {
    const pools = poolsOf(backend);
    const devices = backend.devices.map((device, position): DeviceFacts => {
      const most = device.kind === "accelerator" ? left.get(pools[position] ?? "") : undefined;
      return most === undefined ? device : { ...device, freeBytes: Math.min(device.freeBytes, most) };
    });
    return { ...backend, devices };
  });
}

/** Bytes by card. */
function leftOf(loads: readonly Plan[], seen: readonly BackendFacts[]): ReadonlyMap<string, number> {
  const left = new Map<string, number>();
  for (const share of loads.flatMap((plan) => plan.backends)) {
    const facts = seen.find(({ endpoint }) => endpoint === share.endpoint);
    if (!facts) continue;
    const pools = poolsOf(facts);
    for (const { index, kind, modelBytes, kvBytes, computeBytes } of share.devices) {
      const position = facts.devices.findIndex((device) => device.index === index);
      const pool = pools[position] ?? null;
      if (kind !== "accelerator" || pool === null) continue;
      const free = left.get(pool) ?? facts.devices[position]?.freeBytes ?? 0;
      left.set(pool, Math.max(0, free - modelBytes - kvBytes - computeBytes));
    }
  }
  return left;
}
