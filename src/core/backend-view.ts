/** A backend's health as the read model shows it. Pure. */
import { type Health, holderOf, machineOf, reasonOf } from "./health.ts";
import { formatVersion } from "./rpc.ts";
import type { BackendSnapshot } from "./snapshot.ts";
import type { Endpoint } from "./units.ts";

/** `address` is the resolved one, null until known. */
export function viewBackend(endpoint: Endpoint, health: Health, address: Endpoint | null): BackendSnapshot {
  const { seen } = health;
  return Object.freeze({
    endpoint,
    machine: machineOf(address ?? endpoint),
    state: health.tag,
    since: new Date(health.sinceMs).toISOString(),
    reason: reasonOf(health),
    protocol: seen ? formatVersion(seen.protocol) : null,
    rttMs: seen?.rttMs ?? null,
    devices: Object.freeze(seen?.devices ?? []),
    lease: holderOf(health),
  });
}

/** Whether two views would differ in what people wait for: state, reason or lease, but not the round-trip time of each
 *  probe. */
export function isNews(before: Health, after: Health): boolean {
  return before.tag !== after.tag || reasonOf(before) !== reasonOf(after) || holderOf(before) !== holderOf(after);
}

/** Those that somebody else holds: to ask one costs a whole time-out, and it is seldom free. */
export function heldByOthers(backends: readonly BackendSnapshot[]): readonly Endpoint[] {
  return backends.filter(({ state }) => state === "busy").map(({ endpoint }) => endpoint);
}

export function notHeld(backends: readonly BackendSnapshot[]): readonly Endpoint[] {
  return backends.filter(({ state }) => state !== "busy").map(({ endpoint }) => endpoint);
}
