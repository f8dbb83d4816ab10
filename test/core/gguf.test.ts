/** parseGgufHeader(): true files, every truncation, and files made to hurt. */
import { describe, expect, test } from "bun:test";
import { parseGgufHeader } from "../../src/core/gguf.ts";
import { concatBytes, encodeHeader, encodeString, encodeU32, encodeU64, meta } from "../../src/core/gguf-encode.ts";
import { bytesOf, headerOf, rawFile, rawTensor, tinyModel, WIDTH, zeros } from "../fixtures/gguf-model.ts";

const HUGE = 2n ** 60n;

function reasonFor(bytes: Uint8Array, fileBytes = bytes.length): string {
  const result = parseGgufHeader(bytes, fileBytes);
  return result.tag === "bad" ? result.reason : `not bad but ${result.tag}`;
}

function key(name: string, type: number, ...value: readonly Uint8Array[]): Uint8Array {
  return concatBytes([encodeString(name), encodeU32(type), ...value]);
}

function array(type: number, length: number | bigint): readonly Uint8Array[] {
  return [encodeU32(type), encodeU64(length)];
}

/** One tensor of 32 F32 weights unless told otherwise, its data included. */
function oneTensor(row: Uint8Array): Uint8Array {
  return concatBytes([rawFile({ tensorCount: 1, body: [row] }), new Uint8Array(512)]);
}

describe("parseGgufHeader()", () => {
  test("reads every kind of value", () => {
    const { metadata } = headerOf(
      tinyModel({
        keys: {
          small: meta.u16(513),
          signed: meta.i32(-7),
          half: meta.f32(0.5),
          yes: meta.bool(true),
          text: meta.string("wörld"),
          safe: meta.u64(2 ** 53 - 1),
          beyond: meta.u64(2n ** 63n),
        },
      }),
    );
    expect(metadata.get("small")).toBe(513);
    expect(metadata.get("signed")).toBe(-7);
    expect(metadata.get("half")).toBe(0.5);
    expect(metadata.get("yes")).toBe(true);
    expect(metadata.get("text")).toBe("wörld");
    expect(metadata.get("safe")).toBe(2 ** 53 - 1);
    expect(metadata.get("beyond")).toBe(2n ** 63n);
  });

  test("keeps short numeric arrays and only counts the others", () => {
    const long = Array.from({ length: 4097 }, (_, i) => i);
    const keys = {
      short: meta.i32s([8, 0, 2]),
      flags: meta.bools([true, false]),
      long: meta.i32s(long),
      texts: meta.strings(["a", "b"]),
    };
    const { metadata } = headerOf(tinyModel({ keys }));
    expect(metadata.get("short")).toEqual({ length: 3, items: [8, 0, 2] });
    expect(metadata.get("flags")).toEqual({ length: 2, items: [1, 0] });
    expect(metadata.get("long")).toEqual({ length: 4097, items: null });
    expect(metadata.get("texts")).toEqual({ length: 2, items: null });
  });

  test("computes tensor bytes from ggml's block sizes", () => {
    const { tensors } = headerOf(tinyModel({ tensors: [zeros("extra.weight", [WIDTH, 3], "Q8_0")] }));
    expect(tensors.at(-1)).toEqual({
      name: "extra.weight",
      shape: [WIDTH, 3],
      type: "Q8_0",
      bytes: (WIDTH / 32) * 34 * 3,
    });
    expect(tensors[0]).toEqual({ name: "token_embd.weight", shape: [WIDTH, 10], type: "F16", bytes: WIDTH * 10 * 2 });
  });

  test("reads version 2 and a larger alignment", () => {
    const bytes = oneTensor(rawTensor("a", [32], 0, 0));
    new DataView(bytes.buffer).setUint32(4, 2, true);
    expect(parseGgufHeader(bytes, bytes.length)).toMatchObject({ tag: "ok", header: { version: 2 } });
    const aligned = rawFile({ metadataCount: 1, body: [key("general.alignment", 4, encodeU32(64))] });
    expect(parseGgufHeader(aligned, aligned.length).tag).toBe("ok");
  });
});

