import { describe, expect, test } from "bun:test";
import { engineVerdict, TESTED } from "../../src/core/engine-versions.ts";

const tested = { version: "0.7.0", build: TESTED.minBuild };

function warning(...given: Parameters<typeof engineVerdict>): string {
  const verdict = engineVerdict(...given);
  return verdict.ok ? "" : verdict.warning;
}

describe("engineVerdict()", () => {
  test("has nothing to say about the build that was tested", () => {
    expect(engineVerdict(tested, { major: 8, minor: 0 })).toEqual({ ok: true });
    expect(engineVerdict({ version: "0.7.0", build: null }, { major: 8, minor: 0 })).toEqual({ ok: true });
  });

  test("warns of older and newer builds", () => {
    expect(warning({ version: "b9000", build: 9000 }, { major: 8, minor: 0 })).toContain(
      "is older than what is tested",
    );
    expect(warning({ version: "0.9.0", build: 20000 }, { major: 8, minor: 0 })).toContain(
      "is newer than what is tested",
    );
    expect(warning({ version: "0.9.0", build: null }, { major: 8, minor: 0 })).toContain("does not tell its build");
  });

  test("warns of another RPC major, and of one that could not be measured", () => {
    expect(warning(tested, { major: 9, minor: 1 })).toContain("speaks RPC 9.1; synaptic was tested with 0.7.0");
    expect(warning(tested, null)).toContain("could not be measured");
  });
});
