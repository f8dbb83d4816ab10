/** The fleet when there is not room for all: models in use make room in time, nobody is lost, unused ones leave, pinned ones stay. */
import { describe, expect, test } from "bun:test";
import { advanceUntil } from "../fakes/clock.ts";
import { upResult } from "../fakes/rpc-port.ts";
import { modelOf } from "../fixtures/model-facts.ts";
import { entry, NEVER, setUp } from "./fleet-support.ts";
import { errorsOf } from "./supervisor-support.ts";

/** Each model takes all backends. */
const ALL = { placement: "spread" } as const;

function settings(models: Readonly<Record<string, object>>, own: object = ALL) {
  return { own: { ...own, models: { settings: models } } };
}

describe("a model in use", () => {
  test("drains for another that has waited long enough; who comes meanwhile is served after that one", async () => {
    const { fleet, clock, log, use, states, llama } = await setUp({ own: ALL });
    await use("a");
    const held = await fleet.acquire(entry("a"), NEVER);
    const b = fleet.acquire(entry("b"), NEVER);
    await clock.advance(29_000);
    // It has not had its residency yet: others are let in.
    (await fleet.acquire(entry("a"), NEVER)).release();
    expect(states()).toEqual({ a: "ready", b: "starting" });
    await clock.advance(1_500);
    expect(fleet.snapshot()).toMatchObject([
      { state: "draining", drainingFor: "b" },
      { state: "starting", phase: "queued" },
    ]);
    const next = fleet.acquire(entry("a"), NEVER);
    await clock.advance(60_000);
    expect([states().a, llama.children[0]?.signals]).toEqual(["draining", []]);
    held.release();
    const got = await advanceUntil(clock, b);
    expect(states()).toEqual({ a: "starting", b: "ready" });
    got.release();
    (await advanceUntil(clock, next)).release();
    expect(states()).toEqual({ a: "ready", b: "idle" });
    const told = log.lines().filter((line) => /waits|draining|unloading/.test(line));
    expect(told).toEqual([
      "info b waits for room: a in use",
      "info draining a: b has waited 30.0 s",
      "info a waits for room: b in use",
      "info unloading b to make room for a",
    ]);
  });

  test("goes on when nobody waits for the other any more, with those who came for it", async () => {
    const { fleet, clock, use, states, log } = await setUp({ own: ALL });
    await use("a");
    const held = await fleet.acquire(entry("a"), NEVER);
    const leaving = new AbortController();
    const b = fleet.acquire(entry("b"), leaving.signal);
    await clock.advance(31_000);
    const next = fleet.acquire(entry("a"), NEVER);
    expect(states().a).toBe("draining");
    leaving.abort(new Error("gone"));
    await expect(b).rejects.toThrow("gone");
    (await next).release();
    expect(states()).toEqual({ a: "ready", b: "idle" });
    expect(log.lines()).toContain("info a goes on: its room is not needed any more");
    held.release();
  });

  test("keeps those who wait for a slot of it: they come after the one that it made room for, however old", async () => {
    const { fleet, clock, use, states } = await setUp({ own: { ...ALL, parallel: 1 } });
    await use("a");
    const held = await fleet.acquire(entry("a"), NEVER);
    const older = fleet.acquire(entry("a"), NEVER);
    await clock.advance(1_000);
    const b = fleet.acquire(entry("b"), NEVER);
    await clock.advance(31_000);
    expect(states()).toEqual({ a: "draining", b: "starting" });
    held.release();
    const got = await advanceUntil(clock, b);
    expect(states()).toEqual({ a: "starting", b: "ready" });
    got.release();
    (await advanceUntil(clock, older)).release();
    expect(states()).toEqual({ a: "ready", b: "idle" });
  });

  test("makes room by the owner's own rules", async () => {
    const swap = { longestWaitMs: 1_000, leastResidencyMs: 2_000 };
    const { fleet, clock, use, states } = await setUp({ own: { ...ALL, swap } });
    await use("a");
    const held = await fleet.acquire(entry("a"), NEVER);
    const b = fleet.acquire(entry("b"), NEVER);
    await clock.advance(1_500);
    expect(states().a).toBe("ready");
    await clock.advance(600);
    expect(states().a).toBe("draining");
    held.release();
    await advanceUntil(clock, b);
  });

  test("makes room for a large model that small ones would keep out", async () => {
    const { fleet, clock, use, states } = await setUp({ models: { large: modelOf({ layers: 180 }) } });
    await use("a");
    await use("b");
    const held = await Promise.all(["a", "b"].map((id) => fleet.acquire(entry(id), NEVER)));
    const large = fleet.acquire(entry("large"), NEVER);
    await clock.advance(15_000);
    // A backend is free, but has been waited for too long.
    const c = fleet.acquire(entry("c"), NEVER);
    await clock.advance(1_000);
    expect(states()).toMatchObject({ large: "starting", c: "starting" });
    await clock.advance(15_000);
    expect(states()).toMatchObject({ a: "draining", b: "draining" });
    for (const grant of held) grant.release();
    (await advanceUntil(clock, large)).release();
    expect(states()).toMatchObject({ a: "idle", b: "idle", large: "ready", c: "starting" });
    (await advanceUntil(clock, c)).release();
  });

  test("ends for the one that has waited longest of several; all are served in turn", async () => {
    const { fleet, clock, use, llama, states } = await setUp({ own: ALL });
    await use("a");
    const order: string[] = [];
    const grants = ["b", "c", "b", "d"].map(async (id) => {
      const grant = await fleet.acquire(entry(id), NEVER);
      order.push(id);
      clock.after(100, () => grant.release());
    });
    await advanceUntil(clock, Promise.all(grants));
    expect(order).toEqual(["b", "b", "c", "d"]);
    expect(llama.children).toHaveLength(4);
    expect(states()).toMatchObject({ a: "idle", d: "ready" });
  });

  test("that is closed meanwhile leaves nobody waiting", async () => {
    const { fleet, clock, use, states } = await setUp({ own: ALL });
    await use("a");
    const held = await fleet.acquire(entry("a"), NEVER);
    const waiting = errorsOf([fleet.acquire(entry("b"), NEVER)]);
    await clock.advance(31_000);
    const next = errorsOf([fleet.acquire(entry("a"), NEVER)]);
    const closed = fleet.close();
    held.release();
    await closed;
    expect((await Promise.all([waiting, next])).flat().map(({ code }) => code)).toEqual([
      "shutting_down",
      "shutting_down",
    ]);
    expect(states()).toEqual({ a: "closed", b: "closed" });
    // The probes of three backends, and nothing else.
    expect(clock.pending()).toBe(3);
  });
});

