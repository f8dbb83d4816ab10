/** Turns counts per device into the bytes that a plan states. Pure. */
import type { ModelFacts } from "./model.ts";
import type { LayerCosts } from "./plan-cost.ts";
import type { Placed } from "./plan-fewest.ts";
import { HEAD_CPU, LOCAL } from "./plan-slots.ts";
import type { BackendShare, DeviceShare, HeadShare, LocalDevice, LocalShare, PlanOptions } from "./plan-types.ts";

/** Leaves out backends that hold nothing: naming them in `--rpc` would lock them for no use. */
export function dropUnused({ backends, slots, counts }: Placed): Placed {
  const holding = new Set(slots.filter((_, index) => (counts[index] ?? 0) > 0).map((slot) => slot.backend));
  const kept = backends.map((_, position) => position).filter((position) => holding.has(position));
  const stays = slots.map((slot) => slot.backend < 0 || holding.has(slot.backend));
  return {
    backends: backends.filter((_, position) => holding.has(position)),
    slots: slots
      .filter((_, index) => stays[index])
      .map((slot) => ({ ...slot, backend: slot.backend < 0 ? slot.backend : kept.indexOf(slot.backend) })),
    counts: counts.filter((_, index) => stays[index]),
  };
}

/** What is needed on the head node whatever the placement, in bytes. */
export interface Stays {
  readonly embeddingBytes: number;
  readonly computeBytes: number;
  readonly projectorBytes: number;
  readonly draftBytes: number;
  readonly totalBytes: number;
}

/** llama.cpp maps the file. Compute buffers, a projector (read, not mapped) and a cache must be in memory. Embeddings are
 *  mapped: the kernel may drop them and read them again, but then prompts wait for the disk; a draft model is mapped too,
 *  and each of its weights is wanted for each token. So all of it is counted. Layers on backends are mapped as well while
 *  they are sent, in pages that the kernel may drop at once: they are not. */
export function staysOnHead(costs: LayerCosts, { projector, draft }: Pick<PlanOptions, "projector" | "draft">): Stays {
  const { modelBytes: embeddingBytes, computeBytes } = costs.head;
  const [projectorBytes, draftBytes] = [projector?.bytes ?? 0, draft?.bytes ?? 0];
  const totalBytes = embeddingBytes + computeBytes + projectorBytes + draftBytes;
  return { embeddingBytes, computeBytes, projectorBytes, draftBytes, totalBytes };
}

export interface Shares {
  readonly backends: readonly BackendShare[];
  readonly head: HeadShare;
}

export interface ShareOptions {
  readonly costs: LayerCosts;
  readonly facts: ModelFacts;
  readonly localDevices: readonly LocalDevice[];
}

export function buildShares({ backends, slots, counts }: Placed, { costs, facts, localDevices }: ShareOptions): Shares {
  const own = costs.among(slots.length);
  let from = 0;
  const shares = slots.map((slot, position) => {
    const to = from + (counts[position] ?? 0);
    const share: DeviceShare = { index: slot.index, kind: slot.kind, layers: to - from, ...own.run(from, to) };
    from = to;
    return { backend: slot.backend, share };
  });
  const of = (backend: number) => shares.filter((entry) => entry.backend === backend).map(({ share }) => share);
  const [cpu] = of(HEAD_CPU);
  const devices = of(LOCAL).map(({ layers, modelBytes, kvBytes, computeBytes, index }): LocalShare => {
    return { name: localDevices[index]?.name ?? "", layers, modelBytes, kvBytes, computeBytes };
  });
  return {
    backends: backends.map(({ facts: { endpoint } }, position) => sumDevices(endpoint, of(position))),
    head: headShare(own, facts, { cpu, devices }),
  };
}

/** An output head that is tied to the embeddings lies where they are, when the CPU computes it: once. */
function headShare(
  { head }: LayerCosts,
  { tiedOutput, outputBytes, inputBytes }: ModelFacts,
  { cpu, devices }: { readonly cpu: DeviceShare | undefined; readonly devices: readonly LocalShare[] },
): HeadShare {
  const { modelBytes, computeBytes } = head;
  if (!cpu) return { modelBytes, computeBytes, devices };
  const twice = tiedOutput ? Math.min(outputBytes, inputBytes) : 0;
  return {
    modelBytes: modelBytes + cpu.modelBytes - twice,
    computeBytes: computeBytes + cpu.computeBytes,
    layers: cpu.layers,
    kvBytes: cpu.kvBytes,
    devices,
  };
}

function sumDevices(endpoint: BackendShare["endpoint"], devices: readonly DeviceShare[]): BackendShare {
  const sum = (pick: (device: DeviceShare) => number) => devices.reduce((total, device) => total + pick(device), 0);
  return {
    endpoint,
    layers: sum((device) => device.layers),
    modelBytes: sum((device) => device.modelBytes),
    kvBytes: sum((device) => device.kvBytes),
    computeBytes: sum((device) => device.computeBytes),
    devices,
  };
}
