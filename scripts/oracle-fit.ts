/** Holds plans against `llama-fit-params`, llama.cpp's own planner, which builds each graph and reads no weights. */
import { join } from "node:path";
import { SynapticError } from "../src/core/errors.ts";
import type { ModelFacts } from "../src/core/model.ts";
import { planModel } from "../src/core/plan.ts";
import type { KvType, Plan } from "../src/core/plan-types.ts";
import { type Endpoint, GIB, MIB } from "../src/core/units.ts";
import { readModel } from "../src/io/model-files.ts";
import type { OracleModel } from "./oracle-shapes.ts";
import { run } from "./run.ts";
import { writeHollowModel } from "./sample-models.ts";

export interface Sized {
  readonly contextSize: number;
  readonly kvType: KvType;
  readonly devices: number;
}

/** Every size that each model is planned at. */
const SIZES: readonly Sized[] = [1, 3].flatMap((devices) =>
  (["f16", "q8_0"] as const).flatMap((kvType) =>
    [2_048, 8_192, 32_768].map((contextSize): Sized => ({ contextSize, kvType, devices })),
  ),
);

/** Bytes by use, as planned and as llama.cpp has it (in whole MiB). */
export interface Pair {
  readonly planned: number;
  readonly seen: number;
}

export interface Comparison {
  readonly model: OracleModel;
  readonly size: Sized;
  /** Each device in order, then the head node. */
  readonly places: readonly { readonly weights: Pair; readonly kv: Pair; readonly compute: Pair }[];
}

export interface Oracle {
  readonly fitParams: string;
  readonly endpoints: readonly Endpoint[];
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** More than any model takes: what is asked is how much it takes. */
const DEVICE_BYTES = 4_096 * GIB;
const FIT_DEADLINE_MS = 30_000;
/** What it prints: whole MiB, the rest cut off. */
function wholeMib(bytes: number): number {
  return Math.floor(bytes / MIB) * MIB;
}

function planFor(facts: ModelFacts, path: string, size: Sized, endpoints: readonly Endpoint[]): Plan {
  const result = planModel({
    facts,
    backends: endpoints.slice(0, size.devices).map((endpoint) => ({
      endpoint,
      devices: [{ index: 0, kind: "cpu", freeBytes: DEVICE_BYTES, totalBytes: DEVICE_BYTES }],
    })),
    localDevices: [],
    leftOut: [],
    options: {
      ...{ model: "m", path, placement: "spread", contextSize: size.contextSize, parallel: 1, kvType: size.kvType },
      ...{ batchSize: 2_048, microBatchSize: 512, extraArgs: [] },
    },
  });
  if (result.ok) return result.plan;
  throw new SynapticError("internal", result.refusal.message);
}

/** Those of the coordinator's arguments that this program has; it takes a cache for each slot, of which there is one. */
function fitArgs(plan: Plan): readonly string[] {
  const split = plan.backends.flatMap(({ devices }) => devices.map(({ layers }) => layers));
  return [
    ...["--model", plan.path, "--rpc", plan.backends.map(({ endpoint }) => endpoint).join(",")],
    ...["--gpu-layers", String(plan.offloadedLayers), "--tensor-split", split.join(",")],
    ...["--ctx-size", String(plan.contextSize), "--flash-attn", plan.flashAttention ? "on" : "off"],
    ...["--batch-size", String(plan.batchSize), "--ubatch-size", String(plan.microBatchSize)],
    ...["--cache-type-k", plan.kvType, "--cache-type-v", plan.kvType, "--fit", "off", "--fit-print", "on"],
  ];
}

/** Weights, cache and compute of each place, in its words: `RPC0 7605 256 284`. */
async function askFit({ fitParams, signal }: Oracle, plan: Plan): Promise<readonly (readonly number[])[]> {
  const { output } = await run([fitParams, ...fitArgs(plan)], {
    deadlineMs: FIT_DEADLINE_MS,
    env: { ...process.env, GGML_NO_BACKTRACE: "1" },
    signal,
  });
  const rows = [...output.matchAll(/^(?:RPC\d+|Host) (\d+) (\d+) (\d+) *$/gm)];
  if (rows.length !== plan.backends.length + 1) {
    throw new SynapticError("coordinator_failed", `Cannot read what llama-fit-params printed: ${output.slice(-500)}`);
  }
  return rows.map(([, ...numbers]) => numbers.map((number) => Number(number) * MIB));
}

async function compareSize(
  oracle: Oracle,
  { model, facts, path }: { readonly model: OracleModel; readonly facts: ModelFacts; readonly path: string },
  size: Sized,
): Promise<Comparison> {
  const plan = planFor(facts, path, size, oracle.endpoints);
  const seen = await askFit(oracle, plan);
  const planned = [...plan.backends, { ...plan.head, kvBytes: 0 }];
  const places = planned.map(({ modelBytes, kvBytes, computeBytes }, i) => ({
    weights: { planned: modelBytes, seen: seen[i]?.[0] ?? 0 },
    kv: { planned: kvBytes, seen: seen[i]?.[1] ?? 0 },
    compute: { planned: computeBytes, seen: seen[i]?.[2] ?? 0 },
  }));
  return { model, size, places };
}

/** One model at all sizes; its file is a header and a hole. */
export async function compareModel(oracle: Oracle, model: OracleModel): Promise<readonly Comparison[]> {
  const path = join(oracle.folder, `${model.name}.gguf`);
  await writeHollowModel(path, model.shape);
  const { facts } = await readModel(path, { signal: oracle.signal });
  const all: Comparison[] = [];
  // llama.cpp refuses a quantised cache for heads that its blocks of 32 don't divide.
  const sizes = SIZES.filter(({ kvType }) => kvType === "f16" || model.shape.headSize % 32 === 0);
  for (const size of sizes) all.push(await compareSize(oracle, { model, facts, path }, size));
  return all;
}

/** Whether llama.cpp would print what was planned, to the last digit. */
export function isEqual({ planned, seen }: Pair): boolean {
  return wholeMib(planned) === seen;
}

/** Sentences about what is wrong: other weights or another cache, less compute than is taken, or more than thrice that. */
export function faultsOf({ model, size, places }: Comparison): readonly string[] {
  const where = `${model.name} at ${size.contextSize} ${size.kvType} on ${size.devices}`;
  return places.flatMap(({ weights, kv, compute }, place) => [
    ...(isEqual(weights) ? [] : [`${where}, place ${place}: ${inMib(weights)} of weights`]),
    ...(isEqual(kv) ? [] : [`${where}, place ${place}: ${inMib(kv)} of cache`]),
    ...(wholeMib(compute.planned) >= compute.seen && compute.planned <= 3 * compute.seen
      ? []
      : [`${where}, place ${place}: ${inMib(compute)} for computing`]),
  ]);
}

function inMib({ planned, seen }: Pair): string {
  return `planned ${(planned / MIB).toFixed(1)}, seen ${(seen / MIB).toFixed(1)} MiB`;
}
