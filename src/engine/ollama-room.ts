/** Makes room for a model by unloading what Ollama holds and nobody uses, where that is all that is missing. */
import { describeError, wrapError } from "../core/errors.ts";
import { afterUnloading, heldByOllama, idleModels, type LoadedAt, type MemoryView } from "../core/node-memory.ts";
import type { Held } from "../core/plan-types.ts";
import type { BackendSnapshot, NodeSnapshot } from "../core/snapshot.ts";
import { formatBytes } from "../core/units.ts";
import type { Nodes } from "./nodes.ts";
import type { Clock, Logger } from "./ports.ts";

export interface OllamaRoomPorts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodes: Pick<Nodes, "refresh" | "snapshot" | "unload">;
}

export interface RoomWish {
  /** For the log. */
  readonly model: string;
  /** As last probed. */
  readonly backends: readonly BackendSnapshot[];
  readonly head: MemoryView["head"];
  /** Whether the model could be placed, were nodes, backends and head node like this. */
  readonly fits: (view: MemoryView) => boolean;
  readonly signal: AbortSignal;
}

export interface OllamaRoom {
  /** What Ollama holds in RAM, by machine, as last seen: for the planner. */
  held(): readonly Held[];
  /** Asks the nodes that answered last time what they hold now. Never rejects. */
  refresh(): Promise<void>;
  /** Unloads idle models of Ollama, the longest unused first and none more than needed, when the model fits without them;
   *  waits until the nodes no longer show them. True when memory was freed: probe and plan again. Rejects with the signal's
   *  reason alone: room that cannot be made is as none. */
  make(wish: RoomWish): Promise<boolean>;
}

/** Unloading itself takes a moment; a request that holds the model, as long as it likes. */
const GONE_MS = 15_000;
const LOOK_MS = 250;
/** Drivers tell of freed memory late; Ollama itself waits for up to 5 s (server/sched.go, waitForVRAMRecovery). */
const SETTLE_MS = 2_000;

/** `unloadIdle`: the config's word; without it nothing is ever unloaded. */
export function createOllamaRoom(ports: OllamaRoomPorts, { unloadIdle }: { readonly unloadIdle: boolean }): OllamaRoom {
  const { nodes, clock, log } = ports;
  return {
    held: () => heldByOllama(nodes.snapshot()),
    async refresh() {
      const up = nodes.snapshot().filter(({ state }) => state === "up");
      await nodes.refresh(up.map(({ url }) => url));
    },
    async make(wish) {
      if (!unloadIdle || nodes.snapshot().length === 0) return false;
      await nodes.refresh();
      wish.signal.throwIfAborted();
      const now: MemoryView = { nodes: nodes.snapshot(), backends: wish.backends, head: wish.head };
      const chosen = chooseUnloads(now, wish.fits, clock.now());
      const freed = await Promise.all(chosen.map((each) => unloadOne(ports, wish, each)));
      if (chosen.some(({ model }, index) => freed[index] && model.vramBytes > 0)) {
        await pause(clock, SETTLE_MS, wish.signal);
      }
      wish.signal.throwIfAborted();
      if (freed.includes(false)) log.warn(`not all room that ${wish.model} needs could be made on Ollama's nodes`);
      return freed.includes(true);
    },
  };
}

/** The fewest of the longest unused that make it fit; none when even all would not, or none is needed. */
export function chooseUnloads(view: MemoryView, fits: RoomWish["fits"], nowMs: number): readonly LoadedAt[] {
  const idle = idleModels(view.nodes, nowMs);
  if (idle.length === 0 || !fits(afterUnloading(view, idle))) return [];
  let chosen: readonly LoadedAt[] = [];
  for (const next of idle) {
    chosen = [...chosen, next];
    if (fits(afterUnloading(view, chosen))) break;
  }
  // Some of them may lie where room is no use.
  for (const each of chosen) {
    const others = chosen.filter((other) => other !== each);
    if (fits(afterUnloading(view, others))) chosen = others;
  }
  return chosen;
}

/** Whether it is gone. */
async function unloadOne(ports: OllamaRoomPorts, wish: RoomWish, { url, model }: LoadedAt): Promise<boolean> {
  const { nodes, clock, log } = ports;
  log.info(
    `unloading ${model.name} (${formatBytes(model.bytes)}) from Ollama at ${url} to make room for ${wish.model}`,
  );
  try {
    await nodes.unload(url, model.name, wish.signal);
  } catch (error) {
    if (!wish.signal.aborted)
      log.warn(describeError(wrapError("upstream_error", `Cannot unload ${model.name}`, error)));
    return false;
  }
  const until = clock.now() + GONE_MS;
  while (!wish.signal.aborted) {
    await nodes.refresh([url]);
    if (isGone(nodes.snapshot(), url, model.name)) return true;
    if (clock.now() >= until) break;
    await pause(clock, LOOK_MS, wish.signal);
  }
  log.warn(`${model.name} is still loaded at ${url}: a request may hold it`);
  return false;
}

/** A node that is down holds nothing that anybody knows of. */
function isGone(nodes: readonly NodeSnapshot[], url: string, name: string): boolean {
  return !nodes.some((node) => node.url === url && node.loaded.some((model) => model.name === name));
}

async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const cancel = clock.after(ms, resolve);
  const stop = () => resolve();
  signal.addEventListener("abort", stop, { once: true });
  await promise;
  signal.removeEventListener("abort", stop);
  cancel();
}
