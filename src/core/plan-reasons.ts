/** Why a plan is as it is, in sentences. Pure. */

import { HEAD_MACHINE } from "./health.ts";
import type { LayerCosts } from "./plan-cost.ts";
import type { Placed } from "./plan-fewest.ts";
import { padContext } from "./plan-kv.ts";
import { placeSpread } from "./plan-place.ts";
import { bestFirst, HEAD_CPU, MAX_DEVICES, type Park, type Rated, withinLimits } from "./plan-slots.ts";
import { EQUAL_SPEED, secondsPerToken } from "./plan-speed.ts";
import type { PlanInput, SideFile } from "./plan-types.ts";
import { formatBytes } from "./units.ts";

/** Beyond these, sentences say how many there are. */
export const MOST_NAMED = 4;

export interface Explained {
  readonly input: PlanInput;
  readonly park: Park;
  readonly costs: LayerCosts;
  readonly used: Placed;
}

/** All sentences of a plan, the most important first. */
export function explain(explained: Explained): readonly string[] {
  const { input } = explained;
  return [
    ...choice(explained),
    ...sharedMemory(explained),
    ...context(explained),
    ...sideFiles(input),
    ...(input.facts.embedding ? [] : input.leftOut).map(
      ({ endpoint, reason }) => `fits without ${endpoint}: ${reason}`,
    ),
  ];
}

function choice(explained: Explained): readonly string[] {
  const { input, park, used } = explained;
  const count = used.backends.length;
  if (input.facts.embedding) return ["an embedding model: on the head node alone, never sharded"];
  switch (input.options.placement) {
    case "spread":
      return [`spread: ${plural(count, "usable backend")} in proportion to free memory`, ...overLimits(park, count)];
    case "pinned":
      return ["pinned: layers as set in synaptic.backends[].layers"];
    case "fewest":
    case "resilient":
      return [`${input.options.placement}: ${fewest(explained)}`, ...notSharded(explained), ...slower(explained)];
  }
}

function fewest({ input, used }: Explained): string {
  const count = used.backends.length;
  if (used.slots.some((slot) => slot.backend === HEAD_CPU))
    return "the head node's CPU holds it, so no backend is needed";
  if (count === 0) return "the head node's own devices hold it, so no backend is needed";
  const held = `${count} of ${plural(input.backends.length, "usable backend")} ${count === 1 ? "holds" : "hold"} it`;
  return input.options.placement === "resilient" ? `${held}, and the others would after the loss of any one` : held;
}

/** What sharding over all would cost, where the speeds were measured. */
function notSharded({ input, park, costs, used }: Explained): readonly string[] {
  if (used.backends.length > 1 || park.backends.length + (used.backends.length === 0 ? 1 : 0) < 2) return [];
  const all = placeSpread(park, costs);
  const hasHeadSpeed = input.head?.speed !== undefined;
  if (!all || !isMeasured(all, hasHeadSpeed) || !isMeasured(used, hasHeadSpeed)) return [];
  const factor = secondsPerToken(all, costs) / secondsPerToken(used, costs);
  const [backend] = used.backends;
  const who = backend ? backend.facts.endpoint : "the head node";
  const where = all.backends.length === 1 ? `on ${all.backends[0]?.facts.endpoint}` : `over all ${all.backends.length}`;
  return factor > 1 ? [`${who} alone is estimated ${times(factor)} faster than ${where}: not sharded`] : [];
}

/** Whether the speed of each device with layers is a measured one. */
export function isMeasured({ backends, slots, counts }: Placed, hasHeadSpeed: boolean): boolean {
  return slots.every(({ backend }, index) => {
    if ((counts[index] ?? 0) === 0 || backend === HEAD_CPU) return true;
    return backend < 0 ? hasHeadSpeed : backends[backend]?.facts.speed !== undefined;
  });
}

