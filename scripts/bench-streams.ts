/** What synaptic adds to a stream: the same llama-server asked directly and through it, turn by turn. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readAnswer } from "../src/cli/client.ts";
import { SynapticError } from "../src/core/errors.ts";
import { type StreamTimes, type Target, timeStream } from "./bench-client.ts";
import { addedCells, markdownTable, spreadOf } from "./bench-stats.ts";
import { REAL_SERVER, type SyntheticRate } from "./bench-upstream.ts";
import type { Llama } from "./llama.ts";
import { startBackends } from "./local-backends.ts";
import { type LocalSynaptic, startSynaptic } from "./local-synaptic.ts";
import type { Sandbox } from "./sandbox.ts";

export interface StreamBench {
  readonly sandbox: Sandbox;
  readonly binary: string;
  readonly llama: Llama;
  /** Path of a model of 24 layers. */
  readonly model: string;
}

const MODEL = "m";
const BACKENDS = 3;
const LOAD_DEADLINE_MS = 120_000;
const HEADER = ["", "direct, median / p99 (ms)", "through synaptic (ms)", "added, median", "added, p99"];

interface Pair {
  readonly direct: Target;
  readonly through: Target;
}

/** Loads the model over three backends; the coordinator's port and key are read where only its owner can. */
async function openPair(
  { sandbox, binary, llama, model }: StreamBench,
  parallel: number,
): Promise<[Pair, () => Promise<void>]> {
  const backends = await startBackends(sandbox, llama.rpcServer, BACKENDS);
  const synaptic = await startSynaptic(sandbox, {
    binary,
    llama,
    config: {
      model_sharding_enabled: true,
      rpc_backends: backends.map(({ port }) => ({ host: "127.0.0.1", port })),
      synaptic: { placement: "spread", contextSize: 4096, parallel, models: { files: { [MODEL]: model } } },
    },
  });
  const { url, client, child } = synaptic;
  await readAnswer(
    url,
    await client.post("/synaptic/models/load", { model: MODEL }, AbortSignal.timeout(LOAD_DEADLINE_MS)),
  );
  const stop = async (): Promise<void> => {
    await child.stop();
    for (const backend of backends) await backend.child.stop();
  };
  return [{ direct: await coordinatorOf(synaptic), through: { port: Number(new URL(url).port), apiKey: null } }, stop];
}

async function coordinatorOf({ client }: LocalSynaptic): Promise<Target> {
  const { coordinators } = await client.status();
  const pid = coordinators.find(({ model }) => model === MODEL)?.pid;
  if (!pid) throw new SynapticError("coordinator_failed", "Cannot reach the coordinator directly: it has gone");
  const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  const variables = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  const apiKey = variables.find((variable) => variable.startsWith("LLAMA_API_KEY="))?.split("=")[1] ?? null;
  return { port: Number(words[words.indexOf("--port") + 1]), apiKey };
}

interface Samples {
  readonly direct: StreamTimes[];
  readonly through: StreamTimes[];
}

interface Load {
  readonly rounds: number;
  readonly streams: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Direct and through in turn; who is first changes from round to round. The first round only warms up. */
async function interleave(pair: Pair, { rounds, streams, body }: Load): Promise<Samples> {
  const samples: Samples = { direct: [], through: [] };
  for (let round = 0; round <= rounds; round++) {
    for (const way of round % 2 === 0 ? (["direct", "through"] as const) : (["through", "direct"] as const)) {
      const times = await Promise.all(Array.from({ length: streams }, () => timeStream(pair[way], body)));
      if (round > 0) samples[way].push(...times);
    }
  }
  return samples;
}

function row(
  name: string,
  { direct, through }: Samples,
  of: (times: StreamTimes) => readonly number[],
): readonly string[] {
  return [name, ...addedCells(spreadOf(direct.flatMap(of)), spreadOf(through.flatMap(of)))];
}

/** The real engine; it takes milliseconds per token, so microseconds drown in its jitter. */
export async function benchRealStreams(bench: StreamBench): Promise<string> {
  const [pair, stop] = await openPair(bench, 4);
  const body = {
    model: MODEL,
    messages: [{ role: "user", content: "Please recite." }],
    temperature: 0,
    max_tokens: 48,
  };
  const one = await interleave(pair, { rounds: 40, streams: 1, body });
  const four = await interleave(pair, { rounds: 8, streams: 4, body });
  await stop();
  return markdownTable(HEADER, [
    row("1 stream: first byte", one, ({ firstEventMs }) => [firstEventMs]),
    row("1 stream: from chunk to chunk", one, ({ gapsMs }) => gapsMs),
    row("4 streams (all slots): first byte", four, ({ firstEventMs }) => [firstEventMs]),
    row("4 streams (all slots): from chunk to chunk", four, ({ gapsMs }) => gapsMs),
  ]);
}

const RATES = [
  { streams: 1, rounds: 3, events: 500, everyMs: 2 },
  { streams: 16, rounds: 2, events: 200, everyMs: 10 },
  { streams: 64, rounds: 2, events: 100, everyMs: 20 },
] as const;

/** The same binary, with an upstream that stamps each event with the time of its writing. */
export async function benchSyntheticStreams(bench: StreamBench): Promise<string> {
  const { sandbox, llama } = bench;
  const server = join(sandbox.folder, "llama-server");
  writeFileSync(server, standIn(llama.server), { mode: 0o755 });
  const [pair, stop] = await openPair({ ...bench, llama: { ...llama, server } }, 64);
  const body = (synthetic: SyntheticRate) => ({ model: MODEL, messages: [{ role: "user", content: "." }], synthetic });
  const first = await interleave(pair, { rounds: 300, streams: 1, body: body({ events: 1, everyMs: 0 }) });
  const rows = [row("first byte of an upstream that answers at once", first, ({ firstEventMs }) => [firstEventMs])];
  for (const { streams, rounds, events, everyMs } of RATES) {
    const samples = await interleave(pair, { rounds, streams, body: body({ events, everyMs }) });
    const name = `${streams === 1 ? "1 stream" : `${streams} streams`}, a chunk every ${everyMs} ms: from write to arrival`;
    rows.push(row(name, samples, ({ latenciesMs }) => latenciesMs));
  }
  await stop();
  return markdownTable(HEADER, rows);
}

/** Only a coordinator goes through the stand-in; questions about version and devices reach the real program. */
function standIn(real: string): string {
  const script = join(import.meta.dir, "bench-upstream.ts");
  return `#!/bin/sh
case " $* " in
*" --model "*) ${REAL_SERVER}='${real}' exec '${process.execPath}' '${script}' "$@" ;;
*) exec '${real}' "$@" ;;
esac
`;
}
