import { describe, expect, test } from "bun:test";
import { createSentEvents, UNKEPT } from "../../src/core/sent-events.ts";
import { chatChunk, DONE } from "../fakes/llama-answers.ts";
import { allCuts, oneByOne, randomCuts } from "../fixtures/byte-cuts.ts";
import { createRandom } from "../fixtures/random.ts";

const STREAM = chatChunk({ content: "Grüße 🎉" }) + chatChunk({ content: "\n\n" }) + DONE;
const text = (pieces: readonly Uint8Array[]): string => new TextDecoder().decode(Buffer.concat(pieces));

describe("createSentEvents()", () => {
  test("passes whole events only, all of them, and keeps what it passed", () => {
    const random = createRandom(3);
    const cuts = [
      ...allCuts(STREAM),
      oneByOne(STREAM),
      ...Array.from({ length: 50 }, () => randomCuts(STREAM, random)),
    ];
    for (const pieces of cuts) {
      const sent = createSentEvents();
      const passed = pieces.map((piece) => sent.pass(piece));
      for (const bytes of passed) expect(text([bytes])).toMatch(/^$|\n\n$/);
      expect(text(passed)).toBe(STREAM);
      expect(text(sent.chunks() ?? [])).toBe(STREAM);
    }
  });

  test("keeps a chunk of whole events itself, not a copy", () => {
    const chunk = new TextEncoder().encode(STREAM);
    const sent = createSentEvents();
    expect(sent.pass(chunk)).toBe(chunk);
    expect(sent.chunks()?.[0]).toBe(chunk);
  });

  test("gives out half an event never, once its upstream has gone", () => {
    const sent = createSentEvents();
    sent.pass(new TextEncoder().encode(STREAM.slice(0, 20)));
    sent.breakOff();
    expect(text([sent.pass(new TextEncoder().encode(STREAM))])).toBe(STREAM);
  });

  test.each([
    ["[DONE] without its empty line", "data: [DONE]\n", "data: [DONE]\n"],
    ["half an event", "data: {", ""],
  ])("at a proper end: %s", (_, last, rest) => {
    const sent = createSentEvents();
    sent.pass(new TextEncoder().encode(last));
    expect(text([sent.rest()])).toBe(rest);
    expect(text([sent.rest()])).toBe("");
  });

  test("knows CRLF as the end of a line", () => {
    const sent = createSentEvents();
    const chunk = new TextEncoder().encode("data: x\r\n\r\n");
    expect(sent.pass(chunk)).toBe(chunk);
  });

  test("keeps no more than 4 MiB, and passes all the same", () => {
    const sent = createSentEvents();
    const chunk = new TextEncoder().encode(`${"x".repeat(1024 ** 2 - 2)}\n\n`);
    for (let count = 0; count < 4; count++) sent.pass(chunk);
    expect(sent.chunks()).toHaveLength(4);
    expect(sent.pass(chunk)).toBe(chunk);
    expect(sent.chunks()).toBeNull();
  });

  test("lets an event without an end go, in the end", () => {
    const sent = createSentEvents();
    const chunk = new Uint8Array(600 * 1024).fill(120);
    expect(sent.pass(chunk)).toHaveLength(0);
    expect(sent.pass(chunk)).toHaveLength(2 * chunk.length);
    expect(sent.chunks()).toBeNull();
    expect(sent.pass(chunk)).toBe(chunk);
  });
});

test("what is not kept passes as it comes", () => {
  const half = new TextEncoder().encode("data: {");
  expect(UNKEPT.pass(half)).toBe(half);
  expect(UNKEPT.chunks()).toBeNull();
});
