/** What coordinators hold of the RAM of machines, by their plans. Pure. */
import { HEAD_MACHINE } from "./health.ts";
import type { HeadFacts, Held, LocalDevice, LocalShare, Plan } from "./plan-types.ts";
import type { BackendSnapshot } from "./snapshot.ts";

type Seen = readonly Pick<BackendSnapshot, "endpoint" | "machine">[];

/** A CPU device reports all of its machine's memory whatever lies there; an accelerator reports what is free. */
export function heldByPlans(plans: readonly Plan[], backends: Seen): readonly Held[] {
  const machines = new Map(backends.map(({ endpoint, machine }) => [endpoint, machine]));
  return plans.flatMap(({ model, backends: shares, head }) => {
    const remote = shares.map(({ endpoint, devices }): Held => {
      const ramBytes = devices.reduce(
        (sum, device) => sum + (device.kind === "cpu" ? device.modelBytes + device.kvBytes + device.computeBytes : 0),
        0,
      );
      return { machine: machines.get(endpoint) ?? "", ramBytes, what: model };
    });
    const { modelBytes, computeBytes, projectorBytes = 0, draftBytes = 0, kvBytes = 0 } = head;
    const ramBytes = modelBytes + computeBytes + projectorBytes + draftBytes + kvBytes;
    return [...remote, { machine: HEAD_MACHINE, ramBytes, what: model }].filter((held) => held.ramBytes > 0);
  });
}

/** What the head node would have free once these coordinators were gone. Their embeddings are mapped, so that the kernel
 *  counts them as available already; what lies in memory for good is not. */
export function withGivenBack(head: HeadFacts, plans: readonly Plan[], backends: Seen): HeadFacts {
  const held = heldByPlans(plans, backends).filter(({ machine }) => machine === HEAD_MACHINE);
  const mapped = plans.reduce((sum, plan) => sum + plan.head.modelBytes, 0);
  const bytes = held.reduce((sum, { ramBytes }) => sum + ramBytes, -mapped);
  return { ...head, freeBytes: Math.min(head.totalBytes, head.freeBytes + Math.max(0, bytes)) };
}

/** What the engine said is free was measured before anything was loaded. */
export function lessHeld(device: LocalDevice, held: readonly LocalShare[]): LocalDevice {
  const mine = held.filter(({ name }) => name === device.name);
  const bytes = mine.reduce((sum, share) => sum + share.modelBytes + share.kvBytes + share.computeBytes, 0);
  return { ...device, freeBytes: Math.max(0, device.freeBytes - bytes) };
}
