/** What the planner is given: a model, its settings, and the backends as they were last seen. Pure. */
import { settingsFor } from "./config-models.ts";
import type { Config } from "./config-types.ts";
import { embeddingBatch, encoderContext } from "./embedding.ts";
import type { ModelFacts } from "./model.ts";
import { type DraftModel, draftFile } from "./plan-draft.ts";
import { DEFAULT_CONTEXT, wantsFlashAttention } from "./plan-kv.ts";
import { lessLoading } from "./plan-loading.ts";
import type { BackendFacts, HeadFacts, Held, Plan, PlanInput, SideFile } from "./plan-types.ts";
import type { BackendSnapshot, EngineFacts } from "./snapshot.ts";

/** llama.cpp's own defaults, given explicitly since the compute buffers depend on them. */
const BATCH_SIZE = 2_048;
const MICRO_BATCH_SIZE = 512;

/** What the catalog knows of a model beside its file. */
export interface PlannedModel {
  readonly id: string;
  /** Under which name the config has its settings. */
  readonly settingsId: string;
  /** Tokens of context where the owner's config names none; null for the planner's own default. */
  readonly contextSize: number | null;
  /** Arguments of llama-server, flag and value in turn, unless the owner gives the same flag. */
  readonly args: readonly string[];
  readonly projector: SideFile | null;
  readonly adapters: readonly SideFile[];
}

export interface PlanSources {
  readonly model: PlannedModel;
  readonly path: string;
  /** Arguments that its header needs. */
  readonly headerArgs?: readonly string[];
  /** The owner's own projector, in place of the model's. */
  readonly projector?: SideFile;
  readonly draft?: DraftModel;
  readonly config: Config;
  readonly facts: ModelFacts;
  readonly engine: EngineFacts;
  readonly backends: readonly BackendSnapshot[];
  /** Which of the backends may take part now. */
  readonly isUsable: (backend: BackendSnapshot) => boolean;
  /** The head node's memory and speed; absent when unknown. */
  readonly head?: HeadFacts;
  /** What others hold of the RAM of machines. */
  readonly held?: readonly Held[];
  /** What has been planned, and has perhaps not taken its memory yet. */
  readonly loading?: readonly Plan[];
}

/** Gathers what `planModel()` is given. */
export function planInput(sources: PlanSources): PlanInput {
  const {
    model,
    path,
    config,
    facts,
    engine,
    backends,
    isUsable,
    head,
    held,
    loading = [],
    headerArgs = [],
    draft,
  } = sources;
  const factsOf = (wanted: (backend: BackendSnapshot) => boolean) =>
    backends.filter(wanted).map((backend) => backendFacts(config, backend));
  const loadedOn = new Set(loading.flatMap((plan) => plan.backends.map(({ endpoint }) => endpoint)));
  const settings = settingsFor(config, model.settingsId);
  const asked = settings.contextSize ?? model.contextSize;
  const { embedding, trainedContext } = facts;
  const contextSize = embedding?.isEncoder ? encoderContext(asked, trainedContext) : asked;
  const batch = embedding && embeddingBatch(embedding, contextSize ?? Math.min(trainedContext, DEFAULT_CONTEXT));
  return {
    facts,
    backends: lessLoading(
      factsOf(isUsable),
      loading,
      factsOf(({ endpoint }) => loadedOn.has(endpoint)),
    ),
    localDevices: engine.localDevices,
    ...(head && { head }),
    ...(held && { held }),
    leftOut: backends
      .filter((backend) => !isUsable(backend))
      .map(({ endpoint, state, reason, lease }) => ({
        endpoint,
        reason: reason || (lease ? `held by ${lease}` : state),
      })),
    options: {
      model: model.id,
      path,
      placement: config.placement,
      contextSize,
      parallel: settings.parallel,
      kvType: settings.kvType,
      batchSize: batch ?? BATCH_SIZE,
      microBatchSize: batch ?? MICRO_BATCH_SIZE,
      projector: sources.projector ?? model.projector,
      draft: draft
        ? draftFile(draft, {
            contextSize: contextSize ?? Math.min(facts.trainedContext, DEFAULT_CONTEXT),
            parallel: settings.parallel,
            microBatchSize: MICRO_BATCH_SIZE,
            flashAttention: wantsFlashAttention(facts, settings.kvType),
          })
        : null,
      adapters: model.adapters,
      extraArgs: [...headerArgs, ...without(model.args, settings.args), ...settings.args],
    },
  };
}

/** Flags in another spelling. */
const SPELLINGS: Readonly<Record<string, string>> = {
  "--temp": "--temperature",
  "--typical-p": "--typical",
  "--seed": "-s",
};

/** Defaults less those flags that the owner gives: llama-server warns of what it is given twice. */
function without(defaults: readonly string[], given: readonly string[]): readonly string[] {
  const isGiven = (flag: string) => given.includes(flag) || given.includes(SPELLINGS[flag] ?? flag);
  return defaults.filter((_, index) => !isGiven(defaults[index - (index % 2)] ?? ""));
}

/** What the planner needs of a backend: as it was seen, and what the owner says of it. */
export function backendFacts(config: Config, seen: BackendSnapshot): BackendFacts {
  const { endpoint, machine, devices, speed, rttMs } = seen;
  const { maxMemoryBytes, layers, priority, ownDevice } =
    config.backends.find((own) => own.endpoint === endpoint) ?? {};
  return {
    endpoint,
    machine,
    devices,
    ...(maxMemoryBytes !== undefined && { maxMemoryBytes }),
    ...(layers !== undefined && { layers }),
    ...(priority !== undefined && { priority }),
    ...(ownDevice !== undefined && { ownDevice }),
    ...(speed && { speed }),
    ...(rttMs !== null && { rttMs }),
  };
}
