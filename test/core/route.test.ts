/** Pool or shards, by what fits. */
import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { type PoolOption, type RouteInput, routeRequest, type ShardOption } from "../../src/core/route.ts";

const READY: ShardOption = { tag: "ready", where: "sharded over a:1, b:1" };
const LOADABLE: ShardOption = { tag: "loadable", where: "2 of 3 backends" };
const REFUSED: ShardOption = {
  tag: "refused",
  error: new SynapticError("does_not_fit", "Cannot place m on 2 backends: needs 43.2 GiB", { hint: "add one" }),
};
const node = (fit: PoolOption["fit"], url = "http://n1:11434", why = `is ${fit}`): PoolOption => ({ url, fit, why });

function route(own: Partial<RouteInput>) {
  return routeRequest({ model: "m", wish: null, pool: true, sharding: true, nodes: [], shard: null, ...own }).decision;
}

describe("routeRequest()", () => {
  test("takes the nodes with fast memory for it, also where the shards are loaded", () => {
    const nodes = [node("slow", "http://a:1"), node("fast", "http://b:1"), node("fast", "http://c:1")];
    expect(route({ nodes, shard: READY })).toEqual({
      kind: "pool",
      urls: ["http://b:1", "http://c:1"],
      reserve: ["http://a:1"],
      reason: "fits one node: b:1 is fast",
    });
  });

  test("keeps the other nodes that could run it in reserve, the better ones first", () => {
    const nodes = [node("slow", "http://a:1"), node("no", "http://b:1"), node("unknown", "http://c:1")];
    expect(route({ nodes: [...nodes, node("fast", "http://d:1")] })).toMatchObject({
      urls: ["http://d:1"],
      reserve: ["http://c:1", "http://a:1"],
    });
    expect(route({ nodes })).toMatchObject({ urls: ["http://c:1"], reserve: ["http://a:1"] });
  });

  test("shards what no node holds in fast memory, since RAM counts only where nothing faster can take it", () => {
    expect(route({ nodes: [node("slow")], shard: LOADABLE })).toEqual({
      kind: "shard",
      reason: "no node holds it in fast memory; loads: 2 of 3 backends",
    });
    expect(route({ nodes: [node("slow")], shard: REFUSED })).toMatchObject({ kind: "pool" });
    expect(route({ nodes: [node("slow")], shard: null })).toMatchObject({ kind: "pool" });
  });

  test("trusts the owner who pulled a model to a node of unknown memory, until its shards are loaded", () => {
    expect(route({ nodes: [node("unknown")], shard: LOADABLE })).toMatchObject({ kind: "pool" });
    expect(route({ nodes: [node("unknown")], shard: READY })).toMatchObject({ kind: "shard" });
  });

  test("shards what is on no node", () => {
    expect(route({ shard: LOADABLE })).toEqual({
      kind: "shard",
      reason: "on no node of the pool; loads: 2 of 3 backends",
    });
  });

  test("does as the config says of a model, where that can be done", () => {
    expect(route({ wish: "shard", nodes: [node("fast")], shard: LOADABLE })).toMatchObject({ kind: "shard" });
    expect(route({ wish: "pool", nodes: [node("no"), node("slow")], shard: READY })).toMatchObject({ kind: "pool" });
    expect(route({ wish: "pool", nodes: [], shard: READY })).toMatchObject({ kind: "refused" });
    expect(route({ wish: "shard", nodes: [node("fast")], shard: REFUSED })).toMatchObject({ kind: "refused" });
  });

  test("says what the way needs that the config names, and blames no switch that is on", () => {
    const pool = route({ wish: "pool", shard: READY });
    expect(pool.kind === "refused" && [pool.error.code, pool.reason]).toEqual([
      "no_backends",
      "Cannot run m: its route is pool, and no node that answers has it",
    ]);
    const shard = route({ wish: "shard", nodes: [node("fast")] });
    expect(shard.kind === "refused" && [shard.error.code, shard.reason]).toEqual([
      "does_not_fit",
      "Cannot run m: its route is shard, and no file of it is here",
    ]);
  });

  test("uses neither pool nor shards where they are switched off, and says which switch", () => {
    expect(route({ pool: false, nodes: [node("fast")], shard: LOADABLE })).toMatchObject({ kind: "shard" });
    expect(route({ sharding: false, nodes: [node("slow")], shard: READY })).toMatchObject({ kind: "pool" });
    const off = route({ pool: false, nodes: [node("fast")] });
    expect(off.kind === "refused" && off.error.message).toBe(
      "Cannot run m: task_distribution_enabled is false in the config, and nothing else has it",
    );
    const noShards = route({ sharding: false, shard: LOADABLE });
    expect(noShards.kind === "refused" && noShards.error.hint).toBe("set model_sharding_enabled to true in the config");
  });

  test("refuses with both reasons what fits neither", () => {
    const refused = route({ nodes: [node("no", "http://n1:11434", "is too small")], shard: REFUSED });
    expect(refused.kind === "refused" && refused.error).toMatchObject({
      code: "does_not_fit",
      message: "Cannot place m on 2 backends: needs 43.2 GiB; n1:11434 is too small",
      hint: "add one",
    });
    const single = route({ nodes: [node("no", "http://n1:11434", "is too small")] });
    expect(single.kind === "refused" && single.error.message).toBe(
      "Cannot run m on any one node: n1:11434 is too small",
    );
  });
});

test("routeRequest() tells of each alternative what speaks for or against it", () => {
  const { alternatives } = routeRequest({
    ...{ model: "m", wish: null, pool: true, sharding: true, shard: LOADABLE },
    nodes: [node("slow"), node("fast", "http://n2:11434")],
  });
  expect(alternatives).toEqual([
    { target: "http://n1:11434", chosen: false, why: "is slow" },
    { target: "http://n2:11434", chosen: true, why: "is fast" },
    { target: "shards", chosen: false, why: "2 of 3 backends" },
  ]);
});
