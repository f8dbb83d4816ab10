/** What holds for every plan, over random parks of machines and models; and a park of 1,000 backends. */
import { describe, expect, test } from "bun:test";
import { planModel } from "../../src/core/plan.ts";
import { MAX_DEVICES, parkOf, slotsOf } from "../../src/core/plan-slots.ts";
import type { BackendFacts, LocalDevice, Plan, PlanInput } from "../../src/core/plan-types.ts";
import { GIB, MIB } from "../../src/core/units.ts";
import { backendsWith, cpu, endpointOf, gpu, inputOf, layersOf, modelOf, planned } from "../fixtures/model-facts.ts";
import { createRandom, type Random } from "../fixtures/random.ts";

/** A random machine park and model; some fit, some don't. */
function randomInput(random: Random): PlanInput {
  const backend = (position: number): BackendFacts => ({
    endpoint: endpointOf(position),
    devices: Array.from({ length: random.pick([1, 1, 1, 2, 4]) }, (_, index) => {
      const bytes = random.whole(1, 40) * 200 * MIB;
      return random.next() < 0.5 ? cpu(bytes, index) : gpu(bytes, index);
    }),
    ...(random.next() < 0.2 && { maxMemoryBytes: random.whole(1, 8) * GIB }),
    ...(random.next() < 0.2 && { priority: random.whole(-1, 2) }),
    ...(random.next() < 0.3 && { machine: `machine ${random.whole(0, 2)}` }),
  });
  const localDevices = Array.from({ length: random.pick([0, 0, 0, 1, 2]) }, (_, i): LocalDevice => {
    const bytes = random.whole(0, 10) * GIB;
    return { name: `CUDA${i}`, description: "", freeBytes: bytes, totalBytes: bytes };
  });
  return inputOf({
    facts: modelOf({
      layers: random.whole(1, 120),
      layerBytes: random.whole(1, 600) * MIB,
      kvElements: random.whole(0, 4) * 256,
      outputBytes: random.whole(1, 900) * MIB,
    }),
    backends: Array.from({ length: random.whole(0, 20) }, (_, i) => backend(i)),
    localDevices,
    options: { placement: random.pick(["spread", "fewest"]), contextSize: random.whole(256, 40_000) },
  });
}

function forEachPlan(look: (plan: Plan, input: PlanInput) => void): void {
  const random = createRandom(24);
  let plans = 0;
  for (let run = 0; run < 1500; run++) {
    const input = randomInput(random);
    const result = planModel(input);
    if (!result.ok) continue;
    plans++;
    look(result.plan, input);
  }
  expect(plans).toBeGreaterThan(300);
}

describe("every plan, over 1500 random parks", () => {
  test("places each layer once, and no backend in it is idle", () => {
    forEachPlan((plan, { facts }) => {
      const local = plan.head.devices.reduce((sum, { layers }) => sum + layers, 0);
      expect(layersOf(plan).reduce((sum, layers) => sum + layers, local)).toBe(facts.layers.length + 1);
      expect(Math.min(1, ...layersOf(plan))).toBe(1);
      for (const { layers, devices } of plan.backends) {
        expect(devices.reduce((sum, device) => sum + device.layers, 0)).toBe(layers);
      }
    });
  });

  test("fills no device beyond what it may use", () => {
    forEachPlan((plan, input) => {
      const park = parkOf(input, plan.head.modelBytes + plan.head.computeBytes);
      const chosen = park.backends.filter(({ facts }) =>
        plan.backends.some(({ endpoint }) => endpoint === facts.endpoint),
      );
      const usable = slotsOf(park, chosen).map((slot) => slot.usableBytes);
      const shares = [...plan.backends.flatMap(({ devices }) => devices), ...plan.head.devices];
      const over = shares.filter(
        ({ modelBytes, kvBytes, computeBytes }, i) => modelBytes + kvBytes + computeBytes > (usable[i] ?? 0),
      );
      expect(over).toEqual([]);
    });
  });

  test("lists its backends in the order of the config, each once, and within llama-server's limit", () => {
    forEachPlan((plan, { backends }) => {
      const listed = backends.map(({ endpoint }) => endpoint);
      const order = plan.backends.map(({ endpoint }) => listed.indexOf(endpoint));
      expect(order).toEqual([...new Set(order)].toSorted((a, b) => a - b));
      const devices = plan.backends.flatMap((backend) => backend.devices).length + plan.head.devices.length;
      expect(devices).toBeLessThanOrEqual(MAX_DEVICES);
    });
  });

  test("is the same for the same facts", () => {
    const runs = [createRandom(3), createRandom(3)].map((random) =>
      Array.from({ length: 50 }, () => planModel(randomInput(random))),
    );
    expect(runs[0]).toEqual(runs[1] ?? []);
  });
});

describe("a large park", () => {
  test("1,000 backends and 200 layers are planned, with the survivors of each loss", () => {
    const backends = backendsWith(...Array.from({ length: 1000 }, (_, i) => (4 + (i % 7)) * GIB));
    for (const placement of ["fewest", "spread"] as const) {
      const plan = planned({ backends, facts: modelOf({ layers: 200 }), options: { placement } });
      expect(plan.survives).toHaveLength(plan.backends.length);
      expect(layersOf(plan).reduce((sum, layers) => sum + layers, 0)).toBe(201);
    }
  });
});
