/** Where the layers go, for each placement. Pure. */
import type { LayerCosts } from "./plan-cost.ts";
import { isHeld, type Placed, placeFewest, placeOnHead, placeResilient } from "./plan-fewest.ts";
import { countsByFreeMemory, countsEvenly, findOverfull } from "./plan-fill.ts";
import { bestFirst, inListedOrder, type Park, parkWith, type Rated, slotsOf, withinLimits } from "./plan-slots.ts";
import type { Placement } from "./plan-types.ts";

/** Null when the layers do not fit (or, pinned, when the pins do not add up to the model). */
export function placeLayers(park: Park, costs: LayerCosts, placement: Placement): Placed | null {
  switch (placement) {
    case "fewest":
      return placeFewest(park, costs);
    case "spread":
      return placeSpread(park, costs);
    case "pinned":
      return placePinned(park, costs);
    case "resilient":
      return placeResilient(park, costs);
  }
}

/** A model that makes vectors is small, and reads a text once: it lies on the head node's CPU, and is never sharded. */
export function placeEmbedding(park: Park, costs: LayerCosts): Placed | null {
  return placeOnHead({ ...park, headCpu: park.headCpu ?? park.rates.cpu }, costs);
}

/** Whether the others would still hold the model. */
export function survivesLossOf(
  lost: Rated,
  park: Park,
  { costs, placement }: { costs: LayerCosts; placement: Placement },
) {
  const rest = parkWith(park, (backend) => backend !== lost);
  switch (placement) {
    case "pinned":
      return false;
    case "spread":
      return (rest.backends.length > 0 || rest.localDevices.length > 0) && placeSpread(rest, costs) !== null;
    case "fewest":
      return isHeld(rest, costs);
    case "resilient":
      return isHeld({ ...rest, headCpu: null }, costs);
  }
}

/** All usable backends in proportion to free memory; evened out only where that would overfill one of them. */
export function placeSpread(park: Park, costs: LayerCosts): Placed | null {
  const backends = inListedOrder(park, withinLimits(bestFirst(park), park.localDevices));
  const slots = slotsOf(park, backends);
  if (slots.length === 0) return null;
  const even = countsByFreeMemory(slots, costs.totalLayers);
  const counts = findOverfull({ slots, counts: even }, costs) ? countsEvenly(slots, costs) : even;
  return counts && { backends, slots, counts };
}

function placePinned(park: Park, costs: LayerCosts): Placed | null {
  const placed = asPinned(park);
  if (placed.counts.reduce((sum, count) => sum + count, 0) !== costs.totalLayers) return null;
  return findOverfull(placed, costs) ? null : placed;
}

/** Exactly the layers that the owner gave each backend, whether they fit or not; the head node's own devices hold none. */
export function asPinned(park: Park): Placed {
  const backends = withinLimits(
    park.backends.filter(({ facts }) => (facts.layers ?? 0) > 0),
    park.localDevices,
  );
  const slots = slotsOf(park, backends);
  const counts = backends.flatMap(({ facts }, position) =>
    countsByFreeMemory(
      slots.filter((slot) => slot.backend === position),
      facts.layers ?? 0,
    ),
  );
  return { backends, slots, counts: slots.map((_, index) => counts[index] ?? 0) };
}
