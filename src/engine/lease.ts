/** One coordinator's exclusive hold of its backends, and the sentinels that watch them meanwhile. */
import { SynapticError } from "../core/errors.ts";
import type { Endpoint } from "../core/units.ts";
import type { Logger, RpcPort, Sentinel } from "./ports.ts";

export type LossListener = (endpoint: Endpoint, reason: string) => void;

export interface Lease {
  readonly endpoints: readonly Endpoint[];
  /** The model whose coordinator holds them. */
  readonly holder: string;
  /**
   * Opens one sentinel per backend; to be called once, when the coordinator is ready. Settles when all are open or have
   * failed: a refused one is a loss, one that finds the queue full is done without (facts/llamacpp.md k).
   */
  guard(onLost: LossListener): Promise<void>;
  /** Closes the sentinels and has the backends probed; to be called once the coordinator has ended. Again does nothing. */
  release(): void;
}

export interface LeaseOptions {
  readonly endpoints: readonly Endpoint[];
  readonly holder: string;
  /** For the connect of a sentinel. */
  readonly timeoutMs: number;
  readonly onLost: LossListener;
  readonly onRelease: () => void;
}

/** For a lease that failed: null when one of its backends is not up any more, so that a plan can be made without it. @throws any other error. */
export function nullWhenGone(error: unknown): null {
  if (error instanceof SynapticError && error.code === "no_backends") return null;
  throw error;
}

/** Creates a lease over backends that its maker has marked as leased. */
export function createLease(ports: RpcPort & { readonly log: Logger }, options: LeaseOptions): Lease {
  const { endpoints, holder, timeoutMs } = options;
  const released = new AbortController();
  const sentinels = new Set<Sentinel>();

  const watch = async (endpoint: Endpoint, onLost: LossListener): Promise<void> => {
    const lose = (detail: string) => {
      if (released.signal.aborted) return;
      options.onLost(endpoint, `lost while ${holder} was using it: ${detail}`);
      onLost(endpoint, detail);
    };
    try {
      const sentinel = await ports.openSentinel(endpoint, { timeoutMs, signal: released.signal, onLost: lose });
      if (released.signal.aborted) sentinel.close();
      else sentinels.add(sentinel);
    } catch (error) {
      if (!(error instanceof SynapticError)) throw error;
      if (error.code === "upstream_error") lose(error.message);
      else ports.log.debug("backend goes unwatched", { endpoint, reason: error.message });
    }
  };

  return {
    endpoints,
    holder,
    async guard(onLost) {
      await Promise.all(endpoints.map((endpoint) => watch(endpoint, onLost)));
    },
    release() {
      if (released.signal.aborted) return;
      released.abort();
      for (const sentinel of sentinels) sentinel.close();
      options.onRelease();
    },
  };
}
