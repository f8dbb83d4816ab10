/** The llama-server arguments and variables that synaptic decides itself, so that a model's settings may not. Pure. */

interface OwnedRow {
  /** All spellings, as `llama-server --help` of 0.7.0 lists them. */
  readonly flags: string;
  /** Without `LLAMA_ARG_`. */
  readonly env?: string;
  /** What to use instead. */
  readonly instead: string;
}

const PLACEMENT = "synaptic's plan decides placement; see placement, backends and `synaptic plan MODEL`";
const MODEL = "name the model's file under synaptic.models";
const LISTEN = "synaptic runs llama-server on a private port behind its own endpoint";
const LOG = "synaptic reads llama-server's log for the proof";
const ROUTER = "synaptic runs one llama-server per model itself";
const ENDS = "it makes llama-server end at once";
const context = (key: string): string => `set ${key} in the model's settings`;
const DRAFT = context("draft");
const MMPROJ = context("mmproj");

const ROWS: readonly OwnedRow[] = [
  { flags: "-m --model", env: "MODEL", instead: MODEL },
  { flags: "-mu --model-url", env: "MODEL_URL", instead: MODEL },
  { flags: "-dr --docker-repo", env: "DOCKER_REPO", instead: MODEL },
  { flags: "-hf -hfr --hf-repo", env: "HF_REPO", instead: MODEL },
  { flags: "-hff --hf-file", env: "HF_FILE", instead: MODEL },
  { flags: "--rpc", env: "RPC", instead: "give backends as rpc_backends" },
  { flags: "-ngl --gpu-layers --n-gpu-layers", env: "N_GPU_LAYERS", instead: PLACEMENT },
  { flags: "-ts --tensor-split", env: "TENSOR_SPLIT", instead: PLACEMENT },
  { flags: "-sm --split-mode", env: "SPLIT_MODE", instead: PLACEMENT },
  { flags: "-mg --main-gpu", env: "MAIN_GPU", instead: PLACEMENT },
  { flags: "-dev --device --list-devices", env: "DEVICE", instead: PLACEMENT },
  { flags: "-ot --override-tensor", env: "OVERRIDE_TENSOR", instead: PLACEMENT },
  { flags: "-cmoe --cpu-moe", env: "CPU_MOE", instead: PLACEMENT },
  { flags: "-ncmoe --n-cpu-moe", env: "N_CPU_MOE", instead: PLACEMENT },
  { flags: "-ncffn --n-cpu-ffn", env: "N_CPU_FFN", instead: PLACEMENT },
  { flags: "--moe-cache-mib", env: "MOE_CACHE_MIB", instead: PLACEMENT },
  { flags: "-fit --fit", env: "FIT", instead: PLACEMENT },
  { flags: "-fitt --fit-target", env: "FIT_TARGET", instead: PLACEMENT },
  { flags: "-fitc --fit-ctx", env: "FIT_CTX", instead: PLACEMENT },
  { flags: "-kvo --kv-offload -nkvo --no-kv-offload", env: "KV_OFFLOAD", instead: PLACEMENT },
  { flags: "--op-offload --no-op-offload", instead: PLACEMENT },
  { flags: "-kvu --kv-unified -no-kvu --no-kv-unified", env: "KV_UNIFIED", instead: PLACEMENT },
  { flags: "--kv-unified-per-slot", env: "KV_UNIFIED_PER_SLOT", instead: PLACEMENT },
  { flags: "--swa-full", env: "SWA_FULL", instead: PLACEMENT },
  { flags: "-fa --flash-attn", env: "FLASH_ATTN", instead: PLACEMENT },
  { flags: "-b --batch-size", env: "BATCH", instead: PLACEMENT },
  { flags: "-ub --ubatch-size", env: "UBATCH", instead: PLACEMENT },
  { flags: "-c --ctx-size", env: "CTX_SIZE", instead: context("contextSize") },
  { flags: "-np --parallel", env: "N_PARALLEL", instead: context("parallel") },
  { flags: "-ctk --cache-type-k", env: "CACHE_TYPE_K", instead: context("kvType") },
  { flags: "-ctv --cache-type-v", env: "CACHE_TYPE_V", instead: context("kvType") },
  { flags: "-a --alias", env: "ALIAS", instead: context("aliases") },
  { flags: "--host", env: "HOST", instead: LISTEN },
  { flags: "--port", env: "PORT", instead: LISTEN },
  { flags: "--reuse-port", env: "REUSE_PORT", instead: LISTEN },
  { flags: "--api-key", instead: LISTEN },
  { flags: "--api-key-file", env: "API_KEY_FILE", instead: LISTEN },
  { flags: "--api-prefix", env: "API_PREFIX", instead: LISTEN },
  { flags: "--ssl-key-file", env: "SSL_KEY_FILE", instead: LISTEN },
  { flags: "--ssl-cert-file", env: "SSL_CERT_FILE", instead: LISTEN },
  { flags: "--sse-ping-interval", env: "SSE_PING_INTERVAL", instead: LISTEN },
  { flags: "--sleep-idle-seconds", instead: ROUTER },
  { flags: "--models-dir", env: "MODELS_DIR", instead: ROUTER },
  { flags: "--models-preset", env: "MODELS_PRESET", instead: ROUTER },
  { flags: "--models-max", env: "MODELS_MAX", instead: ROUTER },
  { flags: "--models-autoload --no-models-autoload", env: "MODELS_AUTOLOAD", instead: ROUTER },
  { flags: "-v --verbose --log-verbose", instead: LOG },
  { flags: "-lv --verbosity --log-verbosity", env: "LOG_VERBOSITY", instead: LOG },
  { flags: "--log-disable", instead: LOG },
  { flags: "--log-file", env: "LOG_FILE", instead: LOG },
  { flags: "--log-jsonl --no-log-jsonl", env: "LOG_JSONL", instead: LOG },
  { flags: "--log-colors", env: "LOG_COLORS", instead: LOG },
  { flags: "--log-prefix --no-log-prefix", env: "LOG_PREFIX", instead: LOG },
  { flags: "--log-timestamps --no-log-timestamps", env: "LOG_TIMESTAMPS", instead: LOG },
  { flags: "-md --model-draft --spec-draft-model", env: "SPEC_DRAFT_MODEL", instead: DRAFT },
  { flags: "-hfd -hfrd --hf-repo-draft --spec-draft-hf", env: "SPEC_DRAFT_HF_REPO", instead: DRAFT },
  { flags: "-devd --device-draft --spec-draft-device", instead: DRAFT },
  {
    flags: "-ngld --gpu-layers-draft --n-gpu-layers-draft --spec-draft-ngl",
    env: "N_GPU_LAYERS_DRAFT",
    instead: DRAFT,
  },
  { flags: "-ctkd --cache-type-k-draft --spec-draft-type-k", env: "SPEC_DRAFT_CACHE_TYPE_K", instead: DRAFT },
  { flags: "-ctvd --cache-type-v-draft --spec-draft-type-v", env: "SPEC_DRAFT_CACHE_TYPE_V", instead: DRAFT },
  { flags: "-otd --override-tensor-draft --spec-draft-override-tensor", instead: DRAFT },
  { flags: "-mm --mmproj", env: "MMPROJ", instead: MMPROJ },
  { flags: "-mmu --mmproj-url", env: "MMPROJ_URL", instead: MMPROJ },
  { flags: "--mmproj-offload --no-mmproj-offload", env: "MMPROJ_OFFLOAD", instead: MMPROJ },
  { flags: "-mmdev --mmproj-device", instead: MMPROJ },
  { flags: "-h --help --usage --version -cl --cache-list --completion-bash", instead: ENDS },
];