describe("parseGgufHeader() of a prefix", () => {
  const texts = Array.from({ length: 3000 }, (_, i) => `a token of some length ${i}`);
  const file = tinyModel({ layers: 40, keys: { "tokenizer.ggml.tokens": meta.strings(texts) } });
  const bytes = bytesOf(file);
  const headerBytes = encodeHeader(file).length;

  test("asks for more, always beyond what it has and never beyond the file, until the header is whole", () => {
    expect(headerBytes).toBeGreaterThan(100_000);
    let [have, rounds] = [0, 0];
    for (;;) {
      const result = parseGgufHeader(bytes.subarray(0, have), bytes.length);
      if (result.tag === "ok") break;
      if (result.tag === "bad") throw new Error(result.reason);
      expect(result.atLeast).toBeGreaterThan(have);
      expect(result.atLeast).toBeLessThanOrEqual(headerBytes);
      have = Math.max(result.atLeast, Math.min(have * 2, bytes.length));
      rounds++;
    }
    expect(rounds).toBeLessThan(25);
  });

  test("asks for a large numeric array in one step", () => {
    const body = [key("numbers", 9, ...array(4, 1_000_000))];
    const prefix = rawFile({ metadataCount: 1, body });
    expect(parseGgufHeader(prefix, 5_000_000)).toEqual({ tag: "more", atLeast: prefix.length + 4_000_000 });
  });

  test("calls a file cut at any 4 KiB of its header truncated, and says how much is missing at least", () => {
    for (let size = 4096; size < headerBytes; size += 4096) {
      const reason = reasonFor(bytes.subarray(0, size));
      expect(reason).toStartWith("file is truncated: header needs at least ");
      expect(reason).toEndWith(` bytes, file has ${size}`);
      expect(Number(/at least (\d+)/.exec(reason)?.[1])).toBeGreaterThan(size);
    }
  });

  test("calls a file truncated whose last tensor ends beyond it, with both sizes", () => {
    const needed = headerBytes + (bytes.length - headerBytes);
    for (const size of [headerBytes, needed - 33]) {
      expect(reasonFor(bytes.subarray(0, headerBytes), size)).toMatch(/^file is truncated: needs \d+ bytes, has \d+$/);
    }
  });
});

