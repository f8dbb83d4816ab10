/** The supervisor from the first request to ready, and what requests get while it loads, serves and stops. */
import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { GOOD_LOG, NEVER, PLAN, setUp } from "./supervisor-support.ts";

describe("a load", () => {
  test("is one for a hundred requests at once", async () => {
    const { supervisor, llama, clock, leases, state } = setUp();
    const grants = Array.from({ length: 100 }, () => supervisor.acquire(NEVER));
    await clock.advance(0);
    expect(state()).toBe("starting");
    expect(supervisor.snapshot().queue.length).toBe(100);
    llama.child.load(GOOD_LOG);
    await clock.advance(100);
    expect(supervisor.snapshot()).toMatchObject({ slots: { total: 4, busy: 4 }, queue: { length: 96 } });
    const urls = new Set<string>();
    for (const grant of grants) {
      const { url, release } = await grant;
      urls.add(url);
      release();
    }
    expect(urls.size).toBe(1);
    expect([llama.children.length, leases.length]).toEqual([1, 1]);
    expect(state()).toBe("ready");
  });

  test("runs the planned command with a key that stays out of the arguments", async () => {
    const { supervisor, llama, makeReady } = setUp();
    await makeReady();
    const { child } = llama;
    expect(child.valueOf("--rpc")).toBe("10.0.0.1:50052,10.0.0.2:50052,10.0.0.3:50052");
    expect(child.env.LLAMA_API_KEY).toBe("secret");
    expect(child.args.join(" ")).not.toContain("secret");
    expect(supervisor.snapshot()).toMatchObject({
      state: "ready",
      pid: child.pid,
      progress: null,
      tokensPerSecond: 42.5,
      restarts: 0,
      lastFailure: null,
      plan: { model: PLAN.model, command: ["/usr/bin/llama-server", ...child.args] },
      proof: { proven: true },
      slots: { total: 4, busy: 0 },
    });
  });

  test("asks for health until it is there, then for a first completion, then watches its backends", async () => {
    const { supervisor, llama, clock, leases } = setUp();
    void supervisor.acquire(NEVER);
    await clock.advance(250);
    expect(llama.requests).toEqual(["GET /health", "GET /health"]);
    llama.child.load(GOOD_LOG);
    await clock.advance(100);
    expect(llama.requests.at(-1)).toBe("POST /completion");
    expect(leases[0]?.guarded).toBe(true);
  });

  test("shows how far it is, of this launch only", async () => {
    const { supervisor, llama, clock } = setUp();
    const progress = (value: number) =>
      `cmd_child_to_router:state:${JSON.stringify({ state: "loading", payload: { stages: ["a"], current: "a", value } })}`;
    const first = supervisor.acquire(NEVER);
    await clock.advance(0);
    expect(supervisor.snapshot().progress).toBeNull();
    llama.child.say(progress(0.61));
    expect(supervisor.snapshot().progress).toBe(0.61);
    llama.child.exit(1);
    await expect(first).rejects.toBeInstanceOf(SynapticError);
    await clock.advance(2_000);
    void supervisor.acquire(NEVER);
    await clock.advance(0);
    llama.children[0]?.say(progress(0.9));
    expect(supervisor.snapshot().progress).toBeNull();
  });

  test("goes on when its only waiter leaves, who hears of it at once", async () => {
    const { supervisor, llama, clock, state } = setUp();
    const leaving = new AbortController();
    const grant = supervisor.acquire(leaving.signal);
    await clock.advance(0);
    leaving.abort(new Error("the client has gone"));
    await expect(grant).rejects.toThrow("the client has gone");
    expect(supervisor.snapshot().queue.length).toBe(0);
    llama.child.load(GOOD_LOG);
    await clock.advance(100);
    expect(state()).toBe("ready");
  });

  test("is not begun for a client that has gone already", async () => {
    const { supervisor, state } = setUp();
    await expect(supervisor.acquire(AbortSignal.abort(new Error("gone")))).rejects.toThrow("gone");
    expect(state()).toBe("idle");
  });

  test("waits for log lines that arrive after health does", async () => {
    const { supervisor, llama, clock, state } = setUp();
    const grant = supervisor.acquire(NEVER);
    await clock.advance(0);
    llama.child.load(GOOD_LOG.slice(0, 3));
    await clock.advance(200);
    expect(state()).toBe("starting");
    llama.child.say(...GOOD_LOG.slice(3));
    await clock.advance(0);
    await grant;
    expect(state()).toBe("ready");
  });
});

describe("requests of a ready coordinator", () => {
  test("are let in at once while slots are free, and counted until they end, each once", async () => {
    const { supervisor, makeReady } = setUp();
    await makeReady();
    const asked = Array.from({ length: 6 }, () => supervisor.acquire(NEVER));
    const grants = await Promise.all(asked.slice(0, 4));
    expect(supervisor.snapshot()).toMatchObject({ slots: { total: 4, busy: 4 }, queue: { length: 2 } });
    expect(supervisor.isIdle()).toBe(false);
    for (const grant of [...grants, ...grants]) grant.release();
    expect(supervisor.snapshot()).toMatchObject({ slots: { total: 4, busy: 2 }, queue: { length: 0 } });
    for (const grant of await Promise.all(asked)) grant.release();
    expect(supervisor.snapshot()).toMatchObject({ slots: { total: 4, busy: 0 }, queue: { length: 0 } });
    expect(supervisor.isIdle()).toBe(true);
  });
});

