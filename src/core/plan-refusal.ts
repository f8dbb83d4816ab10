/** Why a model cannot be placed: what is missing, and which context or quantisation would fit. Pure. */
import type { ModelFacts } from "./model.ts";
import { LayerCosts } from "./plan-cost.ts";
import { fillUp, findOverfull } from "./plan-fill.ts";
import { padContext, sizingOf } from "./plan-kv.ts";
import { asPinned, placeLayers } from "./plan-place.ts";
import { bitsPerWeight, smallerQuantisation } from "./plan-quantisation.ts";
import { MOST_NAMED, plural } from "./plan-reasons.ts";
import { staysOnHead } from "./plan-shares.ts";
import {
  bestFirst,
  inListedOrder,
  MAX_DEVICES,
  type Park,
  parkOf,
  parkWith,
  slotsOf,
  withinLimits,
} from "./plan-slots.ts";
import type { PlanInput, Refusal } from "./plan-types.ts";
import { formatBytes, formatMissing } from "./units.ts";

/** The shortest context that a refusal still offers. */
const LEAST_CONTEXT = 2_048;

/** One attempt: the input, what its layers cost, and what may hold them. */
export interface Attempt {
  readonly input: PlanInput;
  readonly costs: LayerCosts;
  readonly park: Park;
}

/** The same model, or a variant of it, with another context. */
export function attempt(input: PlanInput, contextSize: number, facts: ModelFacts = input.facts): Attempt {
  const costs = new LayerCosts(facts, sizingOf(facts, input.options, contextSize));
  return { input, costs, park: parkOf(input, staysOnHead(costs, input.options).totalBytes) };
}

function fits({ input, costs, park }: Attempt): boolean {
  const bytes = park.memory.headBytes;
  return (
    (bytes === null || bytes >= park.memory.staysBytes) && placeLayers(park, costs, input.options.placement) !== null
  );
}

/** Quantised caches are made of blocks of 32 values, which llama.cpp does not let cross a head. */
export function refuseCacheType({ facts, options: { model, kvType } }: PlanInput): Refusal | null {
  if (kvType === "f16" || facts.headSize % 32 === 0) return null;
  return {
    code: "does_not_fit",
    message: `Cannot place ${model} with a ${kvType} KV cache: its head size ${facts.headSize} is no multiple of 32`,
    hint: "set kvType to f16 in the model's settings",
  };
}

export function noBackends({ options, leftOut }: PlanInput): Refusal {
  const why = leftOut.map(({ endpoint, reason }) => `${endpoint} ${reason}`).join("; ");
  return {
    code: "no_backends",
    message: `Cannot place ${options.model}: ${why || "no backend is configured"}`,
    hint: leftOut.length > 0 ? "see `synaptic backends`" : "list your rpc-servers under rpc_backends in the config",
  };
}

/** The head node must have room for what stays there; null when it has, or when its memory is not known. */
export function refuseHead(tried: Attempt): Refusal | null {
  const { input, costs, park } = tried;
  const usable = park.memory.headBytes;
  const stays = staysOnHead(costs, input.options);
  if (usable === null || stays.totalBytes <= usable) return null;
  const parts = [
    ["embeddings", stays.embeddingBytes],
    ["compute", stays.computeBytes],
    ["projector", stays.projectorBytes],
    ["draft model", stays.draftBytes],
  ] as const;
  const list = parts.flatMap(([name, bytes]) => (bytes > 0 ? [`${name} ${formatBytes(bytes)}`] : [])).join(", ");
  return {
    code: "does_not_fit",
    message:
      `Cannot place ${input.options.model}: the head node needs ${formatBytes(stays.totalBytes)} for what stays there ` +
      `(${list}), ${formatBytes(usable)} usable: ${formatMissing(stays.totalBytes - usable)} missing`,
    hint: "free memory on this machine, or run synaptic on a larger one",
  };
}

/** An embedding model goes nowhere else. */
export function refuseEmbedding({ input, costs, park }: Attempt): Refusal {
  const { model } = input.options;
  const needed = costs.among(1).total(0, costs.totalLayers) + park.memory.staysBytes;
  const usable = park.memory.headBytes ?? 0;
  return {
    code: "does_not_fit",
    message:
      `Cannot place ${model} on the head node, where embedding models run: needs ${formatBytes(needed)}, ` +
      `${formatBytes(usable)} usable: ${formatMissing(needed - usable)} missing`,
    hint: `free memory on this machine, set a smaller contextSize, or \`ollama pull\` it to a node`,
  };
}

