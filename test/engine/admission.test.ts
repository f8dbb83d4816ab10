/** Admission: every waiter is answered exactly once, slots are never given twice, and keys take turns. */
import { describe, expect, test } from "bun:test";
import type { QueueConfig } from "../../src/core/config-types.ts";
import { SynapticError } from "../../src/core/errors.ts";
import { Admission, type Ask, type LookAtPlace } from "../../src/engine/admission.ts";
import type { Grant, Target } from "../../src/engine/grant.ts";
import { createFakeClock } from "../fakes/clock.ts";

const NEVER = new AbortController().signal;
const ERROR = new SynapticError("coordinator_failed", "it broke");
const RULES: QueueConfig = { perModel: 8, perKey: 5, longestWaitMs: 60_000 };

interface Process {
  readonly target: Target;
  die(error: SynapticError | null): void;
}

function processAt(url: string): Process {
  const gone = new AbortController();
  let cause: SynapticError | null = null;
  return {
    target: { url, apiKey: "secret", gone: gone.signal, why: () => cause, suspect: () => {} },
    die(error) {
      cause = error;
      gone.abort();
    },
  };
}

function setUp(rules: Partial<QueueConfig> = {}) {
  const clock = createFakeClock();
  const state = { emptied: 0, loading: false };
  const admission = new Admission(clock, {
    model: "m",
    rules: { ...RULES, ...rules },
    isLoading: () => state.loading,
    onEmpty: () => void state.emptied++,
  });
  const first = processAt("http://127.0.0.1:1");
  /** Names of those that got their slot, in that order. */
  const served: string[] = [];
  const ask = async (name: string, more: Ask = {}): Promise<Grant> => {
    const grant = await admission.wait(NEVER, more);
    served.push(name);
    return grant;
  };
  const counts = () => [admission.busy(), admission.waiting()];
  return { clock, admission, ...first, state, served, ask, counts };
}

/** The promise's error, now; fails when it has none. */
async function refused(promise: Promise<unknown>): Promise<SynapticError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof SynapticError) return error;
  throw new Error(`Expected a refusal, got ${error}`);
}

describe("slots", () => {
  test("are all taken before anybody waits, and each that is given back goes to the next", async () => {
    const { admission, target, served, ask, counts } = setUp();
    admission.open(target, 2);
    const [a, b] = [await ask("a"), await ask("b")];
    void ask("c");
    void ask("d");
    await Promise.resolve();
    expect([served, counts()]).toEqual([
      ["a", "b"],
      [2, 2],
    ]);
    a.release();
    a.release();
    await Promise.resolve();
    expect([served, counts()]).toEqual([
      ["a", "b", "c"],
      [2, 1],
    ]);
    b.release();
    await Promise.resolve();
    expect([served, counts()]).toEqual([
      ["a", "b", "c", "d"],
      [2, 0],
    ]);
  });

  test("are given to those who waited for the load, as many as there are", async () => {
    const { admission, target, served, ask, counts } = setUp();
    for (const name of ["a", "b", "c"]) void ask(name);
    expect(counts()).toEqual([0, 3]);
    admission.open(target, 2);
    await Promise.resolve();
    expect([served, counts()]).toEqual([
      ["a", "b"],
      [2, 1],
    ]);
  });

  test("are counted once for one coordinator, however often it is opened", async () => {
    const { admission, target, ask, counts } = setUp();
    admission.open(target, 2);
    await ask("a");
    admission.shut();
    void ask("b");
    void ask("c");
    expect(counts()).toEqual([1, 2]);
    admission.open({ ...target }, 2);
    admission.open({ ...target }, 2);
    expect(counts()).toEqual([2, 1]);
  });

  test("of the next coordinator are all free, though the last one's requests still end", async () => {
    const { admission, target, die, served, ask, counts } = setUp();
    admission.open(target, 2);
    const old = [await ask("a"), await ask("b")];
    void ask("c");
    void ask("d");
    void ask("e");
    admission.shut();
    die(ERROR);
    for (const grant of old) expect(await grant.failure()).toBe(ERROR);
    expect([served, counts()]).toEqual([
      ["a", "b"],
      [2, 3],
    ]);
    admission.open(processAt("http://127.0.0.1:2").target, 2);
    await Promise.resolve();
    expect([served, counts()]).toEqual([
      ["a", "b", "c", "d"],
      [4, 1],
    ]);
    for (const grant of old) grant.release();
    expect(counts()).toEqual([2, 1]);
  });

  test("tell when the last one was given back, but not while somebody takes it over", async () => {
    const { admission, target, state, ask } = setUp();
    admission.open(target, 1);
    const a = await ask("a");
    const next = ask("b");
    a.release();
    expect(state.emptied).toBe(0);
    (await next).release();
    expect(state.emptied).toBe(1);
  });

  test("remember when one was used last", async () => {
    const { admission, target, clock, ask } = setUp();
    admission.open(target, 1);
    const grant = await ask("a");
    await clock.advance(5_000);
    grant.release();
    await clock.advance(5_000);
    expect(clock.now() - admission.lastUsed()).toBe(5_000);
  });
});

