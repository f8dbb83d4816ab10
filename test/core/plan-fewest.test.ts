/** Which backends: the fast ones, the fewest of them, or one machine alone. */
import { describe, expect, test } from "bun:test";
import { coordinatorArgs } from "../../src/core/argv.ts";
import type { BackendFacts, HeadFacts, Plan } from "../../src/core/plan-types.ts";
import { proveLoad } from "../../src/core/proof.ts";
import { GIB, MIB } from "../../src/core/units.ts";
import { logOfPlan, seenIn } from "../fixtures/engine-log.ts";
import {
  cpu,
  endpointOf,
  gpu,
  type InputParts,
  layersOf,
  modelOf,
  planned,
  R24,
  refused,
} from "../fixtures/model-facts.ts";
import { speed } from "../fixtures/speeds.ts";

interface Made {
  readonly gib: number;
  /** Measured, in GB/s. */
  readonly rate?: number;
  readonly kind?: "cpu" | "gpu";
  readonly priority?: number;
  readonly rttMs?: number;
}

function parkOf(...made: readonly Made[]): readonly BackendFacts[] {
  return made.map(({ gib, rate, kind = "cpu", priority, rttMs }, position) => ({
    endpoint: endpointOf(position),
    devices: [kind === "cpu" ? cpu(gib * GIB) : gpu(gib * GIB)],
    ...(rate !== undefined && { speed: speed(rate * 1e9) }),
    ...(priority !== undefined && { priority }),
    ...(rttMs !== undefined && { rttMs }),
  }));
}

function fewest({ options, ...parts }: InputParts): Plan {
  return planned({ ...parts, options: { ...options, placement: "fewest" } });
}

/** Positions of the backends in use. */
function used(plan: Plan, backends: readonly BackendFacts[]): readonly number[] {
  return plan.backends.map(({ endpoint }) => backends.findIndex((backend) => backend.endpoint === endpoint));
}

describe("three backends at 25, 50 and 100 % of a core, of equal memory, with a model of 736 MB (issue 3)", () => {
  const facts = modelOf({ layers: 24, layerBytes: 29 * MIB, kvElements: 128, outputBytes: 6 * MIB });
  // All on the fastest was measured at 12.3 tokens/s.
  const backends = parkOf(...[0.25, 0.5, 1].map((share) => ({ gib: 4, rate: 12.3 * 0.736 * share, rttMs: 0.1 })));

  test("all lies on the fastest, as estimated, and the plan says that sharding would be slower", () => {
    const plan = fewest({ facts, backends });
    expect(used(plan, backends)).toEqual([2]);
    expect(plan.estimate.tokensPerSecond).toBeCloseTo(12.3, 0);
    expect(plan.reasons).toContain("10.0.0.3:50052 alone is estimated 2.4 x faster than over all 3: not sharded");
    expect(plan.reasons).toContain("left out: 10.0.0.2:50052 (2.0 x slower), 10.0.0.1:50052 (4.0 x slower)");
  });

  test("a spread is estimated at half of it, as was measured (6.4)", () => {
    const estimate = planned({ facts, backends, options: { placement: "spread" } }).estimate.tokensPerSecond;
    expect(estimate).toBeGreaterThan(5);
    expect(estimate).toBeLessThan(6.5);
  });
});

