/** The plan that a timing runs on: all layers on one backend, or all on the head node. Pure. */
import type { ModelFacts } from "./model.ts";
import { planModel } from "./plan.ts";
import type { BackendFacts, HeadFacts, LocalDevice, PlanInput, PlanResult } from "./plan-types.ts";
import type { Speed } from "./speed.ts";

export interface TimingSubject {
  readonly facts: ModelFacts;
  readonly path: string;
  readonly localDevices: readonly LocalDevice[];
  readonly head: HeadFacts;
  /** Null for the head node alone. */
  readonly backend: BackendFacts | null;
}

/** As messages call it. */
const NAME = "the timing model";
/** Prompt and tokens of a run fit in. */
const CONTEXT = 512;
/** One prompt of that size warms an accelerator up; no more memory is taken than needed. */
const BATCH_SIZE = 256;

/** Bytes of weights that each token goes through: the embeddings are only looked up. */
export function timedBytes({ layers, outputBytes }: ModelFacts): number {
  return layers.reduce((sum, { weightBytes }) => sum + weightBytes, outputBytes);
}

/** Where everything goes, or why it cannot. */
export function planTiming({ backend, localDevices, ...subject }: TimingSubject): PlanResult {
  if (backend) {
    const layers = subject.facts.layers.length + 1;
    return planModel(inputOf({ ...subject, placement: "pinned", backends: [{ ...backend, layers }], localDevices }));
  }
  if (localDevices.length > 0) {
    return planModel(inputOf({ ...subject, placement: "spread", backends: [], localDevices }));
  }
  const head = { ...subject.head, speed: UNKNOWN };
  return planModel(inputOf({ ...subject, head, placement: "fewest", backends: [], localDevices: [] }));
}

/** The planner lets the head node's processor compute only where its speed is known, which a timing is to find out. */
const UNKNOWN: Speed = { bytesPerSecond: 1, build: "", measuredAt: "" };

interface InputParts extends Pick<TimingSubject, "facts" | "path" | "head"> {
  readonly placement: "pinned" | "spread" | "fewest";
  readonly backends: readonly BackendFacts[];
  readonly localDevices: readonly LocalDevice[];
}

function inputOf({ facts, path, head, placement, backends, localDevices }: InputParts): PlanInput {
  return {
    facts,
    backends,
    localDevices,
    leftOut: [],
    head,
    options: {
      model: NAME,
      path,
      placement,
      contextSize: CONTEXT,
      parallel: 1,
      kvType: "f16",
      batchSize: BATCH_SIZE,
      microBatchSize: BATCH_SIZE,
      extraArgs: [],
    },
  };
}