describe("parseGgufHeader() refuses", () => {
  test("an empty file", () => expect(reasonFor(new Uint8Array(0))).toBe("file is empty"));

  test("another magic, readable or not", () => {
    expect(reasonFor(rawFile({ magic: "ABCD" }))).toBe('magic is "ABCD", expected "GGUF"');
    expect(reasonFor(new Uint8Array(24))).toBe('magic is 0x00000000, expected "GGUF"');
  });

  test("versions it does not know, and big-endian files", () => {
    expect(reasonFor(rawFile({ version: 1 }))).toBe("GGUF version is 1, expected 2 or 3");
    expect(reasonFor(rawFile({ version: 4 }))).toBe("GGUF version is 4, expected 2 or 3");
    expect(reasonFor(rawFile({ version: 0x03000000 }))).toContain("big-endian");
  });

  test("counts of 2^60", () => {
    expect(reasonFor(rawFile({ tensorCount: HUGE }))).toContain("tensors, at most 131072 allowed");
    expect(reasonFor(rawFile({ metadataCount: HUGE }))).toContain("metadata entries, at most 16384 allowed");
    const items = rawFile({ metadataCount: 1, body: [key("a", 9, ...array(4, HUGE))] });
    expect(reasonFor(items)).toContain("metadata key a announces");
    const texts = rawFile({ metadataCount: 1, body: [key("a", 9, ...array(8, HUGE))] });
    expect(reasonFor(texts)).toContain("metadata key a announces");
  });

  test("a string of 2^60 bytes, as key, as value and as item", () => {
    expect(reasonFor(rawFile({ metadataCount: 1, body: [encodeU64(HUGE)] }))).toContain(
      "a metadata key is a string of",
    );
    expect(reasonFor(rawFile({ metadataCount: 1, body: [key("a", 8, encodeU64(HUGE))] }))).toContain(
      "a is a string of",
    );
    const item = rawFile({ metadataCount: 1, body: [key("a", 9, ...array(8, 1), encodeU64(HUGE))] });
    expect(reasonFor(item)).toContain("an item of a is a string of");
  });

  test("a string longer than the file", () => {
    const reason = reasonFor(rawFile({ metadataCount: 1, body: [key("a", 8, encodeU64(5000))] }));
    expect(reason).toMatch(/^file is truncated: header needs at least 50\d\d bytes, file has \d\d$/);
  });

  test("a header larger than 128 MiB without asking for it", () => {
    const body = [key("a", 9, ...array(12, 2 ** 24 - 1)), key("b", 9, ...array(12, 2))];
    const bytes = rawFile({ metadataCount: 2, body });
    expect(reasonFor(bytes, 2 ** 40)).toBe("header is larger than 128.0 MiB");
  });

  test("arrays of arrays and unknown value types", () => {
    const nested = rawFile({ metadataCount: 1, body: [key("a", 9, ...array(9, 1))] });
    expect(reasonFor(nested)).toContain("array of arrays");
    expect(reasonFor(rawFile({ metadataCount: 1, body: [key("a", 13)] }))).toContain("unknown value type 13");
    expect(reasonFor(rawFile({ metadataCount: 1, body: [key("a", 9, ...array(13, 1))] }))).toContain("unknown type 13");
  });

  test("keys and tensors that appear twice", () => {
    const one = key("a", 7, Uint8Array.of(1));
    expect(reasonFor(rawFile({ metadataCount: 2, body: [one, one] }))).toBe("metadata key a appears twice");
    const rows = [rawTensor("a", [32], 0, 0), rawTensor("a", [32], 0, 128)];
    expect(reasonFor(rawFile({ tensorCount: 2, body: rows }))).toBe("tensor a appears twice");
  });

  test("alignments that are no power of two", () => {
    for (const alignment of [0, 24, 2 ** 20]) {
      const bytes = rawFile({ metadataCount: 1, body: [key("general.alignment", 4, encodeU32(alignment))] });
      expect(reasonFor(bytes)).toStartWith(`general.alignment is ${alignment}, expected`);
    }
    const text = rawFile({ metadataCount: 1, body: [key("general.alignment", 8, encodeString("x"))] });
    expect(reasonFor(text)).toStartWith("general.alignment is x");
  });

  test("unknown and removed tensor types", () => {
    for (const type of [5, 31, 36, 99, 2 ** 32 - 1]) {
      expect(reasonFor(oneTensor(rawTensor("a", [32], type, 0)))).toBe(`tensor a has the unknown type ${type}`);
    }
  });

  test("dimensions of 0, too many, or larger than any memory", () => {
    expect(reasonFor(oneTensor(rawTensor("a", [0], 0, 0)))).toBe("tensor a has a dimension of 0");
    expect(reasonFor(oneTensor(rawTensor("a", [], 0, 0)))).toContain("has 0 dimensions");
    expect(reasonFor(oneTensor(rawTensor("a", [1, 1, 1, 1, 1], 0, 0)))).toContain("has 5 dimensions");
    expect(reasonFor(oneTensor(rawTensor("a", [HUGE], 0, 0)))).toContain("is too large");
    expect(reasonFor(oneTensor(rawTensor("a", [2 ** 31, 2 ** 31, 2 ** 31, 2 ** 31], 0, 0)))).toContain("is too large");
  });

  test("rows that don't fill the type's blocks", () => {
    expect(reasonFor(oneTensor(rawTensor("a", [33], 8, 0)))).toBe(
      "tensor a has rows of 33, not a multiple of Q8_0's 32",
    );
  });

  test("tensor names that ggml would cut", () => {
    expect(reasonFor(oneTensor(rawTensor("n".repeat(64), [32], 0, 0)))).toContain("name has 64 characters");
    expect(reasonFor(oneTensor(rawTensor("", [32], 0, 0)))).toContain("name has 0 characters");
  });

  test("gaps and overlaps between tensors", () => {
    const rows = (offset: number | bigint) => [rawTensor("a", [32], 0, 0), rawTensor("b", [32], 0, offset)];
    for (const offset of [0, 96, 160, HUGE]) {
      const reason = reasonFor(rawFile({ tensorCount: 2, body: rows(offset) }));
      expect(reason).toBe(`tensor b lies at offset ${Number(offset)}, expected 128`);
    }
  });

  test("random bytes after a true magic, without ever throwing", () => {
    let state = 42;
    const random = () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state >>> 24;
    };
    const whole = bytesOf(tinyModel());
    for (let round = 0; round < 3000; round++) {
      const bytes = whole.slice();
      for (let i = 0; i < 4; i++) bytes[8 + ((random() * 256 + random()) % 900)] = random();
      expect(["ok", "bad"]).toContain(parseGgufHeader(bytes, bytes.length).tag);
    }
  });
});
