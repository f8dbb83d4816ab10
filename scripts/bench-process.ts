/** The binary by itself: how soon it listens, whatever its backends do, what it weighs at rest, how soon it tells its version. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatBytes } from "../src/core/units.ts";
import { formatNumber, markdownTable, spreadOf } from "./bench-stats.ts";
import { type Llama, llamaEnvironment } from "./llama.ts";
import { freePort, type LocalBackend, startBackends } from "./local-backends.ts";
import { startSynaptic } from "./local-synaptic.ts";
import { run } from "./run.ts";
import type { Sandbox } from "./sandbox.ts";

export interface ProcessBench {
  readonly sandbox: Sandbox;
  readonly binary: string;
  readonly llama: Llama;
}

const BACKENDS = 4;
const STARTS = 20;
const START_DEADLINE_MS = 10_000;
/** A queue of one takes two connections, or one more when the program was stopped in the middle of an accept. */
const QUEUE_LIMIT = 8;
const HANGS_MS = 200;
const QUIET_MS = 150;

interface Start {
  /** From the spawn to the first connection that is taken. */
  readonly listeningMs: number;
  /** From the spawn to the first 200 on /healthz. */
  readonly healthyMs: number;
}

/** How soon it listens with backends that live, refuse, or swallow every packet. */
export async function benchStart(bench: ProcessBench): Promise<string> {
  const { sandbox, llama } = bench;
  const alive = await startBackends(sandbox, llama.rpcServer, BACKENDS);
  const frozen = await startBackends(sandbox, llama.rpcServer, BACKENDS);
  await Promise.all(frozen.map(swallow));
  const refusing = Array.from({ length: BACKENDS }, () => ({ port: freePort() }));
  const cases = [
    { name: "alive", backends: alive, starts: [] as Start[] },
    { name: "dead: connections are refused", backends: refusing, starts: [] as Start[] },
    { name: "gone: connections time out (stopped, queue full)", backends: frozen, starts: [] as Start[] },
  ];
  for (let round = 0; round <= STARTS; round++) {
    for (const { backends, starts } of cases) {
      const start = await timeStart(bench, backends);
      // The first round brings the binary into the page cache.
      if (round > 0) starts.push(start);
    }
  }
  for (const backend of [...alive, ...frozen]) await backend.child.stop();
  const rows = cases.map(({ name, starts }) => {
    const listening = spreadOf(starts.map(({ listeningMs }) => listeningMs));
    const healthy = spreadOf(starts.map(({ healthyMs }) => healthyMs));
    return [name, ...[listening.median, listening.p99, healthy.median, healthy.p99].map(formatNumber)];
  });
  const header = [`${BACKENDS} backends`, "listening, median (ms)", "p99", "first 200 on /healthz, median (ms)", "p99"];
  return markdownTable(header, rows);
}

/** Stops an rpc-server and fills its queue (`listen(fd, 1)`): from then on a SYN gets no answer. */
async function swallow({ port, child }: LocalBackend): Promise<void> {
  process.kill(child.pid, "SIGSTOP");
  for (let filled = 0; filled < QUEUE_LIMIT; filled++) {
    const connecting = Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
    // The one that hangs shows that the queue is full; it fails when the rpc-server is ended.
    const taken = await Promise.race([
      connecting.then(
        () => true,
        () => false,
      ),
      Bun.sleep(HANGS_MS).then(() => false),
    ]);
    if (!taken) return;
  }
}

async function timeStart(bench: ProcessBench, backends: readonly { readonly port: number }[]): Promise<Start> {
  const port = freePort();
  const config = join(bench.sandbox.folder, "start.json");
  const rpc_backends = backends.map((backend) => ({ host: "127.0.0.1", port: backend.port }));
  writeFileSync(config, JSON.stringify({ model_sharding_enabled: true, rpc_backends, synaptic: { listen: { port } } }));
  const started = performance.now();
  const child = bench.sandbox.start([bench.binary, "--config", config], { env: llamaEnvironment(bench.llama) });
  try {
    await untilConnected(port, started + START_DEADLINE_MS);
    const listeningMs = performance.now() - started;
    const health = await fetch(`http://127.0.0.1:${port}/healthz`);
    await health.arrayBuffer();
    return { listeningMs, healthyMs: performance.now() - started };
  } finally {
    await child.stop();
    // What it had started to describe the engine may still be ending, and would slow the next start.
    await Bun.sleep(QUIET_MS);
  }
}

async function untilConnected(port: number, until: number): Promise<void> {
  while (performance.now() < until) {
    try {
      const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
      socket.terminate();
      return;
    } catch {
      await Bun.sleep(0.5);
    }
  }
  throw new Error(`nothing listens on port ${port}`);
}

/** Resident memory of a server that has a config and backends, and has loaded nothing. */
export async function benchMemory({ sandbox, binary, llama }: ProcessBench): Promise<string> {
  const backends = await startBackends(sandbox, llama.rpcServer, BACKENDS);
  const synaptic = await startSynaptic(sandbox, {
    binary,
    llama,
    config: {
      model_sharding_enabled: true,
      rpc_backends: backends.map(({ port }) => ({ host: "127.0.0.1", port })),
      synaptic: {},
    },
  });
  const ready = AbortSignal.timeout(START_DEADLINE_MS);
  while ((await fetch(`${synaptic.url}/readyz`, { signal: ready })).status !== 200) await Bun.sleep(50);
  await Bun.sleep(3_000);
  const sizes = memoryOf(synaptic.child.pid);
  await synaptic.child.stop();
  for (const backend of backends) await backend.child.stop();
  const rows = sizes.map(([name, bytes]) => [name, formatBytes(bytes)]);
  return markdownTable(["memory at rest", ""], rows);
}

/** Linux only: nothing elsewhere. */
function memoryOf(pid: number): readonly (readonly [string, number])[] {
  const text = process.platform === "linux" ? readFileSync(`/proc/${pid}/smaps_rollup`, "utf8") : "";
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0) * 1024;
  return [
    ["resident (RSS)", field("Rss")],
    ["proportional share (PSS)", field("Pss")],
    ["its own, not backed by the file (anonymous)", field("Anonymous")],
  ];
}

export async function benchVersion({ binary }: ProcessBench): Promise<string> {
  const times: number[] = [];
  for (let round = 0; round <= STARTS; round++) {
    const started = performance.now();
    await run([binary, "--version"], { deadlineMs: START_DEADLINE_MS });
    if (round > 0) times.push(performance.now() - started);
  }
  const { median, p99 } = spreadOf(times);
  return markdownTable(["", "median (ms)", "p99"], [["`synaptic --version`", formatNumber(median), formatNumber(p99)]]);
}
