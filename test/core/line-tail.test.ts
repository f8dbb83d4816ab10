/** How a stream of JSON lines ended, however it was cut into chunks. */
import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { createLineTail } from "../../src/core/line-tail.ts";
import { createRandom } from "../fixtures/random.ts";

const toError = (line: string) => new SynapticError("upstream_error", line);
const bytes = (text: string) => new TextEncoder().encode(text);

function tailOf(text: string, cut = text.length) {
  const tail = createLineTail(toError);
  const all = bytes(text);
  for (let at = 0; at < all.length; at += cut) tail.push(all.subarray(at, at + cut));
  return tail;
}

const WORD = '{"message":{"content":"日本 👩‍💻"},"done":false}\n';
const END = `{"message":{"content":""},"done":true,"context":[${"128000,".repeat(200)}1]}\n`;

const CASES = [
  ["", "event"],
  [WORD, "event"],
  [WORD + END, "done"],
  [`${WORD}${END}\n`, "done"],
  [`${WORD + END.trimEnd()}`, "done"],
  [WORD + END.slice(0, -5), "broken"],
  [`${END}${WORD}`, "event"],
  [`${WORD}{"error":"boom"}\n`, "error"],
  ['{"message":{"tool_calls":[{"function":{"arguments":{"done":true}}}]},"done":false}\n', "event"],
  ['{"message":{"content":"\\"done\\":true"},"done":false}\n', "event"],
  ["[1]\n", "event"],
] as const;

describe("the end of a stream of lines", () => {
  for (const [text, ending] of CASES) {
    test(`is ${ending} after ${JSON.stringify(text.slice(-40))}, cut anywhere`, () => {
      for (const cut of [text.length || 1, 1, 2, 3, 7, 100, 1_000]) expect(tailOf(text, cut).ending()).toBe(ending);
    });
  }

  test("is the same for random cuts", () => {
    const random = createRandom(4);
    const all = bytes(WORD.repeat(5) + END);
    for (let round = 0; round < 200; round++) {
      const tail = createLineTail(toError);
      for (let at = 0; at < all.length; ) {
        const end = at + random.whole(0, 300);
        tail.push(all.subarray(at, end));
        at = Math.min(end, all.length);
      }
      expect(tail.ending()).toBe("done");
    }
  });

  test("tells the upstream's own error", () => {
    expect(tailOf(`${WORD}{"error":"boom"}\n`, 5).failure?.()?.message).toBe('{"error":"boom"}');
    expect(tailOf(WORD + END, 5).failure?.()).toBeNull();
  });

  test("of a pull is its success", () => {
    const tail = createLineTail(toError, "status");
    tail.push(bytes('{"status":"pulling manifest"}\n'));
    expect(tail.ending()).toBe("event");
    tail.push(bytes('{"status":"success"}\n'));
    expect(tail.ending()).toBe("done");
  });

  test("keeps no line without end", () => {
    const tail = createLineTail(toError);
    const chunk = new Uint8Array(1024 ** 2).fill(97);
    for (let index = 0; index < 20; index++) tail.push(chunk);
    expect(tail.ending()).toBe("broken");
  });
});
