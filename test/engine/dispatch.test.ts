/** What a model does is told with where it runs: from its plan, from its header, wherever the request goes. */
import { describe, expect, test } from "bun:test";
import { fileEntry } from "../../src/engine/catalog-entry.ts";
import { Dispatch, type DispatchParts } from "../../src/engine/dispatch.ts";
import { testConfig } from "../fakes/runtime.ts";
import { planned, R24 } from "../fixtures/model-facts.ts";

const SIGNAL = new AbortController().signal;
const EMBEDDER = { ...R24, embedding: { pooling: "rank", isEncoder: true } } as const;
const NODE = { url: "http://10.0.0.9:11434", fit: "fast", why: "holds it in fast memory" } as const;

function dispatchWith(parts: Partial<DispatchParts> = {}): Dispatch {
  const config = testConfig({});
  const entry = fileEntry({ id: "m", path: "/m" }, { origin: { kind: "folder", where: "/" }, config });
  return new Dispatch({
    config,
    catalog: { find: () => Promise.resolve(entry) },
    fleet: {
      snapshot: () => [],
      reason: () => "",
      planAsSeen: () => Promise.reject(new Error("no plan is needed")),
    },
    models: { read: (path) => Promise.resolve({ path, facts: EMBEDDER }) },
    pool: { lost: () => [], options: () => [], places: () => [], sizeOf: () => null, without: () => [] },
    backends: () => [],
    ...parts,
  });
}

describe("how a model makes vectors", () => {
  test("is what its header says, also where a node gets the request", async () => {
    expect(await dispatchWith().route("m", SIGNAL)).toMatchObject({ decision: { kind: "shard" }, pooling: "rank" });
    const pool = { lost: () => [], options: () => [NODE], places: () => [], sizeOf: () => null, without: () => [] };
    const routed = await dispatchWith({ pool }).route("m", SIGNAL);
    expect(routed).toMatchObject({ decision: { kind: "pool" }, pooling: "rank" });
  });

  test("is not known of a file that cannot be read: its load says why", async () => {
    const models = { read: () => Promise.reject(new Error("gone")) };
    expect((await dispatchWith({ models }).route("m", SIGNAL)).pooling).toBeNull();
  });

  test("is that of the plan once it is loaded, and the file is not looked at", async () => {
    const models = { read: () => Promise.reject(new Error("gone")) };
    const head = { freeBytes: 8 * 2 ** 30, totalBytes: 16 * 2 ** 30 };
    const plan = { ...planned({ facts: EMBEDDER, head }), command: [] };
    // Of a coordinator no more is looked at.
    const snapshot = (() => [{ model: "m", state: "ready", plan }]) as unknown as DispatchParts["fleet"]["snapshot"];
    const fleet = { snapshot, reason: () => "", planAsSeen: () => Promise.reject(new Error("no plan is needed")) };
    expect((await dispatchWith({ models, fleet }).route("m", SIGNAL)).pooling).toBe("rank");
  });
});
