/** What a listing says of where a model would run. */
import { describe, expect, test } from "bun:test";
import { factsFor, outlookOf } from "../../src/core/model-listing.ts";
import { planModel } from "../../src/core/plan.ts";
import { GIB } from "../../src/core/units.ts";
import { backendsWith, type InputParts, inputOf, R24 } from "../fixtures/model-facts.ts";

const outlook = (parts: InputParts, isLoaded = false) => outlookOf(planModel(inputOf(parts)), isLoaded);

describe("outlookOf()", () => {
  test("names the backends, three at most, and why", () => {
    expect(outlook({ options: { placement: "fewest" } })).toMatchObject({
      runs: true,
      where: "10.0.0.1:50052",
      contextSize: 4096,
      reasons: ["fewest: 1 of 3 usable backends holds it"],
    });
    const many = { backends: backendsWith(...new Array<number>(5).fill(8 * GIB)) };
    expect(outlook(many).where).toBe("10.0.0.1:50052, 10.0.0.2:50052, 10.0.0.3:50052 and 2 more");
    expect(outlook({}, true).where).toStartWith("loaded on 10.0.0.1:50052");
  });

  test("names this machine's devices beside backends, or alone", () => {
    const localDevices = [{ name: "CUDA0", description: "", freeBytes: 8 * GIB, totalBytes: 8 * GIB }];
    expect(outlook({ localDevices, backends: [] }).where).toBe("this machine alone (CUDA0)");
    expect(outlook({ localDevices, backends: backendsWith(8 * GIB) }).where).toBe("10.0.0.1:50052, CUDA0");
  });

  test("says why nowhere, without the name, which may have colons itself", () => {
    const { runs, where, contextSize, reasons } = outlook({
      backends: backendsWith(GIB),
      options: { model: "hf.co/a/b:Q4_K_M" },
    });
    expect([runs, contextSize]).toEqual([false, null]);
    expect(where).toBe("needs 2.8 GiB, 921.6 MiB usable: 2.1 GiB missing in whole layers");
    expect(reasons[0]).toContain("add a backend");
    expect(outlook({ backends: [] }).where).toBe("no backend is configured");
  });
});

test("factsFor() takes the size of all files where it is known, else that of the weights", () => {
  expect(factsFor(R24, null)).toMatchObject({ architecture: "llama", quantization: "F16", bytes: R24.fileBytes });
  expect(factsFor(R24, 5).bytes).toBe(5);
  expect(factsFor(null, 5)).toMatchObject({ architecture: null, bytes: 5 });
});
