/** The supervisor when things go wrong: each failure has one cause, which all who wait are told, and an end. */
import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { DEAD, dying, errorsOf, GONE, GOOD_LOG, NEVER, setUp } from "./supervisor-support.ts";

describe("a load that fails", () => {
  test("tells all who wait the one cause, and those who come during the back-off", async () => {
    const { supervisor, llama, clock, log, leases, state } = setUp();
    const grants = Array.from({ length: 20 }, () => supervisor.acquire(NEVER));
    await clock.advance(0);
    llama.child.say("error: invalid argument: --kv-unified");
    llama.child.exit(1);
    const errors = await errorsOf(grants);
    expect(errors).toHaveLength(20);
    expect(new Set(errors.map(({ message }) => message))).toEqual(
      new Set(["Cannot load m: this llama-server does not know the flag --kv-unified"]),
    );
    expect([state(), leases[0]?.released]).toEqual(["failed", 1]);
    expect(log.lines().filter((line) => line.includes("--kv-unified"))).toHaveLength(1);
    await clock.advance(500);
    await expect(supervisor.acquire(NEVER)).rejects.toBe(errors[0]);
    await clock.advance(500);
    void supervisor.acquire(NEVER);
    await clock.advance(0);
    expect(llama.children).toHaveLength(2);
  });

  test("because of a backend: blames it, and plans again at once", async () => {
    const { supervisor, llama, clock, leases, failures, state } = setUp();
    const grant = supervisor.acquire(NEVER);
    await clock.advance(0);
    dying(llama.child, DEAD);
    await clock.advance(0);
    expect(failures.map(({ endpoint }) => endpoint)).toEqual(["10.0.0.2:50052"]);
    expect([state(), llama.children.length, leases[0]?.released]).toEqual(["starting", 2, 1]);
    llama.child.load(GOOD_LOG);
    await clock.advance(100);
    await grant;
    expect(supervisor.snapshot()).toMatchObject({ state: "ready", restarts: 1 });
  });

  test("because of backends again and again: three times, then all hear the last cause", async () => {
    const { supervisor, llama, clock, failures, leases, state } = setUp();
    llama.onSpawn = (child) => dying(child, DEAD);
    const grant = supervisor.acquire(NEVER);
    const [error] = await errorsOf([grant]);
    expect(error?.message).toBe("Cannot load m: backend 10.0.0.2:50052 refused the connection");
    expect([llama.children.length, failures.length, state()]).toEqual([3, 3, "failed"]);
    expect(leases.map(({ released }) => released)).toEqual([1, 1, 1]);
    await clock.advance(0);
  });

  test("because of a backend of nobody's: nobody is blamed, and it is not tried again", async () => {
    const { supervisor, llama, failures } = setUp();
    llama.onSpawn = (child) => dying(child, "Failed to connect to 10.9.9.9:1");
    await errorsOf([supervisor.acquire(NEVER)]);
    expect([llama.children.length, failures.map(({ endpoint }) => endpoint)]).toEqual([1, [null]]);
  });

  test("before it is spawned: the reason is the program's", async () => {
    const { supervisor, llama, leases, state } = setUp();
    llama.spawnError = new SynapticError(
      "coordinator_failed",
      "Cannot start llama-server at /usr/bin/llama-server: EACCES",
    );
    expect(await errorsOf([supervisor.acquire(NEVER)])).toEqual([llama.spawnError]);
    expect([state(), leases[0]?.released]).toEqual(["failed", 1]);
  });

  test("for want of a plan: refused, idle, and asked for anew by the next request", async () => {
    const refusal = new SynapticError("does_not_fit", "Cannot place m: too large");
    let asked = 0;
    const { supervisor, log, state } = setUp(async () => {
      asked++;
      throw refusal;
    });
    expect(await errorsOf([supervisor.acquire(NEVER), supervisor.acquire(NEVER)])).toEqual([refusal, refusal]);
    expect([state(), asked]).toEqual(["idle", 1]);
    expect(log.lines()).toEqual(["warn Cannot place m: too large"]);
    await errorsOf([supervisor.acquire(NEVER)]);
    expect(asked).toBe(2);
  });
});