describe("who waits", () => {
  test("goes on waiting while it is shut, in the same order", async () => {
    const { admission, target, served, ask } = setUp();
    admission.open(target, 1);
    const a = await ask("a");
    void ask("b");
    admission.shut();
    void ask("c");
    a.release();
    await Promise.resolve();
    expect(served).toEqual(["a"]);
    admission.open(target, 2);
    await Promise.resolve();
    expect(served).toEqual(["a", "b"]);
  });

  test("leaves with its own signal, at once, and the next one moves up", async () => {
    const { admission, target, clock, served, ask, counts } = setUp();
    admission.open(target, 1);
    const a = await ask("a");
    const leaving = new AbortController();
    const left = admission.wait(leaving.signal);
    const looks: LookAtPlace[] = [];
    void ask("b", { onWait: (look) => looks.push(look) });
    expect(looks[0]?.()?.position).toBe(2);
    leaving.abort(new Error("gone"));
    expect(counts()).toEqual([1, 1]);
    expect(looks[0]?.()?.position).toBe(1);
    await expect(left).rejects.toThrow("gone");
    a.release();
    await Promise.resolve();
    expect(served).toEqual(["a", "b"]);
    expect(clock.pending()).toBe(0);
  });

  test("is not let in at all when its signal has fired before", async () => {
    const { admission, target, counts } = setUp();
    admission.open(target, 1);
    await expect(admission.wait(AbortSignal.abort(new Error("gone")))).rejects.toThrow("gone");
    expect(counts()).toEqual([0, 0]);
  });

  test("keeps its slot when its signal fires after it was let in", async () => {
    const { admission, target, counts } = setUp();
    const leaving = new AbortController();
    const granted = admission.wait(leaving.signal);
    admission.open(target, 1);
    leaving.abort();
    expect(counts()).toEqual([1, 0]);
    (await granted).release();
    expect(counts()).toEqual([0, 0]);
  });

  test("hears the one reason when all are rejected, and who holds a slot does not", async () => {
    const { admission, target, clock, ask, counts } = setUp();
    admission.open(target, 1);
    await ask("a");
    const waiting = [admission.wait(NEVER), admission.wait(NEVER, { wants: "load" }), admission.wait(NEVER)];
    admission.rejectAll(ERROR);
    await expect(waiting[0]).rejects.toBe(ERROR);
    expect((await waiting[1])?.url).toBe(target.url);
    await expect(waiting[2]).rejects.toBe(ERROR);
    expect(counts()).toEqual([1, 0]);
    expect(clock.pending()).toBe(0);
  });

  test("waits for one turn of another key, though that one has many requests there", async () => {
    const { admission, target, served, ask } = setUp();
    admission.open(target, 1);
    let grant = await ask("a0", { key: "a" });
    const rest = [1, 2, 3, 4].map((n) => ask(`a${n}`, { key: "a" }));
    rest.push(ask("b1", { key: "b" }), ask("anyone"));
    for (const _ of rest) {
      grant.release();
      await Promise.resolve();
      const next = rest[["a1", "a2", "a3", "a4", "b1", "anyone"].indexOf(served.at(-1) ?? "")];
      if (next) grant = await next;
    }
    expect(served).toEqual(["a0", "a1", "b1", "anyone", "a2", "a3", "a4"]);
  });

  test("comes first when it had a slot of a coordinator that died, even if the queue is full", async () => {
    const { admission, target, served, ask } = setUp({ perModel: 2 });
    void ask("a", { key: "a" });
    void ask("b", { key: "b" });
    void ask("again", { key: "b", again: true });
    admission.open(target, 1);
    await Promise.resolve();
    expect(served).toEqual(["again"]);
  });
});

