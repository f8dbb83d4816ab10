/** The values of `synaptic.queue`, `synaptic.limits` and `synaptic.resumeWithin`. Pure. */
import type { Ledger } from "./config-sources.ts";
import type { Config } from "./config-types.ts";
import { ownValue, type ValueContext } from "./config-values.ts";
import { readKeepAlive } from "./keep-alive.ts";

export function resolveQueue(ledger: Ledger, context: ValueContext): Config["queue"] {
  const { perModel, perKey, longestWaitMs } = context.own.queue ?? {};
  const most = ownValue(ledger, context, { path: ["queue", "perModel"], value: perModel, fallback: 256 });
  const half = Math.ceil(most / 2);
  return {
    perModel: most,
    perKey: ownValue(ledger, context, { path: ["queue", "perKey"], value: perKey, fallback: half }),
    longestWaitMs: ownValue(ledger, context, {
      path: ["queue", "longestWaitMs"],
      value: longestWaitMs,
      fallback: 600_000,
    }),
  };
}

export function resolveLimits(ledger: Ledger, context: ValueContext): Config["limits"] {
  const { inFlight } = context.own.limits ?? {};
  return { inFlight: ownValue(ledger, context, { path: ["limits", "inFlight"], value: inFlight, fallback: 1024 }) };
}

export function resolveResumeWithin(ledger: Ledger, context: ValueContext): number {
  const value = readKeepAlive(context.own.resumeWithin) ?? undefined;
  return ownValue(ledger, context, { path: ["resumeWithin"], value, fallback: 60_000 });
}
