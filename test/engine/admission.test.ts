/** Admission: every waiter is answered exactly once, and a grant counts until it is given back, once. */
import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { createAdmission, type Target } from "../../src/engine/admission.ts";
import { createFakeClock } from "../fakes/clock.ts";

const NEVER = new AbortController().signal;
const ERROR = new SynapticError("coordinator_failed", "it broke");

function setUp() {
  const clock = createFakeClock();
  let emptied = 0;
  const admission = createAdmission(clock, () => void emptied++);
  const gone = new AbortController();
  let cause: SynapticError | null = null;
  const target: Target = {
    url: "http://127.0.0.1:1",
    apiKey: "secret",
    gone: gone.signal,
    why: () => cause,
    suspect: () => {},
  };
  const die = (error: SynapticError | null) => {
    cause = error;
    gone.abort();
  };
  return { clock, admission, target, die, emptied: () => emptied };
}

describe("waiters", () => {
  test("are all let in by one grantAll(), those who come later are not", async () => {
    const { admission, target } = setUp();
    const early = [admission.wait(NEVER), admission.wait(NEVER)];
    admission.grantAll(target);
    const late = admission.wait(NEVER);
    expect((await Promise.all(early)).map(({ url, apiKey }) => [url, apiKey])).toEqual([
      ["http://127.0.0.1:1", "secret"],
      ["http://127.0.0.1:1", "secret"],
    ]);
    expect([admission.busy(), admission.waiting()]).toEqual([2, 1]);
    admission.rejectAll(ERROR);
    await expect(late).rejects.toBe(ERROR);
    expect([admission.busy(), admission.waiting()]).toEqual([2, 0]);
  });

  test("leave with their own signal, and are then neither let in nor counted", async () => {
    const { admission, target } = setUp();
    const leaving = new AbortController();
    const left = admission.wait(leaving.signal);
    leaving.abort(new Error("gone"));
    await expect(left).rejects.toThrow("gone");
    admission.grantAll(target);
    expect([admission.busy(), admission.waiting()]).toEqual([0, 0]);
  });

  test("whose signal has fired before are not let in at all", async () => {
    const { admission } = setUp();
    await expect(admission.wait(AbortSignal.abort(new Error("gone")))).rejects.toThrow("gone");
    expect(admission.waiting()).toBe(0);
  });

  test("once let in keep their place when their signal fires", async () => {
    const { admission, target } = setUp();
    const leaving = new AbortController();
    const granted = admission.wait(leaving.signal);
    admission.grantAll(target);
    leaving.abort();
    (await granted).release();
    expect(admission.busy()).toBe(0);
  });
});

describe("a grant", () => {
  test("is given back once, however often it is released; the last one tells", async () => {
    const { admission, target, emptied } = setUp();
    const grants = [admission.wait(NEVER), admission.wait(NEVER)];
    admission.grantAll(target);
    const [first, second] = await Promise.all(grants);
    first?.release();
    first?.release();
    expect([admission.busy(), emptied()]).toEqual([1, 0]);
    second?.release();
    second?.release();
    expect([admission.busy(), emptied()]).toEqual([0, 1]);
  });

  test("remembers when it was used last", async () => {
    const { admission, target, clock } = setUp();
    const waiting = admission.wait(NEVER);
    admission.grantAll(target);
    const grant = await waiting;
    await clock.advance(5_000);
    grant.release();
    await clock.advance(5_000);
    expect(clock.now() - admission.lastUsed()).toBe(5_000);
  });

  test("tells why its coordinator has gone: before, soon after, or not at all", async () => {
    const { admission, target, clock, die } = setUp();
    const waiting = admission.wait(NEVER);
    admission.grantAll(target);
    const grant = await waiting;
    const alive = grant.failure();
    await clock.advance(1_000);
    expect(await alive).toBeNull();
    const dying = grant.failure();
    await clock.advance(20);
    die(ERROR);
    expect(await dying).toBe(ERROR);
    expect(await grant.failure()).toBe(ERROR);
    expect(clock.pending()).toBe(0);
  });
});

describe("load()", () => {
  test("shows slots in use, and who waits for one or for the load", async () => {
    const { admission, target, clock } = setUp();
    for (let i = 0; i < 6; i++) void admission.wait(NEVER);
    await clock.advance(70);
    void admission.wait(NEVER);
    await clock.advance(30);
    expect(admission.load(4)).toEqual({ slots: { total: 4, busy: 0 }, queue: { length: 7, oldestMs: 100 } });
    admission.grantAll(target);
    expect(admission.load(4)).toEqual({ slots: { total: 4, busy: 4 }, queue: { length: 3, oldestMs: null } });
  });
});
