/** Bytes, durations and endpoints, as people write them. */
import { describe, expect, test } from "bun:test";
import { formatBytes, formatDuration, formatEndpoint, GIB, parseBytes, splitEndpoint } from "../../src/core/units.ts";

describe("formatBytes()", () => {
  test("takes the largest unit that gives at least 1", () => {
    expect([0, 512, 1023, 1024, 10 * 1024 ** 2, 43.2 * GIB, 2 * 1024 ** 4].map(formatBytes)).toEqual([
      "0 B",
      "512 B",
      "1023 B",
      "1.0 KiB",
      "10.0 MiB",
      "43.2 GiB",
      "2.0 TiB",
    ]);
  });

  test("never rounds up into 1024 of a unit", () => {
    expect([1024 ** 2 - 1, 1024 ** 3 - 1, 1024 ** 4 - 1].map(formatBytes)).toEqual(["1.0 MiB", "1.0 GiB", "1.0 TiB"]);
  });
});

describe("formatDuration()", () => {
  test("says ms, seconds, or minutes and seconds", () => {
    expect([0, 850, 999.6, 12_300, 59_940, 245_000].map(formatDuration)).toEqual([
      "0 ms",
      "850 ms",
      "1.0 s",
      "12.3 s",
      "59.9 s",
      "4 min 05 s",
    ]);
  });

  test("never says 60 seconds", () => {
    expect([59_960, 119_800].map(formatDuration)).toEqual(["1 min 00 s", "2 min 00 s"]);
  });
});

describe("parseBytes()", () => {
  test("reads numbers with a unit, binary all", () => {
    expect(["12GiB", "12 GB", "12g", "1.5k", "7", "7 B", " 1 tib "].map(parseBytes)).toEqual([
      12 * GIB,
      12 * GIB,
      12 * GIB,
      1536,
      7,
      7,
      1024 ** 4,
    ]);
  });

  test("refuses all else", () => {
    expect(["", "GiB", "-1", "1e9", "12 parsecs", "1,5g", "0x10", "12 ib"].map(parseBytes)).toEqual(
      new Array(8).fill(null),
    );
  });
});

describe("endpoints", () => {
  test("are host:port, and come apart again", () => {
    expect(splitEndpoint(formatEndpoint("gpu-1.lan", 50052))).toEqual({ host: "gpu-1.lan", port: 50052 });
  });
});
