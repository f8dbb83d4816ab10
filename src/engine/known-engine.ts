/** The llama-server that coordinators will be: what is known of it, and why none can be used. */
import { engineVerdict } from "../core/engine-versions.ts";
import { describeError, wrapError } from "../core/errors.ts";
import { bestEngine, engineProtocol } from "../core/rpc.ts";
import type { EngineFacts } from "../core/snapshot.ts";
import type { Monitor } from "./monitor.ts";
import type { Ports } from "./ports.ts";

export interface KnownEngine {
  /** Finds and measures it, the first time; of several builds, takes the one that most backends go with. Backends are
   *  judged by what it speaks. Rejects with what is wrong. */
  use(signal: AbortSignal): Promise<EngineFacts>;
  facts(): EngineFacts | null;
  /** Why the last attempt failed, with what to do; null when it did not. */
  failure(): string | null;
}

/** What changes is logged once. */
export function createKnownEngine(
  { llama, log }: Pick<Ports, "llama" | "log">,
  monitor: Pick<Monitor, "setEngineProtocol" | "snapshot">,
): KnownEngine {
  let facts: EngineFacts | null = null;
  let failure: string | null = null;

  const accept = (found: EngineFacts): EngineFacts => {
    failure = null;
    if (found === facts) return found;
    facts = found;
    monitor.setEngineProtocol(engineProtocol(found));
    log.info(`llama-server ${found.version} found`, { path: found.path });
    const verdict = engineVerdict(found, found.protocol);
    if (!verdict.ok) log.warn(verdict.warning);
    return found;
  };

  return {
    facts: () => facts,
    failure: () => failure,
    async use(signal) {
      try {
        return accept(bestEngine(await llama.engines(signal), monitor.snapshot()));
      } catch (error) {
        if (signal.aborted) throw error;
        const reason = describeError(wrapError("coordinator_failed", "Cannot use llama-server", error));
        if (reason !== failure) log.warn(reason);
        failure = reason;
        throw error;
      }
    },
  };
}