const BY_FLAG = new Map(ROWS.flatMap((row) => row.flags.split(" ").map((flag) => [flag, row.instead] as const)));
const BY_ENV = new Map(ROWS.flatMap((row) => (row.env ? [[row.env, row.instead] as const] : [])));

/** `--gpt-oss-20b-default` and its like: each names a model to download. */
const PRESET = /^--(?:embd-gemma|fim-qwen|gpt-oss|vision-gemma)-/;

export interface OwnedUse {
  readonly flag: string;
  readonly instead: string;
}

/**
 * The owned flag in one llama-server argument, if it is one; `--flag=value` counts too, and so does `--gpu_layers`:
 * llama-server reads an underscore in a long flag as a dash (tried on 0.7.0).
 */
export function ownedFlag(argument: string): OwnedUse | null {
  const flag = /^-[^\s=]*/.exec(argument)?.[0];
  if (flag === undefined) return null;
  const normal = flag.startsWith("--") ? flag.replaceAll("_", "-") : flag;
  const instead = BY_FLAG.get(normal) ?? (PRESET.test(normal) ? MODEL : undefined);
  return instead === undefined ? null : { flag, instead };
}

/** What to use instead of an environment variable that stands for an owned flag; null for all others. */
export function ownedVariable(name: string): string | null {
  if (name === "LLAMA_API_KEY") return LISTEN;
  const setting = /^LLAMA_ARG_(?:NO_)?(.+)$/.exec(name)?.[1];
  return setting === undefined ? null : (BY_ENV.get(setting) ?? null);
}
