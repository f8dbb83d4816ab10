/** Backends by script: each probe is answered as told, or hangs until told; sentinels break on demand. */
import type { SynapticError } from "../../src/core/errors.ts";
import type { ProbeResult } from "../../src/core/health.ts";
import type { Endpoint } from "../../src/core/units.ts";
import type { ProbeOptions, RpcPort, Sentinel, SentinelOptions } from "../../src/engine/ports.ts";

/** What an rpc-server of this version with one CPU device answers. */
export function upResult(address: Endpoint, major = 8): ProbeResult {
  return {
    tag: "up",
    protocol: { major, minor: 0, patch: 0 },
    devices: [{ index: 0, kind: "cpu", freeBytes: 8 * 1024 ** 3, totalBytes: 8 * 1024 ** 3 }],
    rttMs: 0.4,
    address,
  };
}

export interface ScriptedSentinel {
  readonly endpoint: Endpoint;
  closed: boolean;
  readonly lose: (reason: string) => void;
}

export class ScriptedRpc implements RpcPort {
  /** Endpoints in the order they were probed. */
  readonly probes: Endpoint[] = [];
  readonly sentinels: ScriptedSentinel[] = [];
  /** Probes under way now, per endpoint. */
  readonly running = new Map<Endpoint, number>();
  /** The most probes ever under way at once for one endpoint. */
  peak = 0;
  readonly #results = new Map<Endpoint, ProbeResult | "hang">();
  readonly #hanging = new Map<Endpoint, (result: ProbeResult) => void>();
  readonly #refusals = new Map<Endpoint, SynapticError>();

  /** From now on probes of it see this; `hang` waits for `settle()` or the signal. Up is the default. */
  set(endpoint: Endpoint, result: ProbeResult | "hang"): void {
    this.#results.set(endpoint, result);
  }

  settle(endpoint: Endpoint, result: ProbeResult): void {
    this.#hanging.get(endpoint)?.(result);
  }

  refuseSentinel(endpoint: Endpoint, error: SynapticError): void {
    this.#refusals.set(endpoint, error);
  }

  count(endpoint: Endpoint): number {
    return this.probes.filter((probed) => probed === endpoint).length;
  }

  async probe(endpoint: Endpoint, options: ProbeOptions): Promise<ProbeResult> {
    this.probes.push(endpoint);
    const running = (this.running.get(endpoint) ?? 0) + 1;
    this.running.set(endpoint, running);
    this.peak = Math.max(this.peak, running);
    try {
      return await this.#answer(endpoint, options);
    } finally {
      this.running.set(endpoint, (this.running.get(endpoint) ?? 1) - 1);
    }
  }

  async openSentinel(endpoint: Endpoint, options: SentinelOptions): Promise<Sentinel> {
    const refusal = this.#refusals.get(endpoint);
    if (refusal) throw refusal;
    const sentinel: ScriptedSentinel = { endpoint, closed: false, lose: options.onLost };
    this.sentinels.push(sentinel);
    return {
      close() {
        sentinel.closed = true;
      },
    };
  }

  async #answer(endpoint: Endpoint, options: ProbeOptions): Promise<ProbeResult> {
    const address: Endpoint = endpoint.startsWith("localhost:") ? `127.0.0.1:${Number(endpoint.slice(10))}` : endpoint;
    const owner = options.claim?.(address) ?? endpoint;
    if (owner !== endpoint) return { tag: "duplicate", of: owner };
    const result = this.#results.get(endpoint) ?? upResult(address);
    if (result !== "hang") return result;
    return new Promise((resolve) => {
      this.#hanging.set(endpoint, resolve);
      options.signal.addEventListener("abort", () => resolve({ tag: "cancelled" }));
    });
  }
}
