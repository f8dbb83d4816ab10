/** What the planner is given: a model, its settings, and the backends as they were last seen. Pure. */
import { settingsFor } from "./config-models.ts";
import type { Config } from "./config-types.ts";
import type { ModelFacts } from "./model.ts";
import type { BackendFacts, PlanInput } from "./plan-types.ts";
import type { BackendSnapshot, EngineFacts } from "./snapshot.ts";

/** llama.cpp's own defaults, given explicitly since the compute buffers depend on them. */
const BATCH_SIZE = 2_048;
const MICRO_BATCH_SIZE = 512;

export interface PlanSources {
  readonly model: string;
  readonly path: string;
  readonly config: Config;
  readonly facts: ModelFacts;
  readonly engine: EngineFacts;
  readonly backends: readonly BackendSnapshot[];
  /** Which of the backends may take part now. */
  readonly isUsable: (backend: BackendSnapshot) => boolean;
}

/** Gathers what `planModel()` is given. */
export function planInput({ model, path, config, facts, engine, backends, isUsable }: PlanSources): PlanInput {
  const settings = settingsFor(config, model);
  return {
    facts,
    backends: backends.filter(isUsable).map((backend) => backendFacts(config, backend)),
    localDevices: engine.localDevices,
    leftOut: backends
      .filter((backend) => !isUsable(backend))
      .map(({ endpoint, state, reason, lease }) => ({
        endpoint,
        reason: reason || (lease ? `held by ${lease}` : state),
      })),
    options: {
      model,
      path,
      placement: config.placement,
      contextSize: settings.contextSize,
      parallel: settings.parallel,
      kvType: settings.kvType,
      batchSize: BATCH_SIZE,
      microBatchSize: MICRO_BATCH_SIZE,
      extraArgs: settings.args,
    },
  };
}

function backendFacts(config: Config, { endpoint, machine, devices }: BackendSnapshot): BackendFacts {
  const { maxMemoryBytes, layers, priority } = config.backends.find((own) => own.endpoint === endpoint) ?? {};
  return {
    endpoint,
    machine,
    devices,
    ...(maxMemoryBytes !== undefined && { maxMemoryBytes }),
    ...(layers !== undefined && { layers }),
    ...(priority !== undefined && { priority }),
  };
}
