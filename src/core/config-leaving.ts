/** Which models are loaded at the start, how long unused ones stay, and when those in use make room. Pure. */
import { formatPath } from "./config-problems.ts";
import { choose, fileCandidate, type Ledger } from "./config-sources.ts";
import type { Config, ModelsConfig } from "./config-types.ts";
import { ownValue, type ValueContext } from "./config-values.ts";
import { readKeepAlive } from "./keep-alive.ts";
import { SWAP_RULES } from "./swap-types.ts";

/** The models to load at the start: those whose settings say so, then SynapticLlamas' `model` unless its settings say no. */
export function resolvePreload(ledger: Ledger, { input, file }: ValueContext, models: ModelsConfig): readonly string[] {
  const own = Object.entries(models.settings).flatMap(([id, { preload }]) => (preload ? [id] : []));
  const theirs = file.model && models.settings[file.model]?.preload !== false ? [file.model] : [];
  const wanted = [...new Set([...own, ...theirs])];
  const keys = wanted.map((id) =>
    own.includes(id) ? formatPath(["synaptic", "models", "settings", id, "preload"]) : "model",
  );
  return choose<readonly string[]>(ledger, {
    name: "preload",
    from: [fileCandidate(input, [keys.join(", ")], wanted.length > 0 ? wanted : undefined)],
    fallback: [],
  });
}

/** What becomes of models that are not used, and of those in the way of others. */
export function resolveLeaving(ledger: Ledger, context: ValueContext): Pick<Config, "keepAliveMs" | "swap"> {
  const { keepAlive, swap = {} } = context.own;
  const given = (name: keyof Config["swap"]): number =>
    ownValue(ledger, context, { path: ["swap", name], value: swap[name], fallback: SWAP_RULES[name] });
  return {
    keepAliveMs: ownValue(ledger, context, {
      path: ["keepAlive"],
      value: readKeepAlive(keepAlive) ?? undefined,
      fallback: Number.POSITIVE_INFINITY,
    }),
    swap: { longestWaitMs: given("longestWaitMs"), leastResidencyMs: given("leastResidencyMs") },
  };
}