describe("fewest", () => {
  test("counts speeds within a factor of 1.5 as equal, and takes the most memory of them", () => {
    const near = parkOf({ gib: 8, rate: 30 }, { gib: 9, rate: 21 });
    expect(used(fewest({ backends: near }), near)).toEqual([1]);
    const apart = parkOf({ gib: 8, rate: 32 }, { gib: 9, rate: 21 });
    expect(used(fewest({ backends: apart }), apart)).toEqual([0]);
  });

  test("takes two fast backends rather than a slow one that holds all", () => {
    const backends = parkOf({ gib: 64 }, { gib: 2, kind: "gpu" }, { gib: 2, kind: "gpu" });
    expect(used(fewest({ backends }), backends)).toEqual([1, 2]);
    const measured = parkOf({ gib: 64, rate: 10 }, { gib: 2, rate: 100 }, { gib: 2, rate: 100 });
    expect(used(fewest({ backends: measured }), measured)).toEqual([1, 2]);
  });

  test("takes a CPU before an accelerator only where both were measured", () => {
    const kinds = (cpuRate?: number, gpuRate?: number) => {
      const backends = parkOf(
        { gib: 8, ...(cpuRate && { rate: cpuRate }) },
        { gib: 8, kind: "gpu", ...(gpuRate && { rate: gpuRate }) },
      );
      return used(fewest({ backends }), backends);
    };
    expect([kinds(), kinds(900), kinds(undefined, 2), kinds(20, 2)]).toEqual([[1], [1], [1], [0]]);
  });

  test("takes one that was not measured for as fast as those of its kind that were", () => {
    const cpus = parkOf({ gib: 4 }, { gib: 6, rate: 12 }, { gib: 4, rate: 13 });
    const plan = fewest({ backends: cpus });
    expect(used(plan, cpus)).toEqual([1]);
    expect(plan.reasons.join()).not.toContain("left out");
    const gpus = parkOf({ gib: 4, kind: "gpu" }, { gib: 6, kind: "gpu", rate: 60 }, { gib: 16, rate: 20 });
    expect(used(fewest({ backends: gpus }), gpus)).toEqual([1]);
    // What was measured is not said to be taken for slower.
    const slow = parkOf({ gib: 6 }, { gib: 8, rate: 5 }, { gib: 4, rate: 20 }, { gib: 4, rate: 21 });
    expect(fewest({ backends: slow }).reasons).toContain("left out: 10.0.0.2:50052 (slower)");
  });

  test("fills the faster ones first, and gives the slower what is over", () => {
    const backends = parkOf({ gib: 2, rate: 10 }, { gib: 1.5, rate: 100 }, { gib: 1.5, rate: 90 });
    const [slow = 0, ...fast] = layersOf(fewest({ backends }));
    const full = layersOf(
      planned({ backends: backends.slice(1), facts: modelOf({ layers: 18 }), options: { placement: "fewest" } }),
    );
    expect(slow + fast.reduce((sum, layers) => sum + layers, 0)).toBe(25);
    expect(slow).toBeLessThan(6);
    expect(full.reduce((sum, layers) => sum + layers, 0)).toBe(19);
  });

  test("takes more backends than the fewest where that is estimated faster by more than speeds vary", () => {
    // Of those that are needed, two have the memory; the third is much faster than both.
    const backends = parkOf({ gib: 1.8, rate: 10 }, { gib: 1.9, rate: 10 }, { gib: 1.3, rate: 500 });
    expect(used(fewest({ backends }), backends)).toContain(2);
  });

  test("prefers one slower backend where the hops to many cost more", () => {
    const small = Array.from({ length: 10 }, () => ({ gib: 0.5, rate: 500, rttMs: 20 }));
    const backends = parkOf(...small, { gib: 8, rate: 100, rttMs: 1 });
    expect(used(fewest({ backends }), backends)).toEqual([10]);
  });

  test("takes the owner's priority before any speed", () => {
    const backends = parkOf({ gib: 8, rate: 100 }, { gib: 8, rate: 2, priority: 1 });
    expect(used(fewest({ backends }), backends)).toEqual([1]);
    const head: HeadFacts = { freeBytes: 64 * GIB, totalBytes: 64 * GIB, speed: speed(500e9) };
    expect(used(fewest({ backends, head }), backends)).toEqual([1]);
  });

  test("estimates nothing where one of its devices was not measured", () => {
    const backends = parkOf({ gib: 2, rate: 20 }, { gib: 2 });
    expect(fewest({ backends }).estimate.tokensPerSecond).toBeNull();
  });

  test("of experts counts only those that take part in a token", () => {
    const dense = modelOf();
    const facts = { ...dense, layers: dense.layers.map((layer) => ({ ...layer, readBytes: layer.weightBytes / 10 })) };
    const backends = parkOf({ gib: 8, rate: 20 });
    const rate = (given: typeof dense) => fewest({ facts: given, backends }).estimate.tokensPerSecond ?? 0;
    expect(rate(facts) / rate(dense)).toBeGreaterThan(8);
  });
});

