/** Who waits for a slot of a ready coordinator, when that one is lost, unloaded or closed. */
import { describe, expect, test } from "bun:test";
import { dying, errorsOf, GONE, GOOD_LOG, NEVER, setUp } from "./supervisor-support.ts";

const SLOTS = 4;

/** All slots are held, and three requests wait. */
async function busyWorld() {
  const world = setUp();
  await world.makeReady();
  const held = await Promise.all(Array.from({ length: SLOTS }, () => world.supervisor.acquire(NEVER)));
  const queued = Array.from({ length: 3 }, () => world.supervisor.acquire(NEVER));
  return { ...world, held, queued };
}

describe("requests that wait for a slot", () => {
  test("stay in the queue when the coordinator dies, and are served by the next launch", async () => {
    const { supervisor, llama, clock, held, queued, state } = await busyWorld();
    dying(llama.child, GONE);
    await clock.advance(50);
    expect([state(), llama.children.length]).toEqual(["starting", 2]);
    expect(supervisor.snapshot()).toMatchObject({ slots: { busy: 0 }, queue: { length: 3 } });
    // Those that it served learn why it has gone, and one comes back.
    expect((await held[0]?.failure())?.code).toBe("coordinator_failed");
    for (const grant of held) grant.release();
    const again = supervisor.acquire(NEVER, { again: true });
    const late = supervisor.acquire(NEVER);
    llama.child.load(GOOD_LOG);
    await clock.advance(100);
    await Promise.all([again, ...queued]);
    expect(supervisor.snapshot()).toMatchObject({ state: "ready", slots: { busy: 4 }, queue: { length: 1 } });
    (await again).release();
    await late;
  });

  test("stay in the queue when a backend is lost, until the last launch has ended", async () => {
    const { llama, clock, leases, queued, state } = await busyWorld();
    llama.child.deaf = true;
    leases[0]?.lose("connection reset");
    expect([state(), llama.children.length]).toEqual(["stopping", 1]);
    dying(llama.child, GONE);
    await clock.advance(0);
    llama.child.load(GOOD_LOG);
    await clock.advance(100);
    expect((await Promise.all(queued)).map(({ url }) => url)).toHaveLength(3);
    expect([state(), llama.children.length]).toEqual(["ready", 2]);
  });

  test("hear the cause when the coordinator keeps dying", async () => {
    const { supervisor, llama, clock, queued } = await busyWorld();
    dying(llama.child, GONE);
    await clock.advance(50);
    llama.child.load(GOOD_LOG);
    await clock.advance(100);
    await Promise.all(queued);
    const more = [supervisor.acquire(NEVER), supervisor.acquire(NEVER)];
    dying(llama.child, GONE);
    await clock.advance(50);
    const [error] = await errorsOf(more);
    expect(error?.code).toBe("coordinator_failed");
    expect(supervisor.snapshot()).toMatchObject({ state: "failed", queue: { length: 0, oldestMs: null } });
  });

  test("come before an unload, which is refused", async () => {
    const { supervisor, held, queued, state } = await busyWorld();
    await expect(supervisor.unload()).rejects.toMatchObject({ code: "too_busy" });
    expect(state()).toBe("ready");
    for (const grant of held) grant.release();
    for (const grant of queued) (await grant).release();
    expect(supervisor.isIdle()).toBe(true);
  });

  test("are refused at once by a shutdown, while those that are served end", async () => {
    const { supervisor, llama, held, queued, state } = await busyWorld();
    llama.child.deaf = true;
    const closed = supervisor.close();
    const errors = await errorsOf(queued);
    expect(errors.map(({ code }) => code)).toEqual(["shutting_down", "shutting_down", "shutting_down"]);
    expect(state()).toBe("draining");
    for (const grant of held) grant.release();
    llama.child.exit(0);
    await closed;
    expect(state()).toBe("closed");
  });

  test("do not keep a load from hearing that the model is ready", async () => {
    const { supervisor } = await busyWorld();
    const { url } = await supervisor.acquire(NEVER, { wants: "load" });
    expect(url).toStartWith("http://127.0.0.1:");
    expect(supervisor.snapshot()).toMatchObject({ slots: { busy: 4 }, queue: { length: 3 } });
  });
});
