import { describe, expect, test } from "bun:test";
import { countTests } from "../../scripts/test-count.ts";

describe("countTests()", () => {
  test("reads the totals, not those of one file, and counts skipped tests as neither", () => {
    const junit = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="10" assertions="30" failures="2" skipped="3" time="1.5">
  <testsuite name="a.test.ts" tests="4" failures="1" skipped="0"></testsuite>
</testsuites>`;
    expect(countTests(junit)).toEqual({ passed: 5, failed: 2 });
  });

  test("counts nothing when there is no report", () => {
    expect(countTests("")).toEqual({ passed: 0, failed: 0 });
  });
});
