/** Whether one Ollama node has room for a model where it runs fast. Pure. */
import type { BackendSnapshot, NodeSnapshot } from "./snapshot.ts";
import { formatBytes } from "./units.ts";

export type NodeFit =
  /** All of it lies, or would lie, in the memory of accelerators. */
  | "fast"
  /** In RAM, wholly or in part: only where nothing faster can take it. */
  | "slow"
  | "no"
  /** Ollama does not tell how much memory its machine has, and nothing else did. */
  | "unknown";

export interface FitVerdict {
  readonly fit: NodeFit;
  /** Why, as the end of a sentence that starts with the node. */
  readonly why: string;
}

/** What is known of the memory that a node may use, in bytes; null where nobody said or saw anything. */
export interface NodeMemory {
  /** Of its accelerators, or as the owner set it. */
  readonly fastBytes: number | null;
  readonly ramBytes: number | null;
}

/** Beside the weights: KV cache, compute buffers. A share of the file, and a floor for small models' fixed costs. */
const BESIDE_SHARE = 0.15;
const BESIDE_BYTES = 512 * 1024 ** 2;
/** Ollama leaves a layer or the output in RAM now and then, and the model is fast all the same. */
const NEARLY_ALL = 0.9;

/** From the owner's word, or from what the rpc-servers on the node's machine report. */
export function memoryOfNode(
  { machine }: Pick<NodeSnapshot, "machine">,
  backends: readonly BackendSnapshot[],
  memoryBytes: number | undefined,
): NodeMemory {
  const devices = backends.filter((backend) => backend.machine === machine).flatMap((backend) => backend.devices);
  const largest = (kind: "cpu" | "accelerator"): number | null =>
    devices
      .filter((device) => device.kind === kind)
      // Two rpc-servers on one machine may report one card twice: never counted together.
      .reduce<number | null>((most, { totalBytes }) => Math.max(most ?? 0, totalBytes), null);
  return { fastBytes: memoryBytes ?? largest("accelerator"), ramBytes: largest("cpu") };
}

/** Judges by what is loaded now where the model is, else by its size. Models that are idle there would be unloaded. */
export function fitOnNode(
  node: Pick<NodeSnapshot, "loaded">,
  model: { readonly name: string; readonly bytes: number | null },
  memory: NodeMemory,
): FitVerdict {
  const loaded = node.loaded.find(({ name }) => name === model.name);
  if (loaded) {
    const inRam = formatBytes(loaded.bytes - loaded.vramBytes);
    if (loaded.vramBytes >= loaded.bytes * NEARLY_ALL) return { fit: "fast", why: "has it loaded" };
    return { fit: "slow", why: `has it loaded, ${inRam} of ${formatBytes(loaded.bytes)} in RAM` };
  }
  if (model.bytes === null) return { fit: "unknown", why: "does not tell the model's size" };
  const needed = model.bytes + Math.max(BESIDE_BYTES, model.bytes * BESIDE_SHARE);
  const size = `${formatBytes(needed)} needed`;
  const { fastBytes, ramBytes } = memory;
  if (fastBytes !== null && needed <= fastBytes)
    return { fit: "fast", why: `has room: ${size} of ${formatBytes(fastBytes)}` };
  if (ramBytes !== null && needed <= ramBytes) {
    return {
      fit: "slow",
      why: `would hold it in RAM: ${size}${fastBytes === null ? "" : `, ${formatBytes(fastBytes)} on its accelerator`}`,
    };
  }
  const most = Math.max(fastBytes ?? 0, ramBytes ?? 0);
  if (fastBytes !== null || ramBytes !== null)
    return { fit: "no", why: `is too small: ${size}, ${formatBytes(most)} there` };
  return { fit: "unknown", why: "has it, how much memory it has is not known" };
}
