/** Places a model on backends: (ModelFacts, backends, options) to Plan or Refusal, with reasons. Pure. */
import { LayerCosts } from "./plan-cost.ts";
import { DEFAULT_CONTEXT, padContext, type Sizing, wantsFlashAttention } from "./plan-kv.ts";
import { asPinned, findOverfull, type Placed, placeLayers } from "./plan-place.ts";
import { buildShares, dropUnused } from "./plan-shares.ts";
import { MAX_DEVICES, rankBackends, slotsOf, withinLimits } from "./plan-slots.ts";
import type { PlanInput, PlanResult, Refusal, SideFile } from "./plan-types.ts";
import { type Endpoint, formatBytes } from "./units.ts";

/** The shortest context that a refusal still offers. */
const LEAST_CONTEXT = 2_048;

/** Decides which layers go where, or says with numbers why they go nowhere. */
export function planModel(input: PlanInput): PlanResult {
  const { facts, options } = input;
  const unquantisable = refuseCacheType(input);
  if (unquantisable) return { ok: false, refusal: unquantisable };
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
      projector: options.projector?.path ?? null,
      draft: options.draft?.path ?? null,
      adapters: (options.adapters ?? []).map(({ path }) => path),
      extraArgs: options.extraArgs,
      totalLayers: costs.totalLayers,
      offloadedLayers: costs.totalLayers,
      backends: shares.backends,
      head: {
        ...shares.head,
        ...(options.projector && { projectorBytes: options.projector.bytes }),
        ...(options.draft && { draftBytes: options.draft.bytes }),
      },
      kvInexact: facts.kvInexact,
      survives: survivable(input, used, costs),
      reasons: explain(input, used, costs),
    },
  };
}

function sizingOf({ facts, options }: PlanInput, contextSize: number): Sizing {
  return {
    contextSize: padContext(contextSize),
    parallel: options.parallel,
    kvType: options.kvType,
    microBatchSize: options.microBatchSize,
    flashAttention: wantsFlashAttention(facts, options.kvType),
    adapterBytes: sumBytes(options.adapters),
  };
}

function sumBytes(files: readonly SideFile[] = []): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
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

function explain(input: PlanInput, used: Placed, costs: LayerCosts): readonly string[] {
  const { facts, options } = input;
  const { contextSize } = costs;
  const count = used.backends.length;
  const reasons: string[] = [];
  if (options.placement === "spread") {
    reasons.push(`spread: ${plural(count, "usable backend")} in proportion to free memory`);
  } else if (options.placement === "pinned") {
    reasons.push("pinned: layers as set in synaptic.backends[].layers");
  } else if (count === 0) {
    reasons.push("fewest: the head node's own devices hold it, so no backend is needed");
  } else {
    reasons.push(
      `fewest: ${count} of ${plural(input.backends.length, "usable backend")} ${count === 1 ? "holds" : "hold"} it`,
    );
  }
  if (options.placement === "spread") reasons.push(...leftOver(input, count));
  if (options.contextSize === null && facts.trainedContext > contextSize) {
    reasons.push(
      `context ${contextSize} of the ${facts.trainedContext} trained for; synaptic.contextSize asks for more`,
    );
  }
  if (contextSize > padContext(facts.trainedContext)) {
    reasons.push(`context ${contextSize} is beyond the ${facts.trainedContext} that the model was trained for`);
  }
  if (facts.kvInexact) {
    const { kvBytes } = costs.run(0, costs.totalLayers);
    reasons.push(`KV cache takes ${formatBytes(kvBytes)} at most, and so much is reserved: ${facts.kvInexact}`);
  }
  const { projector, draft, adapters } = options;
  if (projector) reasons.push(`the projector (${formatBytes(projector.bytes)}) stays on the head node`);
  if (draft) reasons.push(`the draft model (${formatBytes(draft.bytes)} with its cache) stays on the head node`);
  if (adapters && adapters.length > 0) {
    reasons.push(`adapters (${formatBytes(sumBytes(adapters))}) are reserved for in even parts with the layers`);
  }
  for (const { endpoint, reason } of input.leftOut) reasons.push(`fits without ${endpoint}: ${reason}`);
  return reasons;
}

