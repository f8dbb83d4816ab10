/** A lab as owners have it: two cards of 16 GB, a Mac of 32 GB, a CPU box of 64 GB, Ollama on all; each decision with its sentence. */
import { describe, expect, test } from "bun:test";
import type { ModelFacts } from "../../src/core/model.ts";
import type { BackendFacts, DeviceFacts, Held, Plan } from "../../src/core/plan-types.ts";
import { GIB, MIB } from "../../src/core/units.ts";
import { type InputParts, modelOf, planned, refused } from "../fixtures/model-facts.ts";
import { speed } from "../fixtures/speeds.ts";

function device(kind: DeviceFacts["kind"], freeGib: number, totalGib: number): DeviceFacts {
  return { index: 0, kind, freeBytes: freeGib * GIB, totalBytes: totalGib * GIB };
}

/** Metal gives models three quarters of a Mac's memory. Ollama has 2.5 GiB of the second card, and 6 GiB in the RAM of the
 *  CPU box, which reports all of it free none the less. */
const LAB: readonly BackendFacts[] = [
  { endpoint: "card-a:50052", machine: "10.0.0.1", devices: [device("accelerator", 15.5, 16)], rttMs: 0.3 },
  { endpoint: "card-b:50052", machine: "10.0.0.2", devices: [device("accelerator", 13, 16)], rttMs: 0.3 },
  { endpoint: "mac:50052", machine: "10.0.0.3", devices: [device("accelerator", 24, 24)], rttMs: 0.5 },
  { endpoint: "cpu-box:50052", machine: "10.0.0.4", devices: [device("cpu", 64, 64)], rttMs: 0.3 },
];
const HELD: readonly Held[] = [{ machine: "10.0.0.4", ramBytes: 6 * GIB, what: "ollama qwen3:8b" }];
/** As measured over the network: cards of 300 GB/s, a Mac of 120, a box with two channels. */
const SPEEDS: Readonly<Record<string, number>> = {
  "card-a:50052": 200e9,
  "card-b:50052": 190e9,
  "mac:50052": 90e9,
  "cpu-box:50052": 15e9,
};
const MEASURED = LAB.map((backend): BackendFacts => ({ ...backend, speed: speed(SPEEDS[backend.endpoint] ?? 0) }));

/** Q4_K_M files with grouped-query attention of 8 heads of 128. */
function quantised(layers: number, layerMib: number, more: Partial<ModelFacts>): ModelFacts {
  const parts = { layers, layerBytes: layerMib * MIB, kvElements: 1024, outputBytes: 600 * MIB };
  const bytes = layers * parts.layerBytes + parts.outputBytes + 400 * MIB;
  const parameters = Math.round((bytes * 8) / 4.84);
  return modelOf(parts, {
    ...{ quantization: "Q4_K_M", trainedContext: 131_072, vocabularySize: 128_256, headSize: 128, parameters },
    ...{ inputBytes: 400 * MIB, ...more },
  });
}

const B8 = quantised(32, 120, { embeddingLength: 4096, headCount: 32, activationElements: 3 * 14_336 });
const B32 = quantised(64, 280, { embeddingLength: 5120, headCount: 40, activationElements: 3 * 27_648 });
const B70 = quantised(80, 485, { embeddingLength: 8192, headCount: 64, activationElements: 3 * 28_672 });

function ask(facts: ModelFacts, parts: InputParts = {}): Plan {
  const options = { placement: "fewest", contextSize: null, ...parts.options } as const;
  return planned({
    backends: LAB,
    held: HELD,
    head: { freeBytes: 8 * GIB, totalBytes: 16 * GIB },
    facts,
    ...parts,
    options,
  });
}

function layers(plan: Plan): Readonly<Record<string, number>> {
  return Object.fromEntries(plan.backends.map((backend) => [backend.endpoint.split(":")[0], backend.layers]));
}

