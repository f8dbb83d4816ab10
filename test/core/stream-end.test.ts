import { describe, expect, test } from "bun:test";
import { createTail, type Ending, errorFrameAt, isPing } from "../../src/core/stream-end.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const CHUNK = 'data: {"choices":[{"delta":{"content":"x"}}]}\n\n';
const DONE = "data: [DONE]\n\n";
const ERROR = 'data: {"error":{"code":500,"message":"x"}}\n\n';

function endingOf(text: string, size = text.length): Ending {
  const tail = createTail();
  const all = bytes(text);
  for (let at = 0; at < all.length; at += size) tail.push(all.subarray(at, at + size));
  return tail.ending();
}

describe("createTail()", () => {
  test.each<[string, string, Ending]>([
    ["[DONE]", CHUNK + DONE, "done"],
    ["[DONE] without a blank line", `${CHUNK}data: [DONE]`, "done"],
    ["[DONE] without a space", `${CHUNK}data:[DONE]\n\n`, "done"],
    ["[DONE] with CRLF", `${CHUNK}data: [DONE]\r\n\r\n`, "done"],
    ["[DONE] alone", DONE, "done"],
    ["an error", CHUNK + ERROR, "error"],
    ["half an error", CHUNK + ERROR.slice(0, -3), "broken"],
    ["a whole event", CHUNK, "event"],
    ["half an event", CHUNK + CHUNK.slice(0, 20), "broken"],
    ["an event without its blank line", CHUNK.slice(0, -1), "broken"],
    ["nothing", "", "event"],
    ["a text that says [DONE]", 'data: {"content":"data: [DONE]"}\n\n', "event"],
    ["a text that speaks of an error", 'data: {"content":"data: {\\"error\\"}"}\n\n', "event"],
    ["something after [DONE]", DONE + CHUNK, "event"],
  ])("tells %s, however it is cut", (_, text, ending) => {
    for (let size = 1; size <= Math.max(1, text.length); size++) expect(endingOf(text, size)).toBe(ending);
  });

  test("sees the end of a long stream, and of a long event", () => {
    for (const size of [1, 7, 479, 480, 481, 959, 960, 961, 5000]) {
      expect(endingOf(CHUNK.repeat(200) + DONE, size)).toBe("done");
      expect(endingOf(`data: ${"x".repeat(10_000)}\n\n`, size)).toBe("event");
      expect(endingOf(`data: ${"x".repeat(10_000)}`, size)).toBe("broken");
    }
  });
});

test("createTail() sees a short end wherever its pieces fall", () => {
  for (let before = 0; before < 1_000; before++) {
    const text = `data: ${"x".repeat(before)}\n\n${DONE}`;
    for (const size of [5, 13]) expect([before, size, endingOf(text, size)]).toEqual([before, size, "done"]);
  }
});

describe("errorFrameAt()", () => {
  test("finds an error that ends a chunk, alone or behind other events", () => {
    expect(errorFrameAt(bytes(ERROR))).toBe(0);
    expect(errorFrameAt(bytes(CHUNK + ERROR))).toBe(CHUNK.length);
    expect(errorFrameAt(bytes(ERROR.trimEnd()))).toBe(0);
  });

  test.each([
    CHUNK,
    DONE,
    ":\n\n",
    "",
    "\n",
    "\n\n",
    "x",
    ERROR.slice(0, 12),
    'data: {"content":"data: {\\"error\\""}\n\n',
  ])("finds none in %j", (text) => {
    expect(errorFrameAt(bytes(text))).toBe(-1);
  });
});

describe("isPing()", () => {
  test.each<[string, boolean]>([
    [":\n\n", true],
    [":\n\n:\n\n", true],
    [": comment\n\n", false],
    [`:\n\n${CHUNK}`, false],
    [CHUNK, false],
    ["", false],
    [":", false],
  ])("%j: %j", (text, expected) => {
    expect(isPing(bytes(text))).toBe(expected);
  });
});
