/** What may be referred to later is kept within bounds, each key's apart. */
import { describe, expect, test } from "bun:test";
import { createItemMemory } from "../../src/engine/item-memory.ts";

describe("createItemMemory()", () => {
  test("finds an item under its key only, as often as asked", () => {
    const memory = createItemMemory();
    memory.remember("a", { id: "1", text: "x" });
    expect(memory.recall("a", "1")).toEqual({ id: "1", text: "x" });
    expect(memory.recall("a", "1")).toEqual({ id: "1", text: "x" });
    expect(memory.recall("b", "1")).toBeNull();
    expect(memory.recall(null, "1")).toBeNull();
  });

  test("lets go of what was least lately used when there are too many", () => {
    const memory = createItemMemory({ items: 2, characters: 1_000 });
    for (const id of ["1", "2"]) memory.remember(null, { id });
    memory.recall(null, "1");
    memory.remember(null, { id: "3" });
    expect(["1", "2", "3"].map((id) => memory.recall(null, id))).toEqual([{ id: "1" }, null, { id: "3" }]);
  });

  test("lets go of as many as it takes when they are too long, and takes none that is too long by itself", () => {
    const memory = createItemMemory({ items: 10, characters: 100 });
    for (const id of ["1", "2", "3"]) memory.remember(null, { id, text: "x".repeat(10) });
    memory.remember(null, { id: "4", text: "x".repeat(60) });
    expect(["1", "2", "3", "4"].map((id) => memory.recall(null, id) !== null)).toEqual([false, false, false, true]);
    memory.remember(null, { id: "5", text: "x".repeat(200) });
    expect(memory.recall(null, "5")).toBeNull();
    expect(memory.recall(null, "4")).not.toBeNull();
  });

  test("one key's many items do not push out another's", () => {
    const memory = createItemMemory({ items: 2, characters: 1_000 });
    memory.remember("a", { id: "1" });
    for (let i = 0; i < 10; i++) memory.remember("b", { id: `b${i}` });
    expect(memory.recall("a", "1")).toEqual({ id: "1" });
  });

  test("the same id again counts once", () => {
    const memory = createItemMemory({ items: 2, characters: 1_000 });
    for (let i = 0; i < 5; i++) memory.remember(null, { id: "1", i });
    memory.remember(null, { id: "2" });
    expect(memory.recall(null, "1")).toEqual({ id: "1", i: 4 });
  });
});
