/** Room made on Ollama's nodes: only where it is what is missing, no more than needed, and never from somebody's hands. */
import { describe, expect, test } from "bun:test";
import { heldByOllama, type MemoryView } from "../../src/core/node-memory.ts";
import { Nodes } from "../../src/engine/nodes.ts";
import { createOllamaRoom } from "../../src/engine/ollama-room.ts";
import { advanceUntil, createFakeClock } from "../fakes/clock.ts";
import { createRecordedLog } from "../fakes/log.ts";
import { answers, loadedModel, ScriptedOllama } from "../fakes/ollama-port.ts";

const A = "http://10.0.0.5:11434";
const B = "http://10.0.0.6:11434";
const RULES = { intervalMs: 5_000, failures: 3, successes: 2, timeoutMs: 2_000 };
const NEVER = new AbortController().signal;

/** Loaded models by node, each with its bytes of RAM; all quiet since the start. */
async function setUp(loaded: Readonly<Record<string, Readonly<Record<string, number>>>>, quietMs = 60_000) {
  const clock = createFakeClock();
  const log = createRecordedLog();
  const ollama = new ScriptedOllama();
  const here = new Map(Object.entries(loaded).map(([url, models]) => [url, { ...models }]));
  const tell = (url: string): void => {
    const models = Object.entries(here.get(url) ?? {});
    const list = models.map(([name, bytes]) => loadedModel(name, { bytes, expiresAt: "2026-11-24T18:30:00Z" }));
    ollama.set(url, answers({ loaded: list, address: new URL(url).hostname }));
  };
  const unload = (url: string, model: string): void => {
    delete here.get(url)?.[model];
    tell(url);
  };
  ollama.onUnload = unload;
  for (const url of here.keys()) tell(url);
  const nodes = new Nodes({ clock, log, ollama }, { ...RULES, nodes: [...here.keys()].map((url) => ({ url })) });
  nodes.start();
  await clock.advance(quietMs);
  /** It fits where these machines are free of so much. */
  const fits =
    (mostHeld: Readonly<Record<string, number>>) =>
    (view: MemoryView): boolean =>
      Object.entries(mostHeld).every(
        ([machine, most]) =>
          heldByOllama(view.nodes)
            .filter((held) => held.machine === machine)
            .reduce((sum, { ramBytes }) => sum + ramBytes, 0) <= most,
      );
  const make = async (mostHeld: Readonly<Record<string, number>>, signal = NEVER) =>
    await advanceUntil(
      clock,
      createOllamaRoom({ clock, log, nodes }, { unloadIdle: true }).make({
        model: "big:70b",
        backends: [],
        head: null,
        fits: fits(mostHeld),
        signal,
      }),
    );
  return { clock, log, ollama, nodes, make, unload };
}

describe("make()", () => {
  test("unloads what is in the way, and returns once the node shows it gone", async () => {
    const { make, ollama, nodes, unload, clock } = await setUp({ [A]: { "a:8b": 10 } });
    ollama.onUnload = (url, model) => void clock.after(2_000, () => unload(url, model));
    expect(await make({ "10.0.0.5": 0 })).toBe(true);
    expect(ollama.unloaded).toEqual([{ url: A, model: "a:8b" }]);
    expect(nodes.snapshot()[0]?.loaded).toEqual([]);
    await nodes.stop();
  });

  test("unloads no more than needed, and nothing on machines where it is of no use", async () => {
    const { make, ollama, nodes } = await setUp({ [A]: { "a:8b": 10 }, [B]: { "b:8b": 10, "c:1b": 5 } });
    expect(await make({ "10.0.0.6": 5 })).toBe(true);
    expect(ollama.unloaded).toEqual([{ url: B, model: "b:8b" }]);
    await nodes.stop();
  });

  test("unloads nothing when it fits already, when it would not fit even then, or when nothing is idle", async () => {
    const fitting = await setUp({ [A]: { "a:8b": 10 } });
    expect(await fitting.make({ "10.0.0.5": 10 })).toBe(false);
    expect(await fitting.make({ "10.0.0.5": -1 })).toBe(false);
    const busy = await setUp({ [A]: { "a:8b": 10 } }, 50_000);
    expect(await busy.make({ "10.0.0.5": 0 })).toBe(false);
    for (const { ollama, nodes } of [fitting, busy]) {
      expect(ollama.unloaded).toEqual([]);
      await nodes.stop();
    }
  });

  test("looks before it leaps: a model that was used since the last poll stays", async () => {
    const { make, ollama, nodes } = await setUp({ [A]: { "a:8b": 10 } });
    ollama.set(A, answers({ loaded: [loadedModel("a:8b", { bytes: 10, expiresAt: "2026-11-24T18:31:00Z" })] }));
    expect(await make({ "10.0.0.5": 0 })).toBe(false);
    expect(ollama.unloaded).toEqual([]);
    await nodes.stop();
  });

  test("gives up in time on one that stays, and says that a request may hold it", async () => {
    const { make, ollama, nodes, log, clock } = await setUp({ [A]: { "a:8b": 10 } });
    ollama.onUnload = () => {};
    const before = clock.now();
    expect(await make({ "10.0.0.5": 0 })).toBe(false);
    expect(clock.now() - before).toBeLessThan(20_000);
    expect(log.lines()).toContain(`warn a:8b is still loaded at ${A}: a request may hold it`);
    await nodes.stop();
  });

  test("ends with the signal's reason when whoever wanted it is gone", async () => {
    const { clock, log, nodes, ollama } = await setUp({ [A]: { "a:8b": 10 } });
    const gone = new AbortController();
    ollama.onUnload = () => gone.abort(new Error("gone"));
    const wish = {
      ...{ model: "big:70b", backends: [], head: null, signal: gone.signal },
      fits: (view: MemoryView) => heldByOllama(view.nodes).length === 0,
    };
    await expect(
      advanceUntil(clock, createOllamaRoom({ clock, log, nodes }, { unloadIdle: true }).make(wish)),
    ).rejects.toThrow("gone");
    await nodes.stop();
  });

  test("gives drivers time to tell of freed accelerator memory, and unloads nothing where the config forbids it", async () => {
    const { clock, log, nodes, ollama } = await setUp({ [A]: { "a:8b": 10 } });
    const loaded = [loadedModel("a:8b", { bytes: 10, vramBytes: 4, expiresAt: "2026-11-24T18:30:00Z" })];
    ollama.set(A, answers({ loaded, address: "10.0.0.5" }));
    const wish = {
      ...{ model: "big:70b", backends: [], head: null, signal: NEVER },
      fits: (view: MemoryView) => heldByOllama(view.nodes).length === 0,
    };
    const forbidden = createOllamaRoom({ clock, log, nodes }, { unloadIdle: false });
    expect(forbidden.held()).toEqual([{ machine: "10.0.0.5", ramBytes: 10, what: "Ollama's a:8b" }]);
    expect([await forbidden.make(wish), ollama.unloaded]).toEqual([false, []]);
    const before = clock.now();
    const room = createOllamaRoom({ clock, log, nodes }, { unloadIdle: true });
    expect(await advanceUntil(clock, room.make(wish))).toBe(true);
    expect(clock.now() - before).toBeGreaterThanOrEqual(2_000);
    expect(room.held()).toEqual([]);
    await nodes.stop();
  });
});
