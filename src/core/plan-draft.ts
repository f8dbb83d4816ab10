/** What a draft model takes of the head node's memory. Pure. */
import type { ModelFacts } from "./model.ts";
import { LayerCosts } from "./plan-cost.ts";
import { padContext } from "./plan-kv.ts";
import type { SideFile } from "./plan-types.ts";

export interface DraftModel {
  readonly path: string;
  readonly facts: ModelFacts;
}

export interface DraftSizing {
  /** Of the model that it drafts for. */
  readonly contextSize: number;
  readonly parallel: number;
  readonly microBatchSize: number;
  /** As the model that it drafts for has it: one flag decides for both. */
  readonly flashAttention: boolean;
}

/** Its file, its f16 cache with as many cells and sequences as the model has that it drafts for (seen in llama-server
 *  0.7.0's log), and its compute buffer at most; all on the head node's CPU, where coordinatorArgs() puts it. */
export function draftFile({ path, facts }: DraftModel, { contextSize, ...sizing }: DraftSizing): SideFile {
  const costs = new LayerCosts(facts, { ...sizing, contextSize: padContext(contextSize), kvType: "f16" });
  const { kvBytes, computeBytes } = costs.run(0, costs.totalLayers);
  return { path, bytes: facts.fileBytes + kvBytes + computeBytes };
}