test("two hundred requests in a thrashing order are all answered, with a load for few of them", async () => {
  const { fleet, clock, llama } = await setUp();
  const names = ["a", "b", "c", "d", "e"];
  let answered = 0;
  const requests = Array.from({ length: 200 }, async (_, index) => {
    await new Promise<void>((resolve) => clock.after(index * 40, resolve));
    const grant = await fleet.acquire(entry(names[index % 5] ?? ""), NEVER);
    await new Promise<void>((resolve) => clock.after(300, resolve));
    grant.release();
    answered++;
  });
  await advanceUntil(clock, Promise.all(requests), 50);
  expect(answered).toBe(200);
  expect(llama.children.length).toBeLessThanOrEqual(10);
});

test("models whose backends are disjoint load at the same time", async () => {
  const { fleet, clock, llama, loadAsPlanned, states, leases } = await setUp();
  llama.onSpawn = () => {};
  const grants = ["a", "b", "c"].map((id) => fleet.acquire(entry(id), NEVER));
  await clock.advance(100);
  expect(states()).toEqual({ a: "starting", b: "starting", c: "starting" });
  expect([llama.children.length, new Set(leases()).size]).toEqual([3, 3]);
  for (const child of llama.children) loadAsPlanned(child);
  await advanceUntil(clock, Promise.all(grants));
});

test("a backend that was given back and has not answered yet is not taken for lost: nobody else is ended", async () => {
  const { fleet, clock, rpc, use, states } = await setUp();
  for (const id of ["a", "b", "c"]) await use(id);
  await clock.advance(1_000);
  const d = fleet.acquire(entry("d"), NEVER);
  rpc.set("10.0.0.1:50052", "hang");
  await clock.advance(1_000);
  expect(states()).toEqual({ a: "idle", b: "ready", c: "ready", d: "starting" });
  rpc.set("10.0.0.1:50052", upResult("10.0.0.1:50052"));
  rpc.settle("10.0.0.1:50052", upResult("10.0.0.1:50052"));
  await advanceUntil(clock, d);
  expect(states()).toEqual({ a: "idle", b: "ready", c: "ready", d: "ready" });
});

describe("a backend that comes up", () => {
  test("is room for one that waits", async () => {
    const { fleet, clock, rpc, use, leases } = await setUp({ models: { large: modelOf({ layers: 120 }) } });
    rpc.set("10.0.0.3:50052", { tag: "refused" });
    await clock.advance(20_000);
    await use("a");
    const held = await fleet.acquire(entry("a"), NEVER);
    const large = fleet.acquire(entry("large"), NEVER);
    await clock.advance(5_000);
    rpc.set("10.0.0.3:50052", upResult("10.0.0.3:50052"));
    await advanceUntil(clock, large);
    expect(leases()).toEqual(["a", "large", "large"]);
    held.release();
  });
});