describe("a start that hangs", () => {
  test("in its plan: failed, and leases that come too late go back", async () => {
    const planning = Promise.withResolvers<void>();
    const world = setUp(async () => {
      await planning.promise;
      return await world.prepareNow();
    });
    const { supervisor, clock, leases, llama, state } = world;
    const grant = errorsOf([supervisor.acquire(NEVER)]);
    await clock.advance(30_000);
    expect((await grant)[0]).toMatchObject({ code: "coordinator_timeout" });
    planning.resolve();
    await clock.advance(0);
    expect([state(), leases[0]?.released, llama.children.length]).toEqual(["failed", 1, 0]);
  });

  test("without a word: a backend accepts and stays silent; ended, killed if need be, and tried again", async () => {
    const { supervisor, llama, clock, state } = setUp();
    llama.onSpawn = (child) => {
      child.deaf = true;
    };
    const grant = errorsOf([supervisor.acquire(NEVER)]);
    await clock.advance(20_000);
    expect([state(), llama.child.signals]).toEqual(["stopping", ["SIGTERM"]]);
    await clock.advance(3_000);
    expect(llama.children.map(({ signals }) => signals)).toEqual([["SIGTERM", "SIGKILL"], []]);
    await clock.advance(2 * 23_000);
    const [error] = await grant;
    expect(error?.code).toBe("coordinator_timeout");
    expect(error?.message).toContain("a backend accepts connections but does not answer");
    expect([state(), llama.children.length]).toEqual(["failed", 3]);
  });

  test("before it has its memory: another client took a backend meanwhile; ended, and planned anew", async () => {
    const { supervisor, llama, clock, log } = setUp();
    void supervisor.acquire(NEVER);
    await clock.advance(0);
    llama.child.say("0.0 I load_tensors: loading model tensors, this can take a while... (load_mode = mmap)");
    await clock.advance(19_000);
    expect(llama.children.length).toBe(1);
    await clock.advance(6_000);
    expect([llama.children.length, supervisor.snapshot().phase]).toEqual([2, "greeting"]);
    expect(log.records.find(({ level }) => level === "warn")).toMatchObject({
      message: expect.stringMatching(/another client has perhaps taken it.*; trying again$/),
      // Several models load at the same time.
      fields: { model: "m" },
    });
  });

  test("in its load: ended after a time that grows with the model, two minutes for a small one", async () => {
    const { supervisor, llama, clock, state } = setUp();
    const grant = errorsOf([supervisor.acquire(NEVER)]);
    await clock.advance(0);
    llama.child.say("0.0 I load_tensors:   CPU_Mapped model buffer size =    42.33 MiB");
    await clock.advance(119_000);
    expect(state()).toBe("starting");
    await clock.advance(3_000);
    expect((await grant)[0]?.message).toContain("the load did not end in time");
    expect([state(), llama.children.length]).toEqual(["failed", 1]);
  });

  test("in its first completion: ended", async () => {
    const { supervisor, llama, clock, state } = setUp();
    const grant = errorsOf([supervisor.acquire(NEVER)]);
    await clock.advance(0);
    llama.child.completion = () => new Promise(() => {});
    llama.child.load(GOOD_LOG);
    await clock.advance(301_000);
    expect((await grant)[0]?.message).toContain("the first completion did not end in time");
    expect(state()).toBe("failed");
  });
});

describe("a load that is not what was planned", () => {
  test("is ended, with each difference in the error", async () => {
    const { supervisor, llama, clock, leases, state } = setUp();
    const grant = errorsOf([supervisor.acquire(NEVER)]);
    await clock.advance(0);
    llama.child.load(GOOD_LOG.filter((line) => !line.includes("10.0.0.2")));
    await clock.advance(1_200);
    const [error] = await grant;
    expect(error).toMatchObject({ code: "coordinator_failed" });
    expect(error?.message).toStartWith(
      "Cannot prove the sharding of m: 10.0.0.2:50052 holds nothing, planned 8 layers",
    );
    expect([state(), llama.child.signals, leases[0]?.released]).toEqual(["failed", ["SIGTERM"], 1]);
    expect(llama.requests).not.toContain("POST /completion");
  });

  test("or does not compute: ended, with what it answered", async () => {
    const { supervisor, llama, clock, state } = setUp();
    const grant = errorsOf([supervisor.acquire(NEVER)]);
    await clock.advance(0);
    llama.child.completion = async () => new Response('{"error":"out of memory"}', { status: 500 });
    llama.child.load(GOOD_LOG);
    await clock.advance(100);
    expect((await grant)[0]?.message).toBe('Cannot complete a first prompt with m: {"error":"out of memory"}');
    expect([state(), llama.child.signals]).toEqual(["failed", ["SIGTERM"]]);
  });

  test("or dies in its first completion: its exit says why, and another plan is tried", async () => {
    const { supervisor, llama, clock, failures, state } = setUp();
    const grant = supervisor.acquire(NEVER);
    await clock.advance(0);
    const [first] = llama.children;
    if (first) first.completion = () => new Promise(() => {});
    first?.load(GOOD_LOG);
    await clock.advance(100);
    first?.breakConnections();
    await clock.advance(20);
    first?.say(GONE);
    first?.exitLate(134);
    await clock.advance(0);
    expect(failures[0]?.error.message).toBe("Cannot load m: a backend went away while it was in use");
    expect([state(), llama.children.length]).toEqual(["starting", 2]);
    llama.child.load(GOOD_LOG);
    await clock.advance(100);
    await grant;
  });

  test("or breaks the connection and lives on: ended", async () => {
    const { supervisor, llama, clock, state } = setUp();
    const grant = errorsOf([supervisor.acquire(NEVER)]);
    await clock.advance(0);
    llama.child.completion = () => Promise.reject(new Error("connection reset"));
    llama.child.load(GOOD_LOG);
    await clock.advance(1_200);
    expect((await grant)[0]?.message).toBe("Cannot complete a first prompt with m: connection reset");
    expect(state()).toBe("failed");
  });
});
