/** A thousand backends: what probing them costs, and how soon their status is there. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Snapshot } from "../src/core/snapshot.ts";
import { formatBytes } from "../src/core/units.ts";
import { formatNumber, markdownTable, spreadOf } from "./bench-stats.ts";
import type { Llama } from "./llama.ts";
import { startSynaptic } from "./local-synaptic.ts";
import { run } from "./run.ts";
import type { Sandbox } from "./sandbox.ts";

export interface ProbesBench {
  readonly sandbox: Sandbox;
  readonly binary: string;
  readonly llama: Llama;
}

const BACKENDS = 1_000;
const INTERVAL_MS = 5_000;
const WINDOWS = 6;
const STATUS_RUNS = 50;
const COMMAND_RUNS = 10;
const DEADLINE_MS = 60_000;
/** `USER_HZ`: what /proc counts in, 100 on every Linux that Bun runs on. */
const TICKS_PER_SECOND = 100;

/** CPU time over windows of one probe interval each, then the status as served and as the command prints it. */
export async function benchProbes({ sandbox, binary, llama }: ProbesBench): Promise<string> {
  const fakes = await startFakes(sandbox);
  const synaptic = await startSynaptic(sandbox, {
    binary,
    llama,
    config: {
      model_sharding_enabled: true,
      rpc_backends: fakes.ports.map((port) => ({ host: "127.0.0.1", port })),
      synaptic: { probe: { intervalMs: INTERVAL_MS } },
    },
  });
  const up = await untilAllUp(synaptic.client.status);
  const shares = await cpuShares(synaptic.child.pid);
  const status = await timeStatus(synaptic.url);
  const printed = await timeCommand([binary, "status", "--port", new URL(synaptic.url).port]);
  await synaptic.child.stop();
  await fakes.child.stop();
  const cpu = spreadOf(shares);
  const times = spreadOf(status.times);
  return markdownTable(
    [`${BACKENDS} backends, probed every ${INTERVAL_MS / 1000} s`, "median", "p99"],
    [
      ["all up after (s)", formatNumber(up / 1000), "-"],
      ["of one core (%)", formatNumber(cpu.median * 100), formatNumber(cpu.p99 * 100)],
      [`/synaptic/status, ${formatBytes(status.bytes)} (ms)`, formatNumber(times.median), formatNumber(times.p99)],
      ["`synaptic status`, its process included (ms)", formatNumber(printed.median), formatNumber(printed.p99)],
    ],
  );
}

/** In a process of their own, so that their work is not counted. */
async function startFakes(sandbox: Sandbox) {
  const { promise, resolve } = Promise.withResolvers<readonly number[]>();
  const child = sandbox.start([process.execPath, join(import.meta.dir, "bench-fakes.ts"), String(BACKENDS)], {
    onLine: (line) => resolve(line.split(",").map(Number)),
  });
  const failed = child.exited.then(() => {
    throw new Error(`the fake rpc-servers ended: ${child.lastLines().join("\n")}`);
  });
  failed.catch(() => {});
  return { ports: await Promise.race([promise, failed]), child };
}

/** Milliseconds since the call. */
async function untilAllUp(status: () => Promise<Snapshot>): Promise<number> {
  const started = performance.now();
  while (performance.now() - started < DEADLINE_MS) {
    const { backends } = await status();
    if (backends.length === BACKENDS && backends.every(({ state }) => state === "up")) {
      return performance.now() - started;
    }
    await Bun.sleep(100);
  }
  throw new Error(`not all of ${BACKENDS} backends are up after ${DEADLINE_MS / 1000} s`);
}

/** User and system time of a process as a share of one core, per window. Linux only: nothing elsewhere. */
async function cpuShares(pid: number): Promise<readonly number[]> {
  if (process.platform !== "linux") return [];
  const shares: number[] = [];
  // What the start itself costs (engine, stores, compiling) is over by then.
  await Bun.sleep(INTERVAL_MS);
  for (let window = 0; window < WINDOWS; window++) {
    const before = cpuSeconds(pid);
    const started = performance.now();
    await Bun.sleep(INTERVAL_MS);
    shares.push((cpuSeconds(pid) - before) / ((performance.now() - started) / 1000));
  }
  return shares;
}

function cpuSeconds(pid: number): number {
  // The name, in parentheses, may hold spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

async function timeStatus(url: string) {
  const times: number[] = [];
  let bytes = 0;
  for (let run = 0; run < STATUS_RUNS; run++) {
    const started = performance.now();
    bytes = (await (await fetch(`${url}/synaptic/status`)).arrayBuffer()).byteLength;
    times.push(performance.now() - started);
  }
  return { times, bytes };
}

/** @throws Error when it does not print a line for each backend. */
async function timeCommand(command: readonly string[]) {
  const times: number[] = [];
  for (let round = 0; round < COMMAND_RUNS; round++) {
    const started = performance.now();
    const { output } = await run(command, { deadlineMs: DEADLINE_MS });
    times.push(performance.now() - started);
    const lines = output.split("\n").filter((line) => /^127\.0\.0\.1:\d+ +up /.test(line)).length;
    if (lines !== BACKENDS) throw new Error(`\`synaptic status\` prints ${lines} of ${BACKENDS} backends`);
  }
  return spreadOf(times);
}
