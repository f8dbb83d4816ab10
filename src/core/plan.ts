/** Places a model on backends: (ModelFacts, backends, options) to Plan or Refusal, with reasons. Pure. */
import { LayerCosts, padContext, type Sizing, wantsFlashAttention } from "./plan-cost.ts";
import { type Placed, placeLayers } from "./plan-place.ts";
import { buildShares, dropUnused } from "./plan-shares.ts";
import { slotsOf } from "./plan-slots.ts";
import type { PlanInput, PlanResult, Refusal } from "./plan-types.ts";
import { type Endpoint, formatBytes } from "./units.ts";

/** Context used when nobody asks for one: longer ones cost KV memory that most chats never fill. */
const DEFAULT_CONTEXT = 32_768;
/** The shortest context that a refusal still offers. */
const LEAST_CONTEXT = 2_048;

/** Decides which layers go where, or says with numbers why they go nowhere. */
export function planModel(input: PlanInput): PlanResult {
  const { facts, options } = input;
  if (input.backends.length === 0 && input.localDevices.length === 0) return { ok: false, refusal: noBackends(input) };
  const sizing = sizingOf(input, options.contextSize ?? Math.min(facts.trainedContext, DEFAULT_CONTEXT));
  const costs = new LayerCosts(facts, sizing);
  const placed = placeLayers(input, costs, options.placement);
  if (!placed) return { ok: false, refusal: refuse(input, costs) };
  const used = dropUnused(placed);
  const shares = buildShares(used, costs, input.localDevices);
  return {
    ok: true,
    plan: {
      model: options.model,
      path: options.path,
      placement: options.placement,
      contextSize: sizing.contextSize,
      parallel: options.parallel,
      kvType: options.kvType,
      flashAttention: sizing.flashAttention,
      batchSize: options.batchSize,
      microBatchSize: options.microBatchSize,
      extraArgs: options.extraArgs,
      totalLayers: costs.totalLayers,
      offloadedLayers: costs.totalLayers,
      ...shares,
      kvInexact: facts.kvInexact,
      survives: survivable(input, used, costs),
      reasons: explain(input, used, sizing),
    },
  };
}

function sizingOf({ facts, options }: PlanInput, contextSize: number): Sizing {
  return {
    contextSize: padContext(contextSize),
    kvType: options.kvType,
    microBatchSize: options.microBatchSize,
    flashAttention: wantsFlashAttention(facts, options.kvType),
  };
}

/** Which of the backends in use may be lost: the others would still hold the model. */
function survivable(input: PlanInput, used: Placed, costs: LayerCosts): readonly Endpoint[] {
  if (input.options.placement === "pinned") return [];
  const lossless = used.backends.filter((lost) => {
    const backends = input.backends.filter((backend) => backend !== lost);
    if (backends.length === 0 && input.localDevices.length === 0) return false;
    return placeLayers({ backends, localDevices: input.localDevices }, costs, input.options.placement) !== null;
  });
  return lossless.map(({ endpoint }) => endpoint);
}

function explain(input: PlanInput, used: Placed, sizing: Sizing): readonly string[] {
  const { facts, options } = input;
  const count = used.backends.length;
  const reasons: string[] = [];
  if (options.placement === "spread") {
    reasons.push(`spread: ${plural(count, "usable backend")} in proportion to free memory`);
  } else if (options.placement === "pinned") {
    reasons.push("pinned: layers as set in synaptic.backends[].layers");
  } else if (count === 0) {
    reasons.push("fewest: the head node's own devices hold it, so no backend is needed");
  } else {
    reasons.push(`fewest: ${count} of ${plural(input.backends.length, "usable backend")} hold it`);
  }
  const left = input.backends.length - count;
  if (options.placement === "spread" && left > 0)
    reasons.push(`${plural(left, "backend")} too small for one layer left out`);
  if (options.contextSize === null && facts.trainedContext > sizing.contextSize) {
    reasons.push(
      `context ${sizing.contextSize} of the ${facts.trainedContext} trained for; synaptic.contextSize asks for more`,
    );
  }
  if (sizing.contextSize > padContext(facts.trainedContext)) {
    reasons.push(`context ${sizing.contextSize} is beyond the ${facts.trainedContext} that the model was trained for`);
  }
  if (facts.kvInexact) reasons.push(`KV cache is reserved in full: ${facts.kvInexact}`);
  for (const { endpoint, reason } of input.leftOut) reasons.push(`without ${endpoint}: ${reason}`);
  return reasons;
}

function noBackends({ options, leftOut }: PlanInput): Refusal {
  const why = leftOut.map(({ endpoint, reason }) => `${endpoint} ${reason}`).join("; ");
  return {
    code: "no_backends",
    message: `Cannot place ${options.model}: ${why || "no backend is configured"}`,
    hint: leftOut.length > 0 ? "see `synaptic backends`" : "list your rpc-servers under rpc_backends in the config",
  };
}

function refuse(input: PlanInput, costs: LayerCosts): Refusal {
  const { model, placement } = input.options;
  const pinned = input.backends.reduce((sum, backend) => sum + (backend.layers ?? 0), 0);
  if (placement === "pinned" && pinned !== costs.totalLayers) {
    return {
      code: "does_not_fit",
      message: `Cannot place ${model} as pinned: the usable backends are given ${pinned} layers, the model has ${costs.totalLayers} with its output head`,
      hint: "correct synaptic.backends[].layers; `synaptic backends` shows which are down",
    };
  }
  const usable = slotsOf(input.backends, input.localDevices).reduce((sum, slot) => sum + slot.usableBytes, 0);
  const smaller = smallerContext(input, costs);
  const needed = formatBytes(costs.total(0, costs.totalLayers));
  return {
    code: "does_not_fit",
    message: `Cannot place ${model} on ${plural(input.backends.length, "backend")}: needs ${needed}, ${formatBytes(usable)} usable`,
    hint: `${smaller ? `a context of ${smaller} tokens fits (synaptic.contextSize); or ` : ""}add a backend or choose a smaller quantisation; see \`synaptic plan ${model}\``,
  };
}

/** The largest halving of the context that fits; null when none does. */
function smallerContext(input: PlanInput, costs: LayerCosts): number | null {
  for (let tokens = costs.contextSize / 2; tokens >= LEAST_CONTEXT; tokens /= 2) {
    const sizing = sizingOf(input, tokens);
    if (placeLayers(input, new LayerCosts(input.facts, sizing), input.options.placement)) return sizing.contextSize;
  }
  return null;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
