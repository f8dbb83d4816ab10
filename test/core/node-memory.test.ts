/** What Ollama holds on each machine, which of it is idle, and what is free without it. */
import { describe, expect, test } from "bun:test";
import { afterUnloading, heldByOllama, idleModels } from "../../src/core/node-memory.ts";
import type { BackendSnapshot, LoadedSnapshot, NodeSnapshot } from "../../src/core/snapshot.ts";
import { loadedModel } from "../fakes/ollama-port.ts";

const NOW = Date.UTC(2026, 10, 24, 18);
const at = (ms: number): string => new Date(NOW + ms).toISOString();

function loaded(name: string, more: Partial<LoadedSnapshot> = {}): LoadedSnapshot {
  return { ...loadedModel(name, { expiresAt: at(240_000) }), quietSince: at(-60_000), ...more };
}

function node(machine: string, models: readonly LoadedSnapshot[], more: Partial<NodeSnapshot> = {}): NodeSnapshot {
  return {
    ...{ url: `http://${machine}:11434`, machine, state: "up", since: at(0), reason: "", version: "0.33.0", rttMs: 1 },
    ...{ models: [], loaded: models, inFlight: 0 },
    ...more,
  };
}

test("heldByOllama() counts what lies in no accelerator, by machine", () => {
  const a = loaded("a:8b", { bytes: 10, vramBytes: 4 });
  const b = loaded("b:8b", { bytes: 7, vramBytes: 7 });
  expect(heldByOllama([node("10.0.0.5", [a, b]), node("10.0.0.6", [b])])).toEqual([
    { machine: "10.0.0.5", ramBytes: 6, what: "Ollama's a:8b" },
  ]);
});

describe("idleModels()", () => {
  const names = (...nodes: readonly NodeSnapshot[]) => idleModels(nodes, NOW).map(({ model }) => model.name);

  test("are those whose expiry has not moved for a minute, the longest unused first", () => {
    const young = loaded("young:1b", { quietSince: at(-59_999) });
    const old = loaded("old:1b", { quietSince: at(-90_000) });
    expect(names(node("10.0.0.5", [loaded("a:1b"), young]), node("10.0.0.6", [old]))).toEqual(["old:1b", "a:1b"]);
  });

  test("are none that the owner asked to stay, is past its expiry, or does not tell it", () => {
    const stays = loaded("stays:1b", { expiresAt: "2318-06-04T14:38:31.83753-07:00" });
    const held = loaded("held:1b", { expiresAt: at(-1) });
    const silent = loaded("silent:1b", { expiresAt: null });
    const odd = loaded("odd:1b", { expiresAt: "soon" });
    expect(names(node("10.0.0.5", [stays, held, silent, odd]))).toEqual([]);
  });

  test("are none of a node that works for us, or is down", () => {
    const models = [loaded("a:1b")];
    expect(names(node("10.0.0.5", models, { inFlight: 1 }), node("10.0.0.6", models, { state: "down" }))).toEqual([]);
  });
});

test("afterUnloading() frees RAM by what is no longer held, and accelerators of that machine, the fullest first", () => {
  const gone = loaded("a:8b", { bytes: 12, vramBytes: 9 });
  const nodes = [node("10.0.0.5", [gone, loaded("b:1b")])];
  const device = (index: number, freeBytes: number, kind: "cpu" | "accelerator" = "accelerator") => ({
    ...{ index, kind, freeBytes, totalBytes: 16 },
  });
  const backend = (machine: string): BackendSnapshot => ({
    ...{ endpoint: `${machine}:50052`, machine, state: "up", since: at(0), reason: "", protocol: "8.0.0", rttMs: 1 },
    ...{ devices: [device(0, 14), device(1, 8), device(2, 16, "cpu")], lease: null },
  });
  const view = { nodes, backends: [backend("10.0.0.5"), backend("10.0.0.6")], head: null };
  const after = afterUnloading(view, [{ url: "http://10.0.0.5:11434", machine: "10.0.0.5", model: gone }]);
  expect(after.nodes[0]?.loaded.map(({ name }) => name)).toEqual(["b:1b"]);
  expect(after.backends.map(({ devices }) => devices.map(({ freeBytes }) => freeBytes))).toEqual([
    [15, 16, 16],
    [14, 8, 16],
  ]);
});

test("afterUnloading() gives the head node its RAM back, as far as it has so much", () => {
  const models = [loaded("a:8b", { bytes: 12, vramBytes: 4 }), loaded("b:8b", { bytes: 90 })];
  const url = "http://127.0.0.1:11434";
  const view = { nodes: [node("127.0.0.1", models)], backends: [], head: { freeBytes: 10, totalBytes: 64 } };
  const free = models.map((model) => afterUnloading(view, [{ url, machine: "127.0.0.1", model }]).head?.freeBytes);
  expect(free).toEqual([18, 64]);
});
