import { describe, expect, test } from "bun:test";
import { addedCells, formatNumber, markdownTable, quantile, spreadOf } from "../../scripts/bench-stats.ts";
import { replaceMarked } from "../../scripts/marked.ts";

describe("quantile()", () => {
  test("takes the nearest rank, whatever the order of the samples", () => {
    const samples = [5, 1, 4, 2, 3];
    expect([0, 0.5, 0.99, 1].map((fraction) => quantile(samples, fraction))).toEqual([1, 3, 5, 5]);
    expect(
      quantile(
        Array.from({ length: 200 }, (_, i) => i + 1),
        0.99,
      ),
    ).toBe(198);
    expect(quantile([], 0.5)).toBeNaN();
  });
});

test("formatNumber() keeps three significant digits, and no more than three decimals", () => {
  expect([0.0841, 1.519, 43.14, 210.4, 0, 0.0004, Number.NaN].map(formatNumber)).toEqual([
    "0.084",
    "1.52",
    "43.1",
    "210",
    "0",
    "0.000",
    "-",
  ]);
});

test("addedCells() subtracts the direct way from the other, sign included", () => {
  expect(addedCells(spreadOf([1, 2, 3]), spreadOf([2, 3, 3]))).toEqual(["2.00 / 3.00", "3.00 / 3.00", "+1.00", "0"]);
});

test("markdownTable() puts columns of numbers to the right", () => {
  expect(
    markdownTable(
      ["a", "b"],
      [
        ["x", "+1.5"],
        ["y", "-"],
      ],
    ),
  ).toBe("| a | b |\n| --- | ---: |\n| x | +1.5 |\n| y | - |");
});

describe("replaceMarked()", () => {
  test("replaces only what stands between its own markers", () => {
    const document =
      "a\n<!-- bench one -->\nold\n<!-- /bench one -->\nb\n<!-- bench two -->\nold\n<!-- /bench two -->\n";
    const expected =
      "a\n<!-- bench one -->\nnew\n<!-- /bench one -->\nb\n<!-- bench two -->\nold\n<!-- /bench two -->\n";
    expect(replaceMarked(document, "bench one", "new\n")).toBe(expected);
  });

  test("says so when there are none, or only one of the two", () => {
    expect(replaceMarked("text", "bench one", "new")).toBeNull();
    expect(replaceMarked("<!-- bench one -->", "bench one", "new")).toBeNull();
  });
});
