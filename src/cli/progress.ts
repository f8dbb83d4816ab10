/** How far a load is that another synaptic does: asked of it once a second, told in tenths. */
import type { Clock } from "../engine/ports.ts";
import type { Client } from "./client.ts";

const ASK_MS = 1_000;

/** Tells until what it returns is called; `tell` gets such words as `loading m: 40 %, about 12 s left`. */
export function followLoad(clock: Clock, client: Client, model: string, tell: (words: string) => void): () => void {
  let told = 0;
  let stopped = false;
  let cancel = () => {};
  const ask = async (): Promise<void> => {
    const snapshot = await client.status().catch(() => null);
    if (stopped) return;
    const loading = snapshot?.coordinators.find((coordinator) => coordinator.model === model);
    const tenth = Math.floor((loading?.progress ?? 0) * 10);
    if (loading && tenth > told) tell(loadWords(model, loading));
    told = Math.max(told, tenth);
    again();
  };
  const again = () => {
    cancel = clock.after(ASK_MS, () => void ask());
  };
  again();
  return () => {
    stopped = true;
    cancel();
  };
}

function loadWords(model: string, { progress, etaMs }: { progress: number | null; etaMs: number | null }): string {
  const left = etaMs === null ? "" : `, about ${Math.max(1, Math.round(etaMs / 1000))} s left`;
  return `loading ${model}: ${Math.round((progress ?? 0) * 100)} %${left}`;
}
