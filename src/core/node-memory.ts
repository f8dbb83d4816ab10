/** What Ollama holds in the memory of each machine, and what would be free without some of it. Pure. */
import { HEAD_MACHINE } from "./health.ts";
import type { Held } from "./plan-types.ts";
import type { BackendSnapshot, LoadedSnapshot, NodeSnapshot } from "./snapshot.ts";

/** The RAM that loaded models of Ollama take: what of them lies in no accelerator. */
export function heldByOllama(nodes: readonly NodeSnapshot[]): readonly Held[] {
  return nodes.flatMap(({ machine, loaded }) =>
    loaded.flatMap(({ name, bytes, vramBytes }) =>
      bytes > vramBytes ? [{ machine, ramBytes: bytes - vramBytes, what: `Ollama's ${name}` }] : [],
    ),
  );
}

/** A loaded model and where. */
export interface LoadedAt {
  readonly url: string;
  readonly machine: string;
  readonly model: LoadedSnapshot;
}

/** Nobody used it for so long that it counts as idle. */
const IDLE_MS = 60_000;
/** Whose expiry is further away was asked to stay (`keep_alive: -1`, which Ollama shows as centuries). */
const STAYS_MS = 24 * 3_600_000;

/**
 * Loaded models that may be unloaded, the longest unused first. Ollama tells nobody how many requests a model answers, so
 * one is idle when its expiry has not moved for a minute, lies ahead, and is not further away than a day. A single request
 * that runs for longer looks the same; Ollama lets it end before it unloads (facts: server/sched.go `expireRunner`).
 */
export function idleModels(nodes: readonly NodeSnapshot[], nowMs: number): readonly LoadedAt[] {
  const idle = nodes.flatMap(({ url, machine, state, inFlight, loaded }) =>
    state !== "up" || inFlight > 0
      ? []
      : loaded.filter((model) => isIdle(model, nowMs)).map((model) => ({ url, machine, model })),
  );
  return idle.toSorted((a, b) => Date.parse(a.model.quietSince) - Date.parse(b.model.quietSince));
}

function isIdle({ expiresAt, quietSince }: LoadedSnapshot, nowMs: number): boolean {
  const expiresMs = Date.parse(expiresAt ?? "");
  const leftMs = expiresMs - nowMs;
  // Past its expiry and still there: a request holds it, or it is on its way out. An unreadable time compares as false.
  return leftMs > 0 && leftMs <= STAYS_MS && nowMs - Date.parse(quietSince) >= IDLE_MS;
}

/** Nodes, backends and the head node as they are or would be. */
export interface MemoryView {
  readonly nodes: readonly NodeSnapshot[];
  readonly backends: readonly BackendSnapshot[];
  /** The head node's own RAM; null while nobody has looked. */
  readonly head: { readonly freeBytes: number; readonly totalBytes: number } | null;
}

/** The same once these models were unloaded: the RAM is held no more, and what lay on accelerators is free to the
 *  backends of that machine. The head node's own RAM may gain less: what Ollama maps counts as available already. */
export function afterUnloading({ nodes, backends, head }: MemoryView, gone: readonly LoadedAt[]): MemoryView {
  const isGone = (url: string, name: string) => gone.some((each) => each.url === url && each.model.name === name);
  const onHead = gone.filter(({ machine }) => machine === HEAD_MACHINE);
  const ramBytes = onHead.reduce((sum, { model }) => sum + model.bytes - model.vramBytes, 0);
  return {
    head: head && { ...head, freeBytes: Math.min(head.totalBytes, head.freeBytes + ramBytes) },
    nodes: nodes.map((node) => ({ ...node, loaded: node.loaded.filter(({ name }) => !isGone(node.url, name)) })),
    backends: backends.map((backend) => {
      const here = gone.filter(({ machine }) => machine === backend.machine);
      const freed = here.reduce((sum, { model }) => sum + model.vramBytes, 0);
      return freed === 0 ? backend : { ...backend, devices: freeing(backend.devices, freed) };
    }),
  };
}

/** Which of several accelerators held it, Ollama does not say: the fullest are emptied first. */
function freeing(devices: BackendSnapshot["devices"], bytes: number): BackendSnapshot["devices"] {
  let left = bytes;
  const used = ({ freeBytes, totalBytes }: (typeof devices)[number]) => totalBytes - freeBytes;
  const order = devices.filter(({ kind }) => kind === "accelerator").toSorted((a, b) => used(b) - used(a));
  const freed = new Map<number, number>();
  for (const device of order) {
    const part = Math.min(left, used(device));
    freed.set(device.index, part);
    left -= part;
  }
  return devices.map((device) => ({ ...device, freeBytes: device.freeBytes + (freed.get(device.index) ?? 0) }));
}