describe("a queue that is full", () => {
  test("refuses at once, with the time until such a turn would come", async () => {
    const { admission, target, clock, ask, counts } = setUp();
    admission.open(target, 2);
    const first = await ask("first");
    await clock.advance(4_000);
    first.release();
    void ask("a");
    void ask("b");
    for (let i = 0; i < RULES.perModel; i++) void ask("more");
    const error = await refused(admission.wait(NEVER));
    expect(error).toMatchObject({ code: "too_busy", retryAfterMs: (RULES.perModel + 1) * 2_000 });
    expect(error.message).toBe("Cannot take the request: the queue for the model 'm' is full (8 of 8)");
    expect(counts()).toEqual([2, RULES.perModel]);
  });

  test("of one key refuses that key only", async () => {
    const { admission, target, ask } = setUp();
    admission.open(target, 1);
    for (let i = 0; i < 1 + RULES.perKey; i++) void ask("a", { key: "a" });
    const error = await refused(admission.wait(NEVER, { key: "a" }));
    expect(error.message).toBe(
      "Cannot take the request: this key's part of the queue for the model 'm' is full (5 of 5)",
    );
    expect(error.retryAfterMs).toBeUndefined();
    void ask("b", { key: "b" });
    expect(admission.waiting()).toBe(RULES.perKey + 1);
  });

  test("does not keep anybody from a load", async () => {
    const { admission, target, ask } = setUp({ perModel: 1 });
    void ask("a");
    const load = admission.wait(NEVER, { wants: "load" });
    admission.open(target, 1);
    expect((await load).url).toBe(target.url);
  });
});

describe("the longest wait", () => {
  test("ends in too_busy, and frees the place", async () => {
    const { admission, target, clock, ask, counts } = setUp();
    admission.open(target, 1);
    await ask("a");
    const waiting = refused(admission.wait(NEVER));
    await clock.advance(59_999);
    expect(counts()).toEqual([1, 1]);
    await clock.advance(1);
    expect(await waiting).toMatchObject({
      code: "too_busy",
      message: "No slot of the model 'm' was free for this request within 1 min 00 s",
    });
    expect(counts()).toEqual([1, 0]);
  });

  test("holds for a model that is not loaded too: it may never have its turn", async () => {
    const { admission, clock } = setUp();
    const waiting = refused(admission.wait(NEVER));
    await clock.advance(60_000);
    expect((await waiting).code).toBe("too_busy");
  });

  test("does not count the load, and begins when the model is ready", async () => {
    const { admission, target, clock, state, ask, counts } = setUp();
    state.loading = true;
    void ask("a");
    const waiting = refused(admission.wait(NEVER));
    await clock.advance(3_630_000);
    expect(counts()).toEqual([0, 2]);
    state.loading = false;
    admission.open(target, 1);
    await clock.advance(59_999);
    expect(counts()).toEqual([1, 1]);
    await clock.advance(1);
    expect((await waiting).code).toBe("too_busy");
  });
});

