/** Planned compute reserve against the buffers that llama-server really allocates, for models of several shapes. */
import { join } from "node:path";
import { readAnswer } from "../src/cli/client.ts";
import type { WeightType } from "../src/core/gguf-encode.ts";
import type { KvType } from "../src/core/plan-types.ts";
import { MIB } from "../src/core/units.ts";
import { formatNumber, markdownTable } from "./bench-stats.ts";
import type { Llama } from "./llama.ts";
import { startBackends } from "./local-backends.ts";
import { startSynaptic } from "./local-synaptic.ts";
import { writeRecitingModel } from "./recite.ts";
import type { Sandbox } from "./sandbox.ts";

interface Shape {
  readonly layers: number;
  readonly width: number;
  readonly type: WeightType;
  readonly contextSize: number;
  readonly kvType: KvType;
}

const SHAPES: readonly Shape[] = [
  { layers: 4, width: 384, type: "F16", contextSize: 2_048, kvType: "f16" },
  { layers: 24, width: 384, type: "F16", contextSize: 2_048, kvType: "f16" },
  { layers: 24, width: 384, type: "Q8_0", contextSize: 8_192, kvType: "f16" },
  { layers: 80, width: 384, type: "Q8_0", contextSize: 4_096, kvType: "q8_0" },
  { layers: 8, width: 1_024, type: "F16", contextSize: 8_192, kvType: "f16" },
  { layers: 8, width: 2_048, type: "Q8_0", contextSize: 16_384, kvType: "f16" },
  { layers: 4, width: 4_096, type: "Q8_0", contextSize: 32_768, kvType: "q4_0" },
];
const LOAD_DEADLINE_MS = 120_000;

export interface ReserveBench {
  readonly sandbox: Sandbox;
  readonly binary: string;
  readonly llama: Llama;
}

/** Loads each shape over two backends, and reads plan and proof. */
export async function benchReserve({ sandbox, binary, llama }: ReserveBench): Promise<string> {
  const backends = await startBackends(sandbox, llama.rpcServer, 2);
  const files = await Promise.all(
    SHAPES.map(async ({ layers, width, type }, index) => {
      const path = join(sandbox.folder, `shape-${index}.gguf`);
      await writeRecitingModel({ path, layers, width, type, contextLength: 32_768 });
      return [`shape-${index}`, path] as const;
    }),
  );
  const settings = SHAPES.map(({ contextSize, kvType }, index) => [`shape-${index}`, { contextSize, kvType }] as const);
  const synaptic = await startSynaptic(sandbox, {
    binary,
    llama,
    config: {
      model_sharding_enabled: true,
      rpc_backends: backends.map(({ port }) => ({ host: "127.0.0.1", port })),
      synaptic: {
        placement: "spread",
        models: { files: Object.fromEntries(files), settings: Object.fromEntries(settings) },
      },
    },
  });
  const rows: string[][] = [];
  for (const [index, shape] of SHAPES.entries()) {
    const model = `shape-${index}`;
    const post = async (verb: string): Promise<unknown> => {
      const signal = AbortSignal.timeout(LOAD_DEADLINE_MS);
      return await readAnswer(synaptic.url, await synaptic.client.post(`/synaptic/models/${verb}`, { model }, signal));
    };
    await post("load");
    const { coordinators } = await synaptic.client.status();
    const { plan, proof } = coordinators.find((coordinator) => coordinator.model === model) ?? {};
    await post("unload");
    const compute = (at: number): string =>
      `${mebibytes(plan?.backends[at]?.computeBytes)} / ${mebibytes(proof?.backends[at]?.computeBytes)}`;
    const head = `${mebibytes(plan?.head.computeBytes)} / ${mebibytes(proof?.head.computeBytes)}`;
    const { layers, width, type, contextSize, kvType } = shape;
    rows.push([`${layers} x ${width}, ${type}`, `${contextSize}, ${kvType}`, compute(0), compute(1), head]);
  }
  await synaptic.child.stop();
  for (const backend of backends) await backend.child.stop();
  const header = [
    "layers x width, type",
    "context, KV",
    "first backend (MiB)",
    "last backend, with the output head",
    "head node",
  ];
  return markdownTable(header, rows);
}

function mebibytes(bytes: number | undefined): string {
  return bytes === undefined ? "-" : formatNumber(bytes / MIB);
}