/** Usable backends that a spread does without, and why. */
function leftOver({ backends, localDevices }: PlanInput, used: number): readonly string[] {
  const taken = withinLimits(rankBackends(backends), localDevices).length;
  const over = backends.length - taken;
  const small = taken - used;
  return [
    ...(over > 0 ? [`${plural(over, "backend")} left out: one llama-server takes ${MAX_DEVICES} devices`] : []),
    ...(small > 0 ? [`${plural(small, "backend")} too small for one layer left out`] : []),
  ];
}

/** Quantised caches are made of blocks of 32 values, which llama.cpp does not let cross a head. */
function refuseCacheType({ facts, options: { model, kvType } }: PlanInput): Refusal | null {
  if (kvType === "f16" || facts.headSize % 32 === 0) return null;
  return {
    code: "does_not_fit",
    message: `Cannot place ${model} with a ${kvType} KV cache: its head size ${facts.headSize} is no multiple of 32`,
    hint: "set kvType to f16 in the model's settings",
  };
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
  if (placement === "pinned") return refusePins(input, costs);
  const slots = slotsOf(input.backends, input.localDevices);
  const usable = slots.reduce((sum, slot) => sum + slot.usableBytes, 0);
  const own = costs.among(slots.length);
  const needed = own.total(0, own.totalLayers);
  // Enough in all, but not in whole layers beside each device's own compute buffer.
  const each = needed <= usable ? ` and ${formatBytes(own.run(1, 2).computeBytes)} on each further device` : "";
  return {
    code: "does_not_fit",
    message: `Cannot place ${model} on ${plural(input.backends.length, "backend")}: needs ${formatBytes(needed)}${each}, ${formatBytes(usable)} usable`,
    hint: `${smallerContext(input, costs)}add a backend or choose a smaller quantisation; see \`synaptic plan ${model}\``,
  };
}

function refusePins(input: PlanInput, costs: LayerCosts): Refusal {
  const action = `Cannot place ${input.options.model} as pinned`;
  const layers = input.backends.reduce((sum, backend) => sum + (backend.layers ?? 0), 0);
  if (layers !== costs.totalLayers) {
    return {
      code: "does_not_fit",
      message: `${action}: the usable backends are given ${layers} layers, the model has ${costs.totalLayers} with its output head`,
      hint: "correct synaptic.backends[].layers; `synaptic backends` shows which are down",
    };
  }
  const placed = asPinned(input);
  const over = findOverfull(placed, costs);
  if (!over) {
    return {
      code: "does_not_fit",
      message: `${action}: one llama-server takes ${MAX_DEVICES} devices, the head node's own included`,
      hint: "pin the layers to fewer backends with synaptic.backends[].layers",
    };
  }
  const { slot, layers: count, neededBytes } = over;
  const where = placed.backends[slot.backend]?.endpoint ?? "the head node";
  return {
    code: "does_not_fit",
    message: `${action}: ${where} needs ${formatBytes(neededBytes)} for ${plural(count, "layer")}, ${formatBytes(slot.usableBytes)} usable`,
    hint: `${smallerContext(input, costs)}give it fewer layers in synaptic.backends[].layers`,
  };
}

/** An offer of the largest halving of the context that fits; empty when none does. */
function smallerContext(input: PlanInput, costs: LayerCosts): string {
  for (let tokens = costs.contextSize / 2; tokens >= LEAST_CONTEXT; tokens /= 2) {
    const sizing = sizingOf(input, tokens);
    if (placeLayers(input, new LayerCosts(input.facts, sizing), input.options.placement)) {
      return `a context of ${sizing.contextSize} tokens fits (synaptic.contextSize); or `;
    }
  }
  return "";
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
