/** What a draft model takes of the head node's memory. Pure. */
import type { ModelFacts } from "./model.ts";
import { LayerCosts } from "./plan-cost.ts";
import { padContext } from "./plan-kv.ts";
import type { PlanOptions, SideFile } from "./plan-types.ts";

export interface DraftModel {
  readonly path: string;
  readonly facts: ModelFacts;
}

/** Its file, its f16 cache for the context of the model that it drafts for (seen in llama-server 0.7.0's log: as many
 *  cells and sequences), and its compute buffer; all on the head node's CPU, where coordinatorArgs() puts it. */
export function draftFile(
  { path, facts }: DraftModel,
  {
    contextSize,
    options,
  }: { readonly contextSize: number; readonly options: Pick<PlanOptions, "parallel" | "microBatchSize"> },
): SideFile {
  const { parallel, microBatchSize } = options;
  const sizing = {
    contextSize: padContext(contextSize),
    parallel,
    kvType: "f16",
    microBatchSize,
    flashAttention: false,
  } as const;
  const costs = new LayerCosts(facts, sizing);
  const { kvBytes, computeBytes } = costs.run(0, costs.totalLayers);
  return { path, bytes: facts.fileBytes + kvBytes + computeBytes };
}
