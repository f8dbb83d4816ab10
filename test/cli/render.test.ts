/** Plans as text for people. */
import { describe, expect, test } from "bun:test";
import { renderPlan, renderProof } from "../../src/cli/render.ts";
import { proveLoad } from "../../src/core/proof.ts";
import { GIB, MIB } from "../../src/core/units.ts";
import { logOfPlan, seenIn } from "../fixtures/engine-log.ts";
import { backendsWith, planned, R24 } from "../fixtures/model-facts.ts";
import { speed } from "../fixtures/speeds.ts";

describe("renderPlan()", () => {
  test("says what a slot may use, and the estimate when there is one", () => {
    const backends = backendsWith(8 * GIB).map((backend) => ({ ...backend, speed: speed(25e9) }));
    const text = renderPlan(planned({ backends }));
    expect(text).toContain(
      "context 4096 tokens, 4 slots that share it (up to 4096 for one alone, 1024 each when all are full), KV f16\n" +
        "estimated 9.7 tokens/s for one stream\n\n",
    );
    expect(renderPlan(planned())).not.toContain("estimated");
    expect(renderPlan(planned({ options: { parallel: 1 } }))).toContain("4096 tokens, 1 slot, KV");
  });

  test("shows the layers that the head node computes, and what else stays there", () => {
    const head = { freeBytes: 16 * GIB, totalBytes: 16 * GIB, speed: speed(30e9) };
    const draft = { path: "/d", bytes: 300 * MIB };
    const plan = planned({ facts: R24, backends: [], head, options: { placement: "fewest", draft } });
    const text = renderPlan(plan);
    expect(text).toContain("m: 25 of 25 layers placed (fewest)");
    expect(text).toMatch(/^head node +25 +38\.8 MiB +48\.0 MiB /m);
    expect(text).toMatch(/^head node's draft model +- +300\.0 MiB /m);
    const proof = proveLoad(plan, R24, seenIn(logOfPlan(plan)));
    expect(renderProof(plan, proof)).toMatch(/^head node +25 \/ 25 +38\.8 MiB \/ 38\.8 MiB +48\.0 MiB \/ 48\.0 MiB /m);
  });
});
