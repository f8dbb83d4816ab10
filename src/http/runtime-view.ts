/** What the views use of the engine, and no more: the real runtime fits it, and so does a test's. Types only. */
import type { Config } from "../core/config-types.ts";
import type { Snapshot } from "../core/snapshot.ts";
import type { Catalog } from "../engine/catalog.ts";
import type { Dispatch } from "../engine/dispatch.ts";
import type { Fleet } from "../engine/fleet.ts";
import type { InFlight } from "../engine/in-flight.ts";
import type { Metrics } from "../engine/metrics.ts";
import type { Nodes } from "../engine/nodes.ts";
import type { Pool } from "../engine/pool.ts";
import type { ModelPort, Ports } from "../engine/ports.ts";
import type { Runtime } from "../engine/runtime.ts";

export interface RuntimeView {
  readonly version: string;
  readonly config: Config;
  readonly ports: Pick<Ports, "clock" | "log" | "http"> & { readonly models: Pick<ModelPort, "read"> };
  readonly catalog: Catalog;
  readonly fleet: Pick<Fleet, "acquire" | "keep" | "loadOf" | "reason" | "unload">;
  readonly metrics: Metrics;
  readonly inFlight: InFlight;
  readonly dispatch: Pick<Dispatch, "route" | "explain" | "pullPlace">;
  readonly pool: Pick<Pool, "take">;
  readonly nodes: Pick<Nodes, "snapshot" | "unload" | "refresh">;
  snapshot(): Snapshot;
  plan: Runtime["plan"];
  models: Runtime["models"];
  measure: Runtime["measure"];
}
