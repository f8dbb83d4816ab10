/** decideSwaps(): who loads, who goes, who waits, and when to look again. The laws: swap-laws.test.ts. */
import { describe, expect, test } from "bun:test";
import { decideSwaps } from "../../src/core/swap.ts";
import { type Fits, type LoadedModel, SWAP_RULES, type SwapModel } from "../../src/core/swap-types.ts";
import { fewest } from "../../src/core/swap-victims.ts";
import { type SimRequest, simulate } from "./swap-simulator.ts";

const NOW = 1_000_000;

function queued(name: string, waitedMs = 0, known = true): SwapModel {
  return { tag: "queued", name, since: NOW - waitedMs, known };
}

function loaded(name: string, more: Partial<LoadedModel> = {}): LoadedModel {
  const past = NOW - 60_000;
  return { tag: "loaded", name, pinned: false, since: past, idle: true, usedAt: past, keepUntil: null, ...more };
}

/** In use, and for so long. */
function busy(name: string, sinceMs = 60_000): LoadedModel {
  return loaded(name, { idle: false, since: NOW - sinceMs, usedAt: NOW - sinceMs });
}

/** Slots that each model takes: by the digit at the end of its name, else one. */
function decide(slots: number, ...models: readonly SwapModel[]) {
  const size = (name: string) => Number(/\d$/.exec(name)?.[0] ?? 1);
  const fits: Fits = (wanted, without) => {
    const holders = models.filter(({ tag, name }) => tag !== "queued" && !without.includes(name));
    return [...holders.map(({ name }) => name), ...wanted].reduce((sum, name) => sum + size(name), 0) <= slots;
  };
  return decideSwaps({ now: NOW, models, fits, rules: SWAP_RULES });
}

function leaving({ leave }: ReturnType<typeof decide>): readonly string[] {
  return leave.map(({ model }) => model);
}

describe("a turn", () => {
  test("goes to the one that has waited longest of those that fit", () => {
    expect(decide(2, queued("a", 5), queued("b", 9), queued("c3", 20))).toMatchObject({ turn: "b", leave: [] });
  });

  test("goes to a model whose header nobody has read yet, since only that tells", () => {
    expect(decide(0, queued("a", 5, false)).turn).toBe("a");
  });

  test("waits while what is about to end makes enough room", () => {
    const decision = decide(1, queued("b"), { tag: "stopping", name: "a", pinned: false }, loaded("c0"));
    expect(decision).toEqual({ leave: [], stay: [], turn: null, hopeless: [], lookAt: null });
  });

  test("of a younger one does not take the room that an older one has waited too long for", () => {
    const models = [queued("b2", 11_000), queued("c", 1_000), busy("a", 5_000)];
    expect(decide(2, ...models)).toMatchObject({ turn: null, leave: [], lookAt: NOW + 9_000 });
    expect(decide(2, queued("b2", 11_000), busy("a", 5_000))).toMatchObject({ leave: [], lookAt: NOW + 25_000 });
    expect(decide(3, ...models).turn).toBe("b2");
    // What it cannot use anyway is free for others.
    expect(decide(3, queued("b2", 11_000), queued("c", 1_000), busy("a2", 5_000)).turn).toBe("c");
    // Before, it may: what is free serves nobody meanwhile.
    expect(decide(2, queued("b2", 9_000), queued("c", 1_000), busy("a", 5_000)).turn).toBe("c");
  });

  test("of a younger one does not take the room that is being made for an older one", () => {
    const draining = { tag: "draining", name: "a", pinned: false, to: "b2" } as const;
    expect(decide(2, queued("b2", 11_000), queued("c", 1_000), draining).turn).toBeNull();
    const larger = { ...draining, name: "a2", to: "b3" } as const;
    expect(decide(3, queued("b3", 11_000), queued("c", 1_000), larger).turn).toBeNull();
    expect(decide(4, queued("b3", 11_000), queued("c", 1_000), larger).turn).toBe("c");
  });
});

describe("idle models", () => {
  test("end at once for one that waits, the least recently used first", () => {
    const decision = decide(2, queued("c"), loaded("a", { usedAt: NOW - 1_000 }), loaded("b", { usedAt: NOW - 2_000 }));
    expect(decision.leave).toEqual([{ model: "b", to: "c", why: "unloading b to make room for c" }]);
    expect(decision.turn).toBeNull();
  });

  test("end as few as possible: one that is large enough rather than two", () => {
    expect(leaving(decide(4, queued("d2"), loaded("a"), loaded("b"), loaded("c2", { usedAt: NOW - 1_000 })))).toEqual([
      "c2",
    ]);
    expect(leaving(decide(3, queued("d2"), loaded("a"), loaded("b"), loaded("c", { usedAt: NOW - 1_000 })))).toEqual([
      "a",
      "b",
    ]);
  });

  test("do not end where that would not make enough room", () => {
    expect(leaving(decide(3, queued("d3"), loaded("a"), busy("b2")))).toEqual([]);
  });

  test("stay a moment after their last answer, as a client that talks in turns asks again", () => {
    const justUsed = loaded("a", { usedAt: NOW - 100 });
    expect(decide(1, queued("b"), justUsed)).toMatchObject({ leave: [], lookAt: NOW + 400 });
    expect(leaving(decide(1, queued("b", 10_000), justUsed))).toEqual(["a"]);
  });

  test("end when their time is up, and not before, if they are neither in use nor pinned", () => {
    expect(decide(1, loaded("a", { keepUntil: NOW + 5_000 }))).toMatchObject({ leave: [], lookAt: NOW + 5_000 });
    expect(decide(1, loaded("a", { keepUntil: NOW })).leave).toEqual([
      { model: "a", to: null, why: "unloading a: not used for 1 min 00 s" },
    ]);
    expect(leaving(decide(1, loaded("a", { keepUntil: NOW, idle: false })))).toEqual([]);
    expect(leaving(decide(1, loaded("a", { keepUntil: NOW, pinned: true })))).toEqual([]);
  });
});

