/** The supervisor when a ready coordinator is lost: who is told what, and what the next request gets. */
import { describe, expect, test } from "bun:test";
import { DEAD, dying, errorsOf, GONE, GOOD_LOG, NEVER, setUp } from "./supervisor-support.ts";

describe("a ready coordinator that is lost", () => {
  test("by its exit: its requests learn why, and the next one loads it again at once", async () => {
    const { supervisor, llama, clock, log, failures, leases, makeReady, state } = setUp();
    await makeReady();
    const grant = await supervisor.acquire(NEVER);
    const failure = grant.failure();
    dying(llama.child, GONE);
    // For so long its sentinel may still say which backend it was.
    await clock.advance(50);
    expect((await failure)?.message).toBe("Lost the coordinator of m: a backend went away while it was in use");
    expect([state(), leases[0]?.released, failures.length]).toEqual(["failed", 1, 1]);
    expect(log.lines().filter((line) => line.includes("Lost the coordinator"))).toHaveLength(1);
    grant.release();
    const next = supervisor.acquire(NEVER);
    await clock.advance(0);
    llama.child.load(GOOD_LOG);
    await clock.advance(100);
    await next;
    expect([state(), llama.children.length]).toEqual(["ready", 2]);
  });

  test("is explained by what it printed since it was ready, not by its load", async () => {
    const { supervisor, llama, clock } = setUp();
    const waiting = supervisor.acquire(NEVER);
    await clock.advance(0);
    llama.child.say("W: failed to allocate a pinned buffer, going on without");
    llama.child.load(GOOD_LOG);
    await clock.advance(100);
    const failure = (await waiting).failure();
    llama.child.exit(null, "SIGSEGV");
    expect((await failure)?.message).toBe("Lost the coordinator of m: a signal ended it (SIGSEGV)");
  });

  test("by a sentinel: ended, its requests learn why, and the next one waits for a new launch", async () => {
    const { supervisor, llama, clock, leases, makeReady, state } = setUp();
    await makeReady();
    const grant = await supervisor.acquire(NEVER);
    const failure = grant.failure();
    llama.child.deaf = true;
    leases[0]?.lose("connection reset");
    expect([state(), llama.child.signals]).toEqual(["stopping", ["SIGTERM"]]);
    const next = supervisor.acquire(NEVER);
    dying(llama.child, GONE);
    expect((await failure)?.message).toBe("Lost backend 10.0.0.1:50052 of m: connection reset");
    await clock.advance(0);
    llama.child.load(GOOD_LOG);
    await clock.advance(100);
    await next;
    expect([state(), llama.children.length, leases[0]?.released]).toEqual(["ready", 2, 1]);
  });

  test("by its exit, and by a sentinel a moment later: the backend is named", async () => {
    const { supervisor, llama, clock, leases, makeReady } = setUp();
    await makeReady();
    const failure = (await supervisor.acquire(NEVER)).failure();
    dying(llama.child, GONE);
    leases[0]?.lose("connection reset");
    await clock.advance(50);
    expect((await failure)?.message).toBe("Lost backend 10.0.0.1:50052 of m: connection reset");
  });

  test("an old failure is not taken for the reason of a later one", async () => {
    const { supervisor, llama, clock, makeReady } = setUp();
    const first = errorsOf([supervisor.acquire(NEVER)]);
    await clock.advance(0);
    llama.child.exit(1);
    await first;
    await clock.advance(1_000);
    await makeReady();
    const grant = await supervisor.acquire(NEVER);
    const unloaded = supervisor.unload();
    await clock.advance(30_000);
    await unloaded;
    expect(await grant.failure()).toBeNull();
  });

  test("whatever an earlier launch does then changes nothing", async () => {
    const { supervisor, llama, clock, leases, failures, makeReady, state } = setUp();
    await makeReady();
    const [old] = llama.children;
    old?.exit(134);
    const next = supervisor.acquire(NEVER);
    await clock.advance(0);
    llama.child.load(GOOD_LOG);
    await clock.advance(100);
    await next;
    old?.say(DEAD);
    old?.exitLate(134);
    leases[0]?.lose("late");
    await clock.advance(1_000);
    expect([state(), failures.length, leases.map(({ released }) => released)]).toEqual(["ready", 1, [1, 0]]);
  });
});
