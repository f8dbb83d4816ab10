/** Plans against what the real coordinator logs, for small models of every class and with several slots. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SAMPLES, type SampleName, writeSampleModel } from "../../scripts/sample-models.ts";
import { coordinatorArgs, coordinatorEnv } from "../../src/core/argv.ts";
import { parseLogLine } from "../../src/core/llama-log.ts";
import type { ModelFacts } from "../../src/core/model.ts";
import type { Plan } from "../../src/core/plan-types.ts";
import { proveLoad } from "../../src/core/proof.ts";
import { NOTHING_OBSERVED, type Observations, observe } from "../../src/core/proof-observe.ts";
import { GIB } from "../../src/core/units.ts";
import { findLlamaServer } from "../../src/io/llama-files.ts";
import { readModel } from "../../src/io/model-files.ts";
import { freePort, type RealRpcServer, startRpcServer } from "../fakes/real-rpc-server.ts";
import { cpu, planned } from "../fixtures/model-facts.ts";

setDefaultTimeout(60_000);

const LOAD_DEADLINE_MS = 30_000;
const folder = mkdtempSync(join(tmpdir(), "synaptic-samples-"));
let servers: readonly RealRpcServer[] = [];

beforeAll(async () => {
  servers = await Promise.all([startRpcServer(), startRpcServer(), startRpcServer()]);
});

afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  rmSync(folder, { recursive: true, force: true });
});

/** What the coordinator logs until its slots are set up, which is after all memory is taken. */
async function load(plan: Plan): Promise<Observations> {
  const command = [findLlamaServer({ env: process.env }).path, ...coordinatorArgs(plan, freePort())];
  const env = coordinatorEnv(process.env, "key", {});
  const child = Bun.spawn(command, { env, stdin: "pipe", stdout: "ignore", stderr: "pipe", timeout: LOAD_DEADLINE_MS });
  const killAtExit = () => child.kill("SIGKILL");
  process.once("exit", killAtExit);
  let seen = NOTHING_OBSERVED;
  let rest = "";
  const decoder = new TextDecoder();
  try {
    for await (const chunk of child.stderr) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const event = parseLogLine(line);
        if (event) seen = observe(seen, event);
        if (line.includes("n_slots")) return seen;
      }
    }
    throw new Error(`the coordinator ended: ${rest}`);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
    process.off("exit", killAtExit);
  }
}

async function factsOf(name: SampleName): Promise<{ readonly path: string; readonly facts: ModelFacts }> {
  const path = join(folder, `${name}.gguf`);
  await writeSampleModel(path, SAMPLES[name]);
  return { path, facts: (await readModel(path, { signal: AbortSignal.timeout(LOAD_DEADLINE_MS) })).facts };
}

const SIZES = [
  { devices: 3, kvType: "f16", contextSize: 8_192, parallel: 4 },
  { devices: 1, kvType: "q8_0", contextSize: 4_096, parallel: 2 },
] as const;

describe.each(Object.keys(SAMPLES) as SampleName[])("a model of the class %s", (name) => {
  test.each(SIZES)("takes the memory that was planned, on $devices devices with $parallel slots", async (size) => {
    const { devices, ...options } = size;
    const { path, facts } = await factsOf(name);
    const backends = servers.slice(0, devices).map(({ endpoint }) => ({ endpoint, devices: [cpu(24 * GIB)] }));
    const plan = planned({ facts, backends, options: { ...options, path, model: name } });
    const proof = proveLoad(plan, facts, await load(plan));
    expect(proof.problems).toEqual([]);
    expect(proof.backends.map(({ layers }) => layers)).toEqual(plan.backends.map(({ layers }) => layers));
    const reserved = [...plan.backends, plan.head].map(({ computeBytes }) => computeBytes);
    const used = [...proof.backends, proof.head].map(({ computeBytes }) => computeBytes);
    const within = used.map((bytes, place) => bytes > 0 && bytes <= (reserved[place] ?? 0));
    expect({ used, reserved, within }).toEqual({ used, reserved, within: used.map(() => true) });
  });
});