describe("who only wants a load", () => {
  test("takes no slot and no turn, and waits for neither", async () => {
    const { admission, target, served, ask, counts } = setUp();
    void ask("load", { wants: "load" });
    void ask("a");
    void ask("b");
    expect(counts()).toEqual([0, 3]);
    admission.open(target, 1);
    void ask("later load", { wants: "load" });
    await Promise.resolve();
    await Promise.resolve();
    expect(served.toSorted()).toEqual(["a", "later load", "load"]);
    expect(counts()).toEqual([1, 1]);
  });
});

describe("a grant", () => {
  test("tells why its coordinator has gone: before, soon after, or not at all", async () => {
    const { admission, target, clock, die, ask } = setUp();
    admission.open(target, 1);
    const grant = await ask("a");
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

describe("a place in the queue", () => {
  test("is known while the model is ready, with an estimate once a slot was given back", async () => {
    const { admission, target, clock, ask } = setUp();
    const looks: LookAtPlace[] = [];
    const onWait = (look: LookAtPlace) => void looks.push(look);
    const first = ask("a", { onWait });
    void ask("b", { onWait });
    void ask("c", { onWait });
    expect(looks.map((look) => look())).toEqual([null, null, null]);
    admission.open(target, 1);
    expect(looks.map((look) => look())).toEqual([
      null,
      { position: 1, estimateMs: null },
      { position: 2, estimateMs: null },
    ]);
    await clock.advance(6_000);
    (await first).release();
    expect(looks.map((look) => look())).toEqual([null, null, { position: 1, estimateMs: 6_000 }]);
    admission.shut();
    expect(looks[2]?.()).toBeNull();
  });

  test("does not learn from a slot that its coordinator's death cut short", async () => {
    const { admission, target, die, ask } = setUp();
    admission.open(target, 1);
    const grant = await ask("a");
    die(ERROR);
    grant.release();
    admission.open(processAt("http://127.0.0.1:2").target, 1);
    await ask("b");
    let look: LookAtPlace = () => null;
    void ask("c", {
      onWait(given) {
        look = given;
      },
    });
    expect(look()).toEqual({ position: 1, estimateMs: null });
  });
});

describe("load()", () => {
  test("shows slots that are held, and who waits for one or for the load", async () => {
    const { admission, target, clock, ask } = setUp();
    for (let i = 0; i < 6; i++) void ask("a");
    await clock.advance(70);
    void ask("b");
    await clock.advance(30);
    expect(admission.load(4)).toEqual({ slots: { total: 4, busy: 0 }, queue: { length: 7, oldestMs: 100 } });
    expect(admission.oldestMs()).toBe(100);
    admission.open(target, 4);
    expect(admission.load(4)).toEqual({ slots: { total: 4, busy: 4 }, queue: { length: 3, oldestMs: 100 } });
  });

  test("shows what one that came now would wait, where all slots are held and that is known", async () => {
    const { admission, target, clock, ask } = setUp();
    admission.open(target, 1);
    const grant = await ask("a");
    await clock.advance(2_000);
    grant.release();
    expect(admission.load(1).queue).toEqual({ length: 0, oldestMs: null });
    await ask("b");
    expect(admission.load(1).queue).toEqual({ length: 0, oldestMs: null, estimateMs: 2_000 });
    void ask("c");
    expect(admission.load(1).queue).toEqual({ length: 1, oldestMs: 0, estimateMs: 4_000 });
  });

  test("shows no slot of a coordinator that has gone as held", async () => {
    const { admission, target, die, ask } = setUp();
    admission.open(target, 2);
    await ask("a");
    admission.shut();
    die(ERROR);
    expect(admission.load(2).slots).toEqual({ total: 2, busy: 0 });
  });
});
