/** Places a model on backends: (ModelFacts, backends, options) to Plan or Refusal, with reasons. Pure. */
import type { LayerCosts } from "./plan-cost.ts";
import type { Placed } from "./plan-fewest.ts";
import { DEFAULT_CONTEXT, sizingOf } from "./plan-kv.ts";
import { placeEmbedding, placeLayers, survivesLossOf } from "./plan-place.ts";
import { explain, isMeasured } from "./plan-reasons.ts";
import {
  type Attempt,
  attempt,
  noBackends,
  refuse,
  refuseCacheType,
  refuseEmbedding,
  refuseHead,
} from "./plan-refusal.ts";
import { buildShares, dropUnused } from "./plan-shares.ts";
import { HEAD_CPU } from "./plan-slots.ts";
import { secondsPerToken } from "./plan-speed.ts";
import type { Estimate, HeadShare, PlanInput, PlanOptions, PlanResult, Refusal } from "./plan-types.ts";

/** Decides which layers go where, or says with numbers why they go nowhere. */
export function planModel(input: PlanInput): PlanResult {
  const { facts, options, localDevices } = input;
  // The context first, then the placement: a larger one only when it is asked for.
  const tried = attempt(input, options.contextSize ?? Math.min(facts.trainedContext, DEFAULT_CONTEXT));
  const { costs, park } = tried;
  const { embedding } = facts;
  const canRun = input.backends.length > 0 || localDevices.length > 0 || embedding !== undefined;
  const refusal = refuseCacheType(input) ?? (canRun || canRunOnHead(input) ? refuseHead(tried) : noBackends(input));
  if (refusal) return { ok: false, refusal };
  const placed = embedding ? placeEmbedding(park, costs) : placeLayers(park, costs, options.placement);
  if (!placed) return { ok: false, refusal: whyNot(tried, canRun) };
  const used = dropUnused(placed);
  const shares = buildShares(used, { costs, facts, localDevices });
  const survives = used.backends.filter((lost) => survivesLossOf(lost, park, { costs, placement: options.placement }));
  const onHead = used.slots.some((slot) => slot.backend === HEAD_CPU);
  const { contextSize } = costs;
  return {
    ok: true,
    plan: {
      ...kept(options),
      contextSize,
      contextPerSlot: { alone: contextSize, even: Math.floor(contextSize / options.parallel) },
      flashAttention: sizingOf(facts, options, contextSize).flashAttention,
      totalLayers: costs.totalLayers,
      offloadedLayers: onHead ? 0 : costs.totalLayers,
      backends: shares.backends,
      head: withSideFiles(shares.head, options),
      kvInexact: facts.kvInexact,
      ...(embedding && { pooling: embedding.pooling }),
      survives: survives.map((backend) => backend.facts.endpoint),
      estimate: estimate(used, costs, input),
      reasons: explain({ input, park, costs, used }),
    },
  };
}

function whyNot(tried: Attempt, canRun: boolean): Refusal {
  if (tried.input.facts.embedding) return refuseEmbedding(tried);
  return canRun ? refuse(tried) : noBackends(tried.input);
}

/** What a plan takes over from the options as it is. */
function kept(options: PlanOptions) {
  const { model, path, placement, parallel, kvType, batchSize, microBatchSize, extraArgs } = options;
  return {
    ...{ model, path, placement, parallel, kvType, batchSize, microBatchSize, extraArgs },
    projector: options.projector?.path ?? null,
    draft: options.draft?.path ?? null,
    adapters: (options.adapters ?? []).map((adapter) => adapter.path),
  };
}

function withSideFiles(head: HeadShare, { projector, draft }: PlanOptions): HeadShare {
  return {
    ...head,
    ...(projector && { projectorBytes: projector.bytes }),
    ...(draft && { draftBytes: draft.bytes }),
  };
}

/** Without backends only the head node's CPU is left, and only where it was measured. */
function canRunOnHead({ head, options }: PlanInput): boolean {
  return options.placement === "fewest" && head?.speed !== undefined;
}

function estimate(used: Placed, costs: LayerCosts, { head }: PlanInput): Estimate {
  const isKnown = isMeasured(used, head?.speed !== undefined);
  return { tokensPerSecond: isKnown ? 1 / secondsPerToken(used, costs) : null };
}
