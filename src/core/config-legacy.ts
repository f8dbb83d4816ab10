/** SynapticLlamas' own keys, read as that program reads them (facts/replaced-system.md section 1.1). Pure. */
import type { ConfigFile } from "./config-schema.ts";
import { type ConfigInput, choose, fileCandidate, type Ledger } from "./config-sources.ts";

/** The dummy that SynapticLlamas writes when it has a coordinator_url but no backends. */
export function isDummyBackend(entry: unknown): boolean {
  if (typeof entry !== "object" || entry === null) return false;
  return "host" in entry && entry.host === "coordinator" && "port" in entry && entry.port === 0;
}

export interface DummyFree {
  /** The file with each dummy's port taken out, so that it passes the schema and the others keep their index. */
  readonly value: unknown;
  readonly dummies: ReadonlySet<number>;
}

/** Finds `{"host": "coordinator", "port": 0}` entries before the schema refuses their port. */
export function findDummies(value: unknown): DummyFree {
  const dummies = new Set<number>();
  if (typeof value !== "object" || value === null || !("rpc_backends" in value) || !Array.isArray(value.rpc_backends)) {
    return { value, dummies };
  }
  const backends = value.rpc_backends.map((entry: unknown, index) => {
    if (!isDummyBackend(entry)) return entry;
    dummies.add(index);
    return { host: "coordinator" };
  });
  return { value: dummies.size > 0 ? { ...value, rpc_backends: backends } : value, dummies };
}

/** Lines for what is read and deliberately not done. */
export function legacyWarnings(file: ConfigFile, dummies: ReadonlySet<number>): readonly string[] {
  const warnings: string[] = [];
  if (typeof file.coordinator_url === "string" && file.coordinator_url !== "") {
    warnings.push("coordinator_url has no effect: synaptic starts and watches its own llama-server");
  }
  if (dummies.size > 0) {
    warnings.push(
      'rpc_backends: the entry "coordinator" with port 0 is no backend, only SynapticLlamas\' placeholder; left out',
    );
  }
  const { model_sharding_enabled: current, distributed_inference_enabled: old } = file;
  if (current !== undefined && old !== undefined && current !== old) {
    warnings.push(
      `distributed_inference_enabled (${old}) wins over model_sharding_enabled (${current}), as in SynapticLlamas; remove the old name`,
    );
  }
  return warnings;
}

export interface Switches {
  readonly sharding: boolean;
  readonly pool: boolean;
}

export interface SwitchContext {
  readonly input: ConfigInput;
  readonly file: ConfigFile;
  readonly hasBackends: boolean;
  readonly hasModels: boolean;
}

/** Sharding and pool on or off; both off is a problem, since nothing would be served. */
export function resolveSwitches(ledger: Ledger, { input, file, hasBackends, hasModels }: SwitchContext): Switches {
  const implied = hasBackends ? "on, since backends are given" : "on, since models are given";
  const sharding = choose(ledger, {
    name: "sharding",
    from: [
      fileCandidate(input, ["distributed_inference_enabled"], file.distributed_inference_enabled),
      fileCandidate(input, ["model_sharding_enabled"], file.model_sharding_enabled),
      { source: implied, read: () => (hasBackends || hasModels ? true : undefined) },
    ],
    fallback: false,
  });
  const pool = choose(ledger, {
    name: "pool",
    from: [fileCandidate(input, ["task_distribution_enabled"], file.task_distribution_enabled)],
    fallback: true,
  });
  if (ledger.sources.sharding === implied && hasBackends) {
    ledger.warnings.push("model_sharding_enabled is not given: sharding is on, since backends are given");
  }
  sayWhatIsOff(ledger, { sharding, pool, hasBackends, explicit: explicitSharding(file) });
  return { sharding, pool };
}

function explicitSharding(file: ConfigFile): boolean | undefined {
  return file.distributed_inference_enabled ?? file.model_sharding_enabled;
}

interface Outcome extends Switches {
  readonly hasBackends: boolean;
  readonly explicit: boolean | undefined;
}

function sayWhatIsOff(ledger: Ledger, { sharding, pool, hasBackends, explicit }: Outcome): void {
  if (explicit === true && !hasBackends) {
    ledger.warnings.push(
      "model_sharding_enabled is true, but there are no backends: give their addresses as rpc_backends",
    );
  }
  if (sharding || explicit === undefined) return;
  if (pool) {
    ledger.warnings.push(
      "model_sharding_enabled is false, and the pool of Ollama nodes comes in a later version of synaptic: no model is served",
    );
    return;
  }
  ledger.problems.push({
    source: null,
    key: "model_sharding_enabled and task_distribution_enabled",
    expected: "at least one of them true",
    found: "both false",
    hint: 'write "model_sharding_enabled": true (a single Ollama node alone comes in a later version of synaptic)',
  });
}
