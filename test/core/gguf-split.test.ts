/** Split models: names and merging. */
import { describe, expect, test } from "bun:test";
import { meta } from "../../src/core/gguf-encode.ts";
import { mergeParts, partNames, partOf, splitOf } from "../../src/core/gguf-split.ts";
import { headerOf, tinyModel, zeros } from "../fixtures/gguf-model.ts";

function part(index: number, count: number, tensors: number) {
  const keys = {
    "split.no": meta.u16(index),
    "split.count": meta.u16(count),
    "split.tensors.count": meta.i32(tensors),
  };
  return { keys };
}

const first = headerOf(tinyModel(part(0, 2, 8)));
const second = headerOf({ metadata: Object.entries(part(1, 2, 8).keys), tensors: [zeros("last.weight", [32])] });

describe("splitOf()", () => {
  test("is null for a whole model, also when it says that it is one of one", () => {
    expect(splitOf(headerOf(tinyModel()))).toBeNull();
    expect(splitOf(headerOf(tinyModel(part(0, 1, 7))))).toBeNull();
  });

  test("gives number, count and tensors", () => {
    expect(splitOf(second)).toEqual({ index: 1, count: 2, tensors: 8 });
  });
});

describe("partNames()", () => {
  const split = { index: 1, count: 3, tensors: 8 };

  test("names all parts from any one", () => {
    const names = ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"];
    expect(partNames("m-00002-of-00003.gguf", split)).toEqual({ ok: true, names });
    expect(partOf("m-00002-of-00003.gguf")).toEqual({ base: "m", index: 1, count: 3 });
  });

  test("refuses a renamed part and says which name it needs", () => {
    const result = partNames("model.gguf", split);
    expect(result).toMatchObject({ ok: false, reason: expect.stringContaining("NAME-00002-of-00003.gguf") });
  });

  test("refuses a name that says another number than the header", () => {
    const reason = "header says part 2 of 3, file name says part 1 of 3";
    expect(partNames("m-00001-of-00003.gguf", split)).toEqual({ ok: false, reason });
  });

  test("refuses thousands of parts", () => {
    expect(partNames("m-00002-of-60000.gguf", { ...split, count: 60_000 })).toMatchObject({ ok: false });
  });
});

describe("mergeParts()", () => {
  test("takes the first part's metadata, everybody's tensors and the sum of the bytes", () => {
    const result = mergeParts([first, second]);
    if (!result.ok) throw new Error(result.reason);
    expect(result.header.tensors.map((tensor) => tensor.name)).toContain("last.weight");
    expect(result.header.tensors).toHaveLength(8);
    expect(result.header.fileBytes).toBe(first.fileBytes + second.fileBytes);
    expect(result.header.metadata.get("general.architecture")).toBe("llama");
  });

  test("refuses parts in another order, of another model, or with a tensor too few", () => {
    expect(mergeParts([second, first])).toMatchObject({ ok: false });
    expect(mergeParts([first, first])).toMatchObject({ ok: false });
    expect(mergeParts([headerOf(tinyModel(part(0, 2, 9))), second])).toMatchObject({
      ok: false,
      reason: "parts hold 8 tensors together, the first announces 9",
    });
  });

  test("refuses a tensor that lies in two parts", () => {
    const twice = headerOf({
      metadata: Object.entries(part(1, 2, 8).keys),
      tensors: [zeros("token_embd.weight", [32])],
    });
    expect(mergeParts([first, twice])).toEqual({ ok: false, reason: "a tensor lies in two parts" });
  });
});