describe("a model in use", () => {
  test("is left alone until the other has waited long enough, and it has been there long enough", () => {
    expect(decide(1, queued("b", 9_000), busy("a"))).toMatchObject({ leave: [], lookAt: NOW + 1_000 });
    expect(decide(1, queued("b", 12_000), busy("a", 20_000))).toMatchObject({ leave: [], lookAt: NOW + 10_000 });
    expect(decide(1, queued("b", 12_000), busy("a")).leave).toEqual([
      { model: "a", to: "b", why: "draining a: b has waited 12.0 s" },
    ]);
  });

  test("is not drained where an idle one will do", () => {
    expect(leaving(decide(2, queued("c", 12_000), busy("a"), loaded("b")))).toEqual(["b"]);
  });

  test("is drained once: what drains already is counted on", () => {
    const draining = { tag: "draining", name: "a", pinned: false, to: "c" } as const;
    expect(leaving(decide(2, queued("c", 12_000), draining, busy("b")))).toEqual([]);
    expect(leaving(decide(2, queued("c2", 12_000), { ...draining, to: "c2" }, busy("b")))).toEqual(["b"]);
    // For a second one that waits, a second one goes.
    expect(leaving(decide(2, queued("c", 12_000), queued("d", 11_000), draining, busy("b")))).toEqual(["b"]);
  });

  test("goes on when the one it drains for has found room, or is waited for no longer", () => {
    const draining = { tag: "draining", name: "a", pinned: false, to: "b" } as const;
    expect(decide(1, draining)).toMatchObject({ stay: ["a"], turn: null });
    expect(decide(2, draining, { tag: "loading", name: "b", pinned: false }).stay).toEqual(["a"]);
    expect(decide(1, draining, queued("b")).stay).toEqual([]);
    expect(decide(1, { ...draining, to: null }).stay).toEqual([]);
  });
});

describe("pinned models", () => {
  test("never go, however long somebody waits; whose room that is, is told", () => {
    const decision = decide(2, queued("c2", 60_000), loaded("a", { pinned: true }), loaded("b"));
    expect(decision).toEqual({
      leave: [],
      stay: [],
      turn: null,
      hopeless: [{ model: "c2", pinned: ["a"] }],
      lookAt: null,
    });
  });

  test("are not to blame for what would not fit without them either", () => {
    expect(decide(2, queued("c3"), loaded("a", { pinned: true })).hopeless).toEqual([{ model: "c3", pinned: [] }]);
  });

  test("leave the rest of the room to others", () => {
    expect(leaving(decide(2, queued("c"), loaded("a", { pinned: true }), loaded("b")))).toEqual(["b"]);
  });
});

describe("in sequence", () => {
  const models = ["a", "b", "c"].map((name) => ({ name, size: 1, loadMs: 5_000 }));
  const at = (times: Readonly<Record<number, string>>): readonly SimRequest[] =>
    Object.entries(times).map(([ms, model]) => ({ at: Number(ms), model, serviceMs: 1_000 }));

  test("A B A A C takes three loads, not four or five", () => {
    const requests = at({ 0: "a", 100: "b", 200: "a", 300: "a", 400: "c" });
    const { served, loads } = simulate({ slots: 1, models, requests, rules: SWAP_RULES });
    expect(loads).toBe(3);
    expect(served.map(({ model }) => model)).toEqual(["a", "a", "a", "b", "c"]);
  });

  test("steady requests for A do not keep B out: it comes after A's residency, and then stays its own", () => {
    const steady = Array.from({ length: 400 }, (_, index) => ({ at: index * 500, model: "a", serviceMs: 1_000 }));
    const requests = [...steady, { at: 20_000, model: "b", serviceMs: 1_000 }];
    const { served, loads } = simulate({ slots: 1, models, requests, rules: SWAP_RULES });
    const b = served.find(({ model }) => model === "b");
    // Loaded at 5 s; drained at 35 s, within a second and a half of answers and ends; B loads for 5 s.
    expect(b?.startedAt).toBeWithin(40_000, 43_000);
    expect(loads).toBe(3);
    expect(served).toHaveLength(401);
  });

  test("two clients that talk in turns, each with its own model, do not swap at every turn", () => {
    const turns = (model: string, first: number): readonly SimRequest[] =>
      Array.from({ length: 100 }, (_, index) => ({ at: first + index * 1_100, model, serviceMs: 1_000 }));
    const requests = [...turns("a", 0), ...turns("b", 50)];
    const { loads } = simulate({ slots: 1, models, requests, rules: SWAP_RULES });
    expect(loads).toBeLessThanOrEqual(6);
  });
});

describe("fewest()", () => {
  test("finds one, then two, then some of which none could be left out", () => {
    const sizes: Readonly<Record<string, number>> = { a: 1, b: 1, c: 2, d: 4, e: 1 };
    const all = Object.keys(sizes);
    const choose = (needed: number) =>
      fewest(all, (some) => some.reduce((sum, name) => sum + (sizes[name] ?? 0), 0) >= needed);
    expect([1, 2, 3, 4, 5, 6].map(choose)).toEqual([["a"], ["c"], ["d"], ["d"], ["a", "d"], ["c", "d"]]);
    expect(choose(7)).toEqual(["a", "c", "d"]);
    expect(choose(9)).toEqual(["a", "b", "c", "d", "e"]);
    expect(choose(10)).toBeNull();
  });
});