/** Usable backends that are left out since the plan's are faster. */
function slower({ input, park, used }: Explained): readonly string[] {
  const rates = used.slots.filter((_, index) => (used.counts[index] ?? 0) > 0).map((slot) => slot.bytesPerSecond);
  const slowest = Math.min(...rates);
  const taken = new Set(used.backends);
  const areMeasured = isMeasured(used, input.head?.speed !== undefined);
  const out = park.bySpeed.filter((each) => !taken.has(each) && each.bytesPerSecond * EQUAL_SPEED < slowest);
  if (out.length === 0) return [];
  const named = out
    .slice(0, MOST_NAMED)
    .map((each) => `${each.facts.endpoint} (${why(each, areMeasured ? slowest : null)})`);
  const more = out.length - named.length;
  return [`left out: ${named.join(", ")}${more > 0 ? ` and ${more} more` : ""}`];
}

/** `slowest`: of the plan's devices, when they were measured. */
function why({ facts, accelerated, bytesPerSecond }: Rated, slowest: number | null): string {
  if (facts.speed && slowest !== null) return `${times(slowest / bytesPerSecond)} slower`;
  return accelerated || facts.speed ? "slower" : "a CPU: not measured, and taken for slower";
}

function times(factor: number): string {
  return `${factor < 10 ? factor.toFixed(1) : Math.round(factor)} x`;
}

/** Usable backends that a spread does without, and why. */
function overLimits(park: Park, used: number): readonly string[] {
  const taken = withinLimits(bestFirst(park), park.localDevices).length;
  const over = park.backends.length - taken;
  const small = taken - used;
  return [
    ...(over > 0 ? [`${plural(over, "backend")} left out: one llama-server takes ${MAX_DEVICES} devices`] : []),
    ...(small > 0 ? [`${plural(small, "backend")} too small for one layer left out`] : []),
  ];
}

function sharedMemory({ input, park }: Explained): readonly string[] {
  const cards = new Map<string, { readonly bytes: number; readonly on: string[] }>();
  for (const { facts, pools } of park.backends) {
    for (const [index, { kind, totalBytes }] of facts.devices.entries()) {
      const pool = pools[index] ?? null;
      if (kind !== "accelerator" || pool === null) continue;
      const known = cards.get(pool);
      if (known) known.on.push(facts.endpoint);
      else cards.set(pool, { bytes: totalBytes, on: [facts.endpoint] });
    }
  }
  const shared = [...cards.values()].filter(({ on }) => on.length > 1).slice(0, MOST_NAMED);
  const machines = new Set(park.backends.map(({ facts }) => facts.machine));
  const held = (input.held ?? []).filter(({ machine }) => machines.has(machine) || machine === HEAD_MACHINE);
  return [
    ...shared.map(
      ({ bytes, on }) =>
        `${on.join(" and ")} report an accelerator of ${formatBytes(bytes)} each on one machine: taken for one card; ` +
        "synaptic.backends[].ownDevice says otherwise",
    ),
    ...held
      .slice(0, MOST_NAMED)
      .map(
        ({ machine, ramBytes, what }) =>
          `${formatBytes(ramBytes)} of the RAM of ${nameOf(machine)} are held by ${what}`,
      ),
  ];
}

function nameOf(machine: string): string {
  return machine === HEAD_MACHINE ? "the head node" : machine;
}

function context({ input: { facts, options }, costs }: Explained): readonly string[] {
  const { contextSize } = costs;
  const reasons: string[] = [];
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
  return reasons;
}

function sideFiles({ options: { projector, draft, adapters } }: PlanInput): readonly string[] {
  return [
    ...(projector ? [`the projector (${formatBytes(projector.bytes)}) stays on the head node`] : []),
    ...(draft ? [`the draft model (${formatBytes(draft.bytes)} with its cache) stays on the head node`] : []),
    ...(adapters && adapters.length > 0
      ? [`adapters (${formatBytes(sumBytes(adapters))}) are reserved for in even parts with the layers`]
      : []),
  ];
}

export function sumBytes(files: readonly SideFile[] = []): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
