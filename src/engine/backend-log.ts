/** Tells the log of a backend's state, once for each change. */
import { type Health, reasonOf } from "../core/health.ts";
import { type EngineProtocol, formatVersion, isCompatible } from "../core/rpc.ts";
import type { BackendState } from "../core/snapshot.ts";
import type { Endpoint } from "../core/units.ts";
import type { Logger } from "./ports.ts";

export type BackendAnnouncer = (health: Health, engine: EngineProtocol | null) => void;

/** Creates the announcer of one backend. Leases are left out: they are the coordinator's story. */
export function createAnnouncer(log: Logger, endpoint: Endpoint): BackendAnnouncer {
  let announced: BackendState = "unknown";
  return (health, engine) => {
    if (health.tag === announced || health.tag === "unknown" || health.tag === "leased") return;
    announced = health.tag;
    if (health.tag !== "up") {
      log.warn(`backend ${health.tag}`, { endpoint, reason: reasonOf(health) });
      return;
    }
    if (!health.seen) return;
    const { protocol, devices } = health.seen;
    log.info("backend up", { endpoint, protocol: formatVersion(protocol), devices: devices.length });
    const verdict = engine && isCompatible(engine, protocol);
    if (verdict?.ok && verdict.warning) log.warn(`${endpoint} ${verdict.warning}`);
  };
}
