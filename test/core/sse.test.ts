import { describe, expect, test } from "bun:test";
import { createSseReader } from "../../src/core/sse.ts";

function readAll(text: string, size: number): readonly string[] {
  const read = createSseReader();
  const events: string[] = [];
  for (let at = 0; at < text.length; at += size) events.push(...read(text.slice(at, at + size)));
  return events;
}

describe("createSseReader()", () => {
  test.each<[string, string, readonly string[]]>([
    ["events", "data: a\n\ndata: b\n\n", ["a", "b"]],
    ["data of several lines", "data: a\ndata: b\n\n", ["a\nb"]],
    ["no space after the colon", "data:a\n\n", ["a"]],
    ["spaces that belong to the data", "data:  a \n\n", [" a "]],
    ["CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]],
    ["comments and other fields", ": x\n\nevent: y\nid: 1\ndata: a\n\n:\n\n", ["a"]],
    ["empty data", "data:\n\n", [""]],
    ["an event that broke off", "data: a\n\ndata: b\n", ["a"]],
    ["blank lines", "\n\n\n\ndata: a\n\n\n", ["a"]],
  ])("reads %s, however they are cut", (_, text, events) => {
    for (let size = 1; size <= text.length; size++) expect(readAll(text, size)).toEqual(events);
  });

  test("gives up on an event without end", () => {
    const read = createSseReader();
    expect(() => {
      for (let i = 0; i < 100; i++) read("x".repeat(64 * 1024));
    }).toThrow("an event has no end");
  });
});