describe("a model that nobody uses", () => {
  const own = { ...ALL, keepAlive: "10m" };

  test("leaves after its keepAlive, told from its last answer", async () => {
    const { fleet, clock, log, use, states, leases } = await setUp({ own });
    await use("a");
    await clock.advance(599_000);
    (await fleet.acquire(entry("a"), NEVER)).release();
    await clock.advance(599_000);
    const keepUntil = new Date(clock.now() + 1_000).toISOString();
    expect(fleet.snapshot()).toMatchObject([{ state: "ready", keepUntil, pinned: false }]);
    await clock.advance(1_500);
    expect([states(), leases()]).toEqual([{ a: "idle" }, [null, null, null]]);
    expect(log.lines()).toContain("info unloading a: not used for 10 min 00 s");
  });

  test("does not leave while it is in use", async () => {
    const { fleet, clock, use, states } = await setUp({ own });
    await use("a");
    const held = await fleet.acquire(entry("a"), NEVER);
    await clock.advance(3_600_000);
    expect([states(), fleet.snapshot()[0]?.keepUntil]).toEqual([{ a: "ready" }, null]);
    held.release();
  });

  test("has its own keepAlive, or leaves at once with 0", async () => {
    const { clock, use, states } = await setUp(
      settings({ a: { keepAlive: -1 }, b: { keepAlive: 0 } }, { keepAlive: 60 }),
    );
    for (const id of ["a", "b", "c"]) await use(id);
    expect(states()).toEqual({ a: "ready", b: "idle", c: "ready" });
    await clock.advance(61_000);
    expect(states()).toEqual({ a: "ready", b: "idle", c: "idle" });
  });

  test("stays for ever where nothing is said", async () => {
    const { fleet, clock, use, states } = await setUp();
    await use("a");
    expect(clock.pending()).toBe(3);
    await clock.advance(24 * 3_600_000);
    expect([states(), fleet.snapshot()[0]?.keepUntil]).toEqual([{ a: "ready" }, null]);
  });

  test("is kept as a request asks: longer, for ever, or not at all", async () => {
    const { fleet, clock, use, states } = await setUp({ own });
    await use("a");
    fleet.keep("a", 1_200_000);
    await clock.advance(900_000);
    expect(states()).toEqual({ a: "ready" });
    fleet.keep("a", Number.POSITIVE_INFINITY);
    await clock.advance(900_000);
    expect(states()).toEqual({ a: "ready" });
    fleet.keep("a", 0);
    await clock.advance(100);
    expect(states()).toEqual({ a: "idle" });
    fleet.keep("unknown", 0);
  });
});

describe("a pinned model", () => {
  test("stays, however long it is unused and whoever else wants room", async () => {
    const { use, clock, states, leases, fleet } = await setUp({
      ...settings({ a: { pin: true } }, { keepAlive: 60 }),
      models: { large: modelOf({ layers: 120 }) },
    });
    await use("a");
    await use("b");
    await use("c");
    await use("large");
    await clock.advance(50_000);
    expect(states()).toEqual({ a: "ready", b: "idle", c: "idle", large: "ready" });
    expect(leases()).toEqual(["a", "large", "large"]);
    await clock.advance(3_600_000);
    expect(states()).toEqual({ a: "ready", b: "idle", c: "idle", large: "idle" });
    expect(fleet.snapshot()[0]).toMatchObject({ pinned: true, keepUntil: null });
  });

  test("in the way of another is named, and nobody else is ended in vain", async () => {
    const { fleet, use, clock, states } = await setUp({
      ...settings({ a: { pin: true } }, {}),
      models: { large: modelOf({ layers: 180 }) },
    });
    await use("a");
    await use("b");
    await clock.advance(60_000);
    const [error] = await advanceUntil(clock, errorsOf([fleet.acquire(entry("large"), NEVER)]));
    expect(error).toMatchObject({ code: "does_not_fit", hint: expect.stringContaining("unpin") });
    expect(error?.message).toBe("Cannot load large: its room is held by the pinned model a");
    expect(states()).toEqual({ a: "ready", b: "ready", large: "idle" });
    expect((await fleet.plan(entry("large"), NEVER)).result.ok).toBe(false);
  });

  test("may be unloaded by its owner", async () => {
    const { fleet, use, states } = await setUp(settings({ a: { pin: true } }));
    await use("a");
    await fleet.unload("a");
    expect(states()).toEqual({ a: "idle" });
  });
});
