/** The pool: who may answer, who does, and what is remembered of how each fared. */
import { expect, test } from "bun:test";
import type { NodeSnapshot } from "../../src/core/snapshot.ts";
import { GIB } from "../../src/core/units.ts";
import { Pool } from "../../src/engine/pool.ts";
import { createFakeClock } from "../fakes/clock.ts";
import { nodeModel } from "../fakes/ollama-port.ts";

function stage(...own: readonly Partial<NodeSnapshot>[]) {
  const clock = createFakeClock();
  const counts = new Map<string, number>();
  const refreshed: string[] = [];
  const views = own.map(
    (node, index): NodeSnapshot => ({
      ...{
        url: `http://n${index + 1}:11434`,
        machine: `n${index + 1}`,
        state: "up",
        since: "",
        reason: "",
        version: "1",
      },
      ...{ rttMs: 1, loaded: [], inFlight: 0 },
      models: [nodeModel("m:latest", { bytes: GIB })],
      ...node,
    }),
  );
  const nodes = {
    snapshot: () => views.map((view) => ({ ...view, inFlight: counts.get(view.url) ?? 0 })),
    refresh: async (urls: readonly string[] = []) => void refreshed.push(...urls),
    begin: (url: string) => {
      counts.set(url, (counts.get(url) ?? 0) + 1);
      return () => void counts.set(url, (counts.get(url) ?? 0) - 1);
    },
  };
  const urls = views.map(({ url }) => url);
  const pool = new Pool(
    { clock, nodes },
    urls.map((url) => ({ url })),
  );
  const take = (conversation: string | null = null) => pool.take({ model: "M", urls, conversation });
  return { clock, pool, take, refreshed, counts };
}

test("options() are the nodes that answer and have the model, however its name is spelled", () => {
  const { pool } = stage({}, { state: "down" }, { models: [] });
  for (const name of ["m", "M:latest", "library/m", "registry.ollama.ai/library/m:LATEST"]) {
    expect(pool.options(name, []).map(({ url }) => url)).toEqual(["http://n1:11434"]);
  }
  expect(pool.options("n", [])).toEqual([]);
  expect(pool.options("not a name", [])).toEqual([]);
});

test("take() spreads requests over equal nodes, and gives each place back once", () => {
  const { take, counts } = stage({}, {});
  const [first, second] = [take(), take()];
  expect([first?.url, second?.url]).toEqual(["http://n1:11434", "http://n2:11434"]);
  expect(first?.model).toBe("m:latest");
  first?.release("answered");
  first?.release("failed");
  expect([...counts.values()]).toEqual([0, 1]);
});

test("take() keeps a conversation on its node while the others are idle", () => {
  const { take } = stage({}, {});
  take("a")?.release("answered");
  const other = take();
  expect(other?.url).toBe("http://n1:11434");
  expect(take("a")?.url).toBe("http://n1:11434");
  expect(take("b")?.url).toBe("http://n2:11434");
});

test("a node that fails twice in a row is left alone for two seconds, and looked at at once", async () => {
  const { take, refreshed, clock } = stage({}, {});
  for (let count = 0; count < 2; count++) take("c")?.release("failed");
  expect(refreshed).toEqual(["http://n1:11434", "http://n1:11434"]);
  const places = [take("c"), take("c")];
  expect(places.map((place) => place?.url)).toEqual(["http://n2:11434", "http://n2:11434"]);
  await clock.advance(2_000);
  for (const place of places) place?.release("answered");
  // Half open: last in the order, and only one at a time.
  expect(take()?.url).toBe("http://n2:11434");
});

test("a lone node that failed is asked again by one request at a time, and by all once it has answered", async () => {
  const { take, clock } = stage({});
  for (let count = 0; count < 2; count++) take()?.release("failed");
  expect(take()).toBeNull();
  await clock.advance(2_000);
  const trial = take();
  expect(trial).not.toBeNull();
  expect(take()).toBeNull();
  trial?.release("answered");
  expect([take(), take()].every((place) => place !== null)).toBe(true);
});

test("a full node, or a client's fault, counts for nothing", () => {
  const { take } = stage({});
  for (let count = 0; count < 5; count++) take()?.release("neither");
  expect(take()).not.toBeNull();
});

test("take() prefers the node that was faster to its first token lately", async () => {
  const { take, clock } = stage({}, {});
  const [slow, fast] = [take(), take()];
  await clock.advance(10);
  fast?.heard();
  await clock.advance(500);
  slow?.heard();
  slow?.release("answered");
  fast?.release("answered");
  expect(take()?.url).toBe("http://n2:11434");
});