describe("the head node alone", () => {
  const head: HeadFacts = { freeBytes: 16 * GIB, totalBytes: 16 * GIB, speed: speed(30e9) };
  const backends = parkOf({ gib: 8, rate: 15, rttMs: 1 }, { gib: 8, rate: 14, rttMs: 1 });

  test("computes all of it when that is estimated fastest, without any backend", () => {
    const plan = fewest({ facts: R24, backends, head });
    expect([plan.backends, plan.offloadedLayers, plan.head.layers]).toEqual([[], 0, 25]);
    expect(plan.head.kvBytes).toBe(48 * MIB);
    expect(plan.reasons.slice(0, 2)).toEqual([
      "fewest: the head node's CPU holds it, so no backend is needed",
      expect.stringMatching(/^the head node alone is estimated \d+\.\d x faster than over all 2: not sharded$/),
    ]);
    const command = coordinatorArgs(plan, 1).join(" ");
    expect(command).toContain("--gpu-layers 0 ");
    expect(command).not.toMatch(/--rpc|--tensor-split/);
  });

  test("is proven by its log, also where that says nothing of offloading", () => {
    const plan = fewest({ facts: R24, backends, head });
    const lines = logOfPlan(plan);
    expect(proveLoad(plan, R24, seenIn(lines))).toMatchObject({
      proven: true,
      head: { layers: 25, kvBytes: 48 * MIB },
    });
    expect(proveLoad(plan, R24, seenIn(lines.filter((line) => !line.includes("offloaded")))).proven).toBe(true);
    const none = proveLoad(plan, R24, seenIn(lines.filter((line) => !line.includes("KV"))));
    expect(none.problems).toEqual(["the head node holds 0 B of KV cache, planned 48.0 MiB"]);
  });

  test("takes no part unless it was measured, is faster, and is large enough", () => {
    const { speed: _, ...unmeasured } = head;
    expect(fewest({ backends, head: unmeasured }).backends).toHaveLength(1);
    expect(fewest({ backends, head: { ...head, speed: speed(5e9) } }).backends).toHaveLength(1);
    expect(fewest({ backends, head: { ...head, freeBytes: 2 * GIB } }).backends).toHaveLength(1);
    for (const placement of ["spread", "resilient"] as const) {
      expect(planned({ backends, head, options: { placement } }).backends.length).toBeGreaterThan(0);
    }
  });

  test("counts a tied output head once", () => {
    const facts = modelOf({ outputBytes: 41 * MIB }, { inputBytes: 40 * MIB, tiedOutput: true });
    expect(fewest({ facts, backends, head }).head.modelBytes).toBe(2441 * MIB);
  });

  test("serves when there is no backend at all", () => {
    expect(fewest({ backends: [], head }).head.layers).toBe(25);
    expect(refused({ backends: [], head, options: { placement: "spread" } }).code).toBe("no_backends");
    const small = { ...head, freeBytes: GIB };
    expect(refused({ backends: [], head: small, options: { placement: "fewest" } }).code).toBe("no_backends");
  });

  test("bears the loss of a backend", () => {
    const only = parkOf({ gib: 8, rate: 90 });
    expect(fewest({ backends: only, head }).survives).toEqual([endpointOf(0)]);
  });
});

describe("resilient", () => {
  const resilient = { placement: "resilient" } as const;

  test("is placed as the fewest, where the others would hold the model", () => {
    const backends = parkOf({ gib: 8 }, { gib: 8 });
    const plan = planned({ backends, options: resilient });
    expect([layersOf(plan), plan.survives]).toEqual([[25], [endpointOf(0)]]);
  });

  test("leaves out a backend that nothing could stand in for", () => {
    const backends = parkOf({ gib: 16, rate: 100 }, { gib: 3.5, rate: 100 });
    expect(used(planned({ backends, options: resilient }), backends)).toEqual([0]);
    const large = parkOf({ gib: 16, rate: 100 }, { gib: 1, rate: 100 }, { gib: 1, rate: 100 });
    expect(refused({ backends: large, options: resilient }).code).toBe("does_not_fit");
  });

  test("refuses with the GiB that are missing, and offers fewest", () => {
    expect(refused({ backends: parkOf({ gib: 8 }), options: resilient }).text).toMatch(
      /^Cannot place m so that it survives the loss of any one backend: without 10\.0\.0\.1:50052 2\.8 GiB are missing \(placement "fewest" places it on 1 backend; or /,
    );
  });
});
