/** Measurements that somebody asks for: each backend in turn, with the reason where one cannot be timed. */
import { SynapticError, wrapError } from "../core/errors.ts";
import type { BackendSnapshot, CoordinatorSnapshot } from "../core/snapshot.ts";
import { loading, MEASURE_HOLDER, type MeasureRow } from "../core/timing.ts";
import { type Endpoint, splitEndpoint } from "../core/units.ts";
import type { Measurer, TimingKit, TimingTarget } from "./measurer.ts";
import type { Monitor } from "./monitor.ts";

export interface MeasureWish {
  /** Endpoints of the configured backends, or hosts that have one only; all of them when absent. */
  readonly endpoints?: readonly string[];
  /** The head node by itself as well. */
  readonly head?: boolean;
}

export interface MeasurementsOptions {
  readonly measurer: Measurer;
  readonly monitor: Pick<Monitor, "snapshot" | "refresh">;
  readonly coordinators: () => readonly CoordinatorSnapshot[];
}

export class Measurements {
  readonly #options: MeasurementsOptions;
  #asked = false;

  constructor(options: MeasurementsOptions) {
    this.#options = options;
  }

  /** Somebody has asked, and is not answered yet. */
  areUnderWay(): boolean {
    return this.#asked;
  }

  /**
   * One row for each, in the configured order, the head node last.
   * @throws SynapticError `bad_request` for an endpoint that is not configured, `too_busy` while another one's are under
   * way, or why nothing can be timed at all; the signal's reason.
   */
  async measure({ endpoints, head = false }: MeasureWish, signal: AbortSignal): Promise<readonly MeasureRow[]> {
    const { measurer } = this.#options;
    const targets: TimingTarget[] = [...this.#resolve(endpoints), ...(head ? (["head"] as const) : [])];
    if (this.#asked) throw new SynapticError("too_busy", "Cannot measure now: another measurement is under way");
    this.#asked = true;
    try {
      const kit = await measurer.kit(signal);
      await measurer.letGo("somebody else asked for it");
      const rows: MeasureRow[] = [];
      for (const target of targets) rows.push(await this.#measure(target, kit, signal));
      // Whoever is answered finds them as free as they are.
      await this.#options.monitor.refresh(targets.filter((target) => target !== "head"));
      return rows;
    } finally {
      this.#asked = false;
    }
  }

  async #measure(target: TimingTarget, kit: TimingKit, signal: AbortSignal): Promise<MeasureRow> {
    const result = await this.#tryNow(target, kit, signal);
    const devices = this.#options.monitor.snapshot().find(({ endpoint }) => endpoint === target)?.devices ?? [];
    const row = { endpoint: target, devices: devices.map(({ kind }) => kind) };
    if (!(result instanceof SynapticError)) return { ...row, timing: result, failure: null };
    const { code, message } = result;
    return { ...row, timing: null, failure: { code, message } };
  }

  async #tryNow(target: TimingTarget, kit: TimingKit, signal: AbortSignal) {
    const { measurer, coordinators, monitor } = this.#options;
    const obstacle = loading(coordinators()) ?? heldBy(monitor.snapshot().find(({ endpoint }) => endpoint === target));
    if (obstacle !== null) return new SynapticError("too_busy", `Cannot measure ${target} now: ${obstacle}`);
    try {
      return await measurer.time(target, kit, signal);
    } catch (error) {
      signal.throwIfAborted();
      return wrapError("coordinator_failed", `Cannot measure ${target}`, error);
    }
  }

  #resolve(names: readonly string[] | undefined): readonly Endpoint[] {
    const known = this.#options.monitor.snapshot().map(({ endpoint }) => endpoint);
    return names ? [...new Set(names.map((name) => endpointOf(name, known)))] : known;
  }
}

/** @throws SynapticError `bad_request` */
function endpointOf(name: string, known: readonly Endpoint[]): Endpoint {
  const exact = known.find((endpoint) => endpoint === name);
  const there = known.filter((endpoint) => splitEndpoint(endpoint).host === name);
  const [found = null] = exact === undefined ? there : [exact];
  if (found !== null && (exact !== undefined || there.length === 1)) return found;
  const why = found === null ? "it is not among the configured backends" : "several backends are there";
  throw new SynapticError("bad_request", `Cannot measure ${name}: ${why}`, { hint: `known here: ${known.join(", ")}` });
}

/** The coordinator or the other client that has it; a free one, and one that is down, are looked at anew. */
function heldBy(backend: BackendSnapshot | undefined): string | null {
  if (backend?.lease && backend.lease !== MEASURE_HOLDER) return `it is held for ${backend.lease}`;
  return backend?.state === "busy" ? backend.reason : null;
}