describe("unload()", () => {
  test("waits for the requests that run, and gives the leases back once the child has gone", async () => {
    const { supervisor, llama, clock, leases, makeReady, state } = setUp();
    await makeReady();
    const grant = await supervisor.acquire(NEVER);
    const unloaded = supervisor.unload();
    await clock.advance(1_000);
    expect([state(), llama.child.signals]).toEqual(["draining", []]);
    llama.child.deaf = true;
    grant.release();
    expect([state(), llama.child.signals, leases[0]?.released]).toEqual(["stopping", ["SIGTERM"], 0]);
    llama.child.exit(0);
    await unloaded;
    expect([state(), leases[0]?.released]).toEqual(["idle", 1]);
    expect(clock.pending()).toBe(0);
  });

  test("cuts requests that never end, and kills a child that does not end", async () => {
    const { supervisor, llama, clock, log, makeReady } = setUp();
    await makeReady();
    const grant = await supervisor.acquire(NEVER);
    llama.child.deaf = true;
    const unloaded = supervisor.unload();
    await clock.advance(30_000);
    expect(llama.child.signals).toEqual(["SIGTERM"]);
    await clock.advance(3_000);
    expect(llama.child.signals).toEqual(["SIGTERM", "SIGKILL"]);
    await unloaded;
    expect(log.lines()).toContain("warn llama-server does not end on SIGTERM: killing it");
    expect(await grant.failure()).toBeNull();
  });

  test("is refused, not left open, when a new request comes before the last one has ended", async () => {
    const { supervisor, makeReady, state } = setUp();
    await makeReady();
    const grant = await supervisor.acquire(NEVER);
    const unloaded = supervisor.unload();
    const next = await supervisor.acquire(NEVER);
    await expect(unloaded).rejects.toMatchObject({ code: "too_busy" });
    expect(state()).toBe("ready");
    grant.release();
    next.release();
    expect(state()).toBe("ready");
  });

  test("ends when the child has, also when somebody waits for the next launch", async () => {
    const { supervisor, llama, clock, leases, makeReady, state } = setUp();
    await makeReady();
    llama.child.deaf = true;
    const unloaded = supervisor.unload();
    const next = supervisor.acquire(NEVER);
    llama.children[0]?.exit(0);
    await unloaded;
    expect(state()).toBe("starting");
    await clock.advance(0);
    llama.child.load(GOOD_LOG);
    await clock.advance(100);
    await next;
    expect([llama.children.length, leases[0]?.released, leases[1]?.released]).toEqual([2, 1, 0]);
    // The owner wanted it: no failure, so no restart that one should be told of.
    expect(supervisor.snapshot().restarts).toBe(0);
  });

  test("during a load tells the waiters and ends the child", async () => {
    const { supervisor, llama, clock, leases, state } = setUp();
    const grant = supervisor.acquire(NEVER);
    await clock.advance(0);
    const unloaded = supervisor.unload();
    await expect(grant).rejects.toMatchObject({ code: "model_loading" });
    await unloaded;
    expect([state(), llama.child.signals, leases[0]?.released]).toEqual(["idle", ["SIGTERM"], 1]);
  });

  test("while a port is looked for: nothing is spawned", async () => {
    const { supervisor, llama, clock, leases, state } = setUp();
    const gate = Promise.withResolvers<void>();
    llama.portGate = gate.promise;
    const grant = supervisor.acquire(NEVER);
    await clock.advance(0);
    const unloaded = supervisor.unload();
    await expect(grant).rejects.toMatchObject({ code: "model_loading" });
    expect(state()).toBe("stopping");
    gate.resolve();
    await unloaded;
    expect([state(), llama.children.length, leases[0]?.released]).toEqual(["idle", 0, 1]);
  });

  test("of what is not loaded is over at once", async () => {
    const { supervisor, state } = setUp();
    await supervisor.unload();
    expect(state()).toBe("idle");
  });
});

describe("close()", () => {
  test("waits for running requests, ends the child, and refuses all that come later", async () => {
    const { supervisor, clock, makeReady, state } = setUp();
    await makeReady();
    const grant = await supervisor.acquire(NEVER);
    const closed = supervisor.close();
    await expect(supervisor.acquire(NEVER)).rejects.toMatchObject({ code: "shutting_down" });
    grant.release();
    await closed;
    expect(state()).toBe("closed");
    await expect(supervisor.acquire(NEVER)).rejects.toMatchObject({ code: "shutting_down" });
    expect(clock.pending()).toBe(0);
  });

  test("while it is planned: the plan is given up, and leases that come of it go back", async () => {
    const planning = Promise.withResolvers<void>();
    const signals: AbortSignal[] = [];
    const world = setUp(async (signal) => {
      signals.push(signal);
      await planning.promise;
      return await world.prepareNow();
    });
    const { supervisor, clock, leases, llama, state } = world;
    const grant = supervisor.acquire(NEVER);
    await clock.advance(0);
    const closed = supervisor.close();
    await expect(grant).rejects.toMatchObject({ code: "shutting_down" });
    await closed;
    expect([state(), signals[0]?.aborted]).toEqual(["closed", true]);
    planning.resolve();
    await clock.advance(0);
    expect([leases[0]?.released, llama.children.length]).toEqual([1, 0]);
  });
});