export function refuse(tried: Attempt): Refusal {
  const { input, costs, park } = tried;
  const { model, placement } = input.options;
  if (placement === "pinned") return refusePins(tried);
  const missing = leftOut(input);
  const offers = `${smallerContext(tried)}add a backend or ${smallerFile(tried)}; see \`synaptic plan ${model}\``;
  const fewest = placement === "resilient" ? placeLayers({ ...park, headCpu: null }, costs, "fewest") : null;
  if (fewest) {
    const worst = worstLoss(tried);
    return {
      code: "does_not_fit",
      message:
        `Cannot place ${model} so that it survives the loss of any one backend: without ${worst.endpoint} ` +
        `${formatMissing(worst.missingBytes)} are missing`,
      hint: `${missing}placement "fewest" places it on ${plural(fewest.backends.length, "backend")}; or ${offers}`,
    };
  }
  const { devices, usableBytes, missingBytes } = missingOn(tried);
  const own = costs.among(devices);
  const needed = own.total(0, own.totalLayers);
  // Enough in all, but not in whole layers beside each device's own compute buffer.
  const each = needed <= usableBytes ? ` and ${formatBytes(own.run(1, 2).computeBytes)} on each further device` : "";
  return {
    code: "does_not_fit",
    message:
      `Cannot place ${model} on ${plural(input.backends.length, "backend")}: needs ${formatBytes(needed)}${each}, ` +
      `${formatBytes(usableBytes)} usable: ${formatMissing(missingBytes)} missing in whole layers`,
    hint: missing + offers,
  };
}

/** What one more device would have to have, beside the best that one llama-server takes. */
function missingOn({ park, costs }: Pick<Attempt, "park" | "costs">) {
  const slots = slotsOf(park, inListedOrder(park, withinLimits(bestFirst(park), park.localDevices)));
  const usableBytes = slots.reduce((sum, slot) => sum + slot.usableBytes, 0);
  return { devices: slots.length, usableBytes, missingBytes: fillUp(slots, costs).leftBytes };
}

/** The loss after which the least is missing: backends whose loss nothing survives stand in the way of all. */
function worstLoss({ park, costs }: Attempt) {
  const losses = park.backends.map((lost) => {
    const rest = parkWith(park, (backend) => backend !== lost);
    return { endpoint: lost.facts.endpoint, missingBytes: missingOn({ park: rest, costs }).missingBytes };
  });
  return losses.reduce((most, loss) => (loss.missingBytes > most.missingBytes ? loss : most), {
    endpoint: park.backends[0]?.facts.endpoint ?? "it",
    missingBytes: 0,
  });
}

function refusePins(tried: Attempt): Refusal {
  const { input, costs, park } = tried;
  const action = `Cannot place ${input.options.model} as pinned`;
  const layers = input.backends.reduce((sum, backend) => sum + (backend.layers ?? 0), 0);
  if (layers !== costs.totalLayers) {
    return {
      code: "does_not_fit",
      message: `${action}: the usable backends are given ${layers} layers, the model has ${costs.totalLayers} with its output head`,
      hint: "correct synaptic.backends[].layers; `synaptic backends` shows which are down",
    };
  }
  const placed = asPinned(park);
  const over = findOverfull(placed, costs);
  if (!over) {
    return {
      code: "does_not_fit",
      message: `${action}: one llama-server takes ${MAX_DEVICES} devices, the head node's own included`,
      hint: "pin the layers to fewer backends with synaptic.backends[].layers",
    };
  }
  const { slot, layers: count, neededBytes } = over;
  const where = placed.backends[slot.backend]?.facts.endpoint ?? "the head node";
  return {
    code: "does_not_fit",
    message:
      `${action}: ${where} needs ${formatBytes(neededBytes)} for ${plural(count, "layer")}, ` +
      `${formatBytes(slot.usableBytes)} usable: ${formatMissing(neededBytes - slot.usableBytes)} missing`,
    hint: `${leftOut(input)}${smallerContext(tried)}give it fewer layers in synaptic.backends[].layers`,
  };
}

/** Backends that cannot take part now, and why: with them it may fit. Empty when there are none. */
function leftOut({ leftOut: backends }: PlanInput): string {
  if (backends.length === 0) return "";
  const named = backends.slice(0, MOST_NAMED).map(({ endpoint, reason }) => `${endpoint}, ${reason}`);
  const more = backends.length - named.length;
  return `left out: ${named.join("; ")}${more > 0 ? ` and ${more} more` : ""}; else `;
}

/** An offer of the largest halving of the context that fits; empty when none does. */
function smallerContext({ input, costs }: Attempt): string {
  for (let tokens = costs.contextSize / 2; tokens >= LEAST_CONTEXT; tokens /= 2) {
    if (fits(attempt(input, tokens)))
      return `a context of ${padContext(tokens)} tokens fits (synaptic.contextSize); or `;
  }
  return "";
}

/** An offer of the largest published quantisation that fits at this context; without one, what else there is. */
function smallerFile({ input, costs }: Attempt): string {
  const found = smallerQuantisation(input.facts, (facts) => fits(attempt(input, costs.contextSize, facts)));
  if (found) return `take a smaller quantisation: ${found}`;
  return bitsPerWeight(input.facts) === null ? "choose a smaller quantisation" : "choose a smaller model";
}
