/** Which builds of llama.cpp this synaptic was tested with, and what to say of others. Pure. */
import type { EngineVersion } from "./llama-output.ts";
import type { ProtocolVersion } from "./protocol-search.ts";

/** Both ends are in the range. Widen it only after `npm test` passed on the new build. */
export const TESTED = {
  versions: "0.7.0",
  minBuild: 11669,
  maxBuild: 11669,
  rpcMajors: [8],
} as const;

export type EngineVerdict = { readonly ok: true } | { readonly ok: false; readonly warning: string };

/** Says whether an engine is in the tested range; a warning is a sentence for the log, never a refusal. */
export function engineVerdict(engine: EngineVersion, protocol: ProtocolVersion | null): EngineVerdict {
  const name = engine.build === null ? engine.version : `${engine.version} (build ${engine.build})`;
  const tested = `synaptic was tested with ${TESTED.versions} (build ${testedBuilds()}, RPC ${TESTED.rpcMajors.join(", ")})`;
  const warn = (what: string): EngineVerdict => ({ ok: false, warning: `llama-server ${name} ${what}; ${tested}` });
  if (!protocol) return warn("speaks an RPC protocol that could not be measured");
  if (!TESTED.rpcMajors.some((major) => major === protocol.major)) {
    return warn(`speaks RPC ${protocol.major}.${protocol.minor}`);
  }
  if (engine.build === null) return engine.version === TESTED.versions ? { ok: true } : warn("does not tell its build");
  if (engine.build < TESTED.minBuild) return warn("is older than what is tested");
  if (engine.build > TESTED.maxBuild) return warn("is newer than what is tested");
  return { ok: true };
}

function testedBuilds(): string {
  const { minBuild, maxBuild } = TESTED;
  return minBuild < maxBuild ? `${minBuild} to ${maxBuild}` : String(minBuild);
}
