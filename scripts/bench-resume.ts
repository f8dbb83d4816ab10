/** How long a client waits when a backend dies under its stream: from the kill to the next word, and what of it took how long. */
import { SynapticError } from "../src/core/errors.ts";
import type { Phase } from "../src/core/lifecycle-types.ts";
import { createSseReader } from "../src/core/sse.ts";
import { formatNumber, markdownTable, spreadOf } from "./bench-stats.ts";
import type { StreamBench } from "./bench-streams.ts";
import { startBackends } from "./local-backends.ts";
import { type LocalSynaptic, startSynaptic } from "./local-synaptic.ts";

const RUNS = 7;
const BACKENDS = 3;
const POLL_MS = 3;
const KILL_AFTER_WORDS = 40;
const DEADLINE_MS = 60_000;
const STEPS = ["detect", "plan", "load", "first word"] as const;

/** One column per step, in ms. */
export async function benchResume(bench: StreamBench): Promise<string> {
  const runs: (readonly number[])[] = [];
  for (let run = 0; run < RUNS; run++) runs.push(await measureOnce(bench));
  const rows = [...STEPS, "in all"].map((name, at) => {
    const { median, p99 } = spreadOf(runs.map((steps) => steps[at] ?? steps.reduce((sum, ms) => sum + ms, 0)));
    return [name, formatNumber(median), formatNumber(p99)];
  });
  return markdownTable(["from the kill of one of three backends", "median (ms)", "worst (ms)"], rows);
}

async function measureOnce({ sandbox, binary, llama, model }: StreamBench): Promise<readonly number[]> {
  const backends = await startBackends(sandbox, llama.rpcServer, BACKENDS);
  const moments = new Map<string, number>();
  const synaptic = await startSynaptic(sandbox, {
    binary,
    llama,
    onLine(line) {
      if (line.includes("Lost backend")) mark(moments, "detected");
    },
    config: {
      model_sharding_enabled: true,
      rpc_backends: backends.map(({ port }) => ({ host: "127.0.0.1", port })),
      synaptic: { placement: "spread", contextSize: 2048, models: { files: { m: model } }, ollama: { nodes: [] } },
    },
  });
  try {
    const watching = new AbortController();
    const kill = (): void => {
      const victim = backends[1];
      if (!victim || moments.has("killed")) return;
      mark(moments, "killed");
      process.kill(victim.child.pid, "SIGKILL");
      void watch(synaptic, moments, watching.signal);
    };
    await stream(synaptic, moments, kill);
    watching.abort();
  } finally {
    await synaptic.child.stop();
    for (const backend of backends) await backend.child.stop();
  }
  const times = ["killed", "detected", "planned", "ready", "word"].map((name) => moments.get(name));
  return times.slice(1).map((time, at) => Math.max(0, (time ?? Number.NaN) - (times[at] ?? Number.NaN)));
}

/** Only the first one counts. */
function mark(moments: Map<string, number>, name: string): void {
  if (!moments.has(name)) moments.set(name, performance.now());
}

const PLANNING: readonly (Phase | null)[] = ["queued", "planning"];

/** Looks at the coordinator again and again: it tells nobody when it goes from one phase to the next. */
async function watch({ client }: LocalSynaptic, moments: Map<string, number>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && !moments.has("ready")) {
    const [coordinator] = (await client.status()).coordinators;
    if (coordinator && coordinator.restarts > 0) {
      if (coordinator.state === "starting" && !PLANNING.includes(coordinator.phase)) mark(moments, "planned");
      if (coordinator.state === "ready") mark(moments, "ready");
    }
    await Bun.sleep(POLL_MS);
  }
}

/** Reads a chat to its end; the first word after `: resumed` is the one that was waited for. */
async function stream({ client }: LocalSynaptic, moments: Map<string, number>, kill: () => void): Promise<void> {
  const body = {
    ...{ model: "m", messages: [{ role: "user", content: "Recite" }], temperature: 0 },
    ...{ stream: true, max_tokens: 200, ignore_eos: true },
  };
  const response = await client.post("/v1/chat/completions", body, AbortSignal.timeout(DEADLINE_MS));
  const read = createSseReader();
  const decoder = new TextDecoder();
  let words = 0;
  let isResumed = false;
  for await (const bytes of response.body ?? []) {
    const text = decoder.decode(bytes, { stream: true });
    isResumed ||= text.includes(": resumed");
    const events = read(text).length;
    words += events;
    if (isResumed && events > 0) mark(moments, "word");
    if (words >= KILL_AFTER_WORDS) kill();
  }
  if (!moments.has("word")) throw new SynapticError("internal", "The stream did not go on after the kill");
}