describe("the lab of four, not measured yet", () => {
  const plan8 = ask(B8);

  test("8B at 32k lies on one accelerator, the one with the most memory, and the CPU box is left out", () => {
    expect(layers(plan8)).toEqual({ mac: 33 });
    expect(plan8.contextSize).toBe(32_768);
    expect(plan8.reasons).toContain("fewest: 1 of 4 usable backends holds it");
    expect(plan8.reasons).toContain("left out: cpu-box:50052 (a CPU: not measured, and taken for slower)");
    expect(plan8.survives).toHaveLength(1);
    expect(plan8.estimate).toEqual({ tokensPerSecond: null });
  });

  test("32B at 32k lies on two accelerators, though the CPU box alone would be fewer", () => {
    const plan = ask(B32);
    expect(Object.keys(layers(plan))).toEqual(["card-a", "mac"]);
    expect(plan.reasons).toContain("fewest: 2 of 4 usable backends hold it");
    expect(plan.reasons).toContain("left out: cpu-box:50052 (a CPU: not measured, and taken for slower)");
  });

  test("43 GB lie on all three accelerators and nothing on the CPU box", () => {
    const plan = ask(B70, { options: { contextSize: 8192 } });
    expect(Object.keys(layers(plan))).toEqual(["card-a", "card-b", "mac"]);
    expect(plan.reasons).toContain("fewest: 3 of 4 usable backends hold it");
  });

  test("70B at 32k fills the accelerators and leaves the CPU box only the rest, less what Ollama holds there", () => {
    const plan = ask(B70);
    const { "cpu-box": rest = 0, mac = 0, "card-a": a = 0, "card-b": b = 0 } = layers(plan);
    expect(rest + mac + a + b).toBe(81);
    expect([rest > 0, rest < b, b < a, a < mac]).toEqual([true, true, true, true]);
    expect(rest).toBeLessThan(10);
    expect(plan.reasons).toContain("fewest: 4 of 4 usable backends hold it");
    expect(plan.reasons).toContain("6.0 GiB of the RAM of 10.0.0.4 are held by ollama qwen3:8b");
  });

  test("70B that survives any loss has no place: what is missing without the worst one, and what would do", () => {
    const { code, text } = refused({
      facts: B70,
      backends: LAB,
      held: HELD,
      options: { placement: "resilient", contextSize: null },
    });
    expect(code).toBe("does_not_fit");
    expect(text).toMatch(/survives the loss of any one backend: without cpu-box:50052 \d\.\d GiB are missing/);
    expect(text).toContain('placement "fewest" places it on 4 backends');
  });

  test("32B survives any loss on the accelerators that the CPU box can stand in for", () => {
    const plan = ask(B32, { options: { placement: "resilient" } });
    expect(plan.survives).toEqual(plan.backends.map(({ endpoint }) => endpoint));
    expect(plan.reasons).toContain(
      "resilient: 2 of 4 usable backends hold it, and the others would after the loss of any one",
    );
  });
});

describe("the same lab, measured", () => {
  test("8B lies on the fastest card alone, and the plan says what sharding would have cost", () => {
    const plan = ask(B8, { backends: MEASURED });
    expect(layers(plan)).toEqual({ "card-a": 33 });
    expect(plan.reasons).toContain("card-a:50052 alone is estimated 8.5 x faster than over all 4: not sharded");
    expect(plan.reasons).toContain("left out: mac:50052 (2.2 x slower), cpu-box:50052 (13 x slower)");
    expect(plan.estimate.tokensPerSecond).toBeCloseTo(42.6, 0);
  });

  test("32B lies on the two cards, which are equal within what measurements vary, and not on the slower Mac", () => {
    const plan = ask(B32, { backends: MEASURED, options: { contextSize: 16_384 } });
    expect(Object.keys(layers(plan))).toEqual(["card-a", "card-b"]);
    expect(plan.reasons).toContain("left out: mac:50052 (2.1 x slower), cpu-box:50052 (13 x slower)");
  });

  test("43 GB fill the cards first, and the Mac holds what is over", () => {
    const plan = ask(B70, { backends: MEASURED, options: { contextSize: 8192 } });
    const { mac = 0, "card-a": a = 0, "card-b": b = 0 } = layers(plan);
    expect([a + b + mac, a > b]).toEqual([81, true]);
    const unmeasured = layers(ask(B70, { options: { contextSize: 8192 } }));
    expect(a).toBeGreaterThan(unmeasured["card-a"] ?? 0);
    expect(plan.reasons).toContain("left out: cpu-box:50052 (6.0 x slower)");
  });

  test("70B at 32k takes the CPU box last, for the few layers that fit nowhere else", () => {
    const plan = ask(B70, { backends: MEASURED });
    expect(layers(plan)["cpu-box"]).toBeLessThan(10);
    expect(plan.estimate.tokensPerSecond).not.toBeNull();
  });
});
