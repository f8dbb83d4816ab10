/** What holds for every plan, over random parks of machines and models; and a park of 1,000 backends. */
import { describe, expect, test } from "bun:test";
import { planModel } from "../../src/core/plan.ts";
import { MAX_DEVICES, parkOf, slotsOf } from "../../src/core/plan-slots.ts";
import { EQUAL_SPEED } from "../../src/core/plan-speed.ts";
import type { BackendFacts, LocalDevice, Plan, PlanInput } from "../../src/core/plan-types.ts";
import { GIB, MIB } from "../../src/core/units.ts";
import { backendsWith, cpu, endpointOf, gpu, inputOf, layersOf, modelOf, planned } from "../fixtures/model-facts.ts";
import { createRandom, type Random } from "../fixtures/random.ts";
import { speed } from "../fixtures/speeds.ts";

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
    ...(random.next() < 0.3 && { machine: random.pick(["machine 0", "machine 1", "127.0.0.1"]) }),
    ...(random.next() < 0.5 && { speed: speed(random.whole(1, 400) * 1e9) }),
    ...(random.next() < 0.5 && { rttMs: random.next() * 3 }),
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
    ...(random.next() < 0.5 && {
      head: {
        ...{ freeBytes: random.whole(1, 40) * GIB, totalBytes: 40 * GIB },
        ...(random.next() < 0.5 && { speed: speed(random.whole(1, 60) * 1e9) }),
      },
    }),
    ...(random.next() < 0.3 && { held: [{ machine: "machine 0", ramBytes: random.whole(0, 6) * GIB, what: "else" }] }),
    options: {
      placement: random.pick(["spread", "fewest", "fewest", "resilient"]),
      contextSize: random.whole(256, 40_000),
    },
  });
}

/** Made once: each law looks at all of them. */
const PLANS: readonly (readonly [Plan, PlanInput])[] = (() => {
  const random = createRandom(24);
  return Array.from({ length: 1500 }, () => randomInput(random)).flatMap((input) => {
    const result = planModel(input);
    return result.ok ? [[result.plan, input] as const] : [];
  });
})();

function forEachPlan(look: (plan: Plan, input: PlanInput) => void): void {
  expect(PLANS.length).toBeGreaterThan(300);
  for (const [plan, input] of PLANS) look(plan, input);
}

describe("every plan, over 1500 random parks", () => {
  test("places each layer once, and no backend in it is idle", () => {
    forEachPlan((plan, { facts }) => {
      const local = plan.head.devices.reduce((sum, { layers }) => sum + layers, 0);
      const own = local + (plan.head.layers ?? 0);
      expect(layersOf(plan).reduce((sum, layers) => sum + layers, own)).toBe(facts.layers.length + 1);
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

  test("fills no machine's RAM beyond what it has, with what stays on the head node and what others hold", () => {
    forEachPlan((plan, { backends, head, held = [] }) => {
      for (const machine of ["machine 0", "machine 1", "127.0.0.1"]) {
        const there = backends.filter((backend) => backend.machine === machine);
        const devices = there.flatMap((backend) => backend.devices.filter(({ kind }) => kind === "cpu"));
        const most = Math.max(0, ...devices.map(({ freeBytes }) => freeBytes));
        const used = plan.backends
          .filter(({ endpoint }) => there.some((backend) => backend.endpoint === endpoint))
          .flatMap((backend) => backend.devices.filter(({ kind }) => kind === "cpu"))
          .reduce((sum, { modelBytes, kvBytes, computeBytes }) => sum + modelBytes + kvBytes + computeBytes, 0);
        const others = held.reduce((sum, each) => sum + (each.machine === machine ? each.ramBytes : 0), 0);
        const stays = machine === "127.0.0.1" ? plan.head.modelBytes + plan.head.computeBytes : 0;
        if (used > 0) expect(used + others + stays).toBeLessThanOrEqual(most);
        if (used > 0 && machine === "127.0.0.1" && head) expect(used + stays).toBeLessThanOrEqual(head.freeBytes);
      }
    });
  });

  test("that is resilient survives the loss of each of its backends: without it there is another plan at this context", () => {
    let looked = 0;
    forEachPlan((plan, input) => {
      if (plan.placement !== "resilient") return;
      expect(plan.survives).toEqual(plan.backends.map(({ endpoint }) => endpoint));
      for (const { endpoint } of plan.backends) {
        const backends = input.backends.filter((backend) => backend.endpoint !== endpoint);
        const result = planModel({ ...input, backends, options: { ...input.options, placement: "fewest" } });
        expect(result.ok).toBe(true);
        looked++;
      }
    });
    expect(looked).toBeGreaterThan(50);
  });

  test("with the fewest uses no backend that is slower while those that are faster hold the model alone", () => {
    const random = createRandom(11);
    let looked = 0;
    for (let run = 0; run < 600; run++) {
      const backends = Array.from({ length: random.whole(1, 12) }, (_, i): BackendFacts => {
        const devices = [cpu(random.whole(2, 20) * 500 * MIB)];
        return { endpoint: endpointOf(i), devices, speed: speed(random.whole(1, 60) * 1e9) };
      });
      const facts = modelOf({ layers: random.whole(4, 80) });
      const input = inputOf({ facts, backends, options: { placement: "fewest" } });
      const result = planModel(input);
      if (!result.ok || result.plan.backends.length < 2) continue;
      const rates = backends.map((backend) => backend.speed?.bytesPerSecond ?? 0);
      const inPlan = rates.filter((_, i) => result.plan.backends.some(({ endpoint }) => endpoint === endpointOf(i)));
      const faster = backends.filter((_, i) => (rates[i] ?? 0) > Math.min(...inPlan) * EQUAL_SPEED);
      expect(planModel({ ...input, backends: faster }).ok).toBe(false);
      looked++;
    }
    expect(looked).toBeGreaterThan(100);
  });

  test("with the fewest is as fast, whatever the order in which equal backends are listed", () => {
    const random = createRandom(5);
    for (let run = 0; run < 100; run++) {
      const { localDevices: _, ...input } = randomInput(random);
      const [first] = input.backends;
      if (!first) continue;
      const equal = Array.from({ length: random.whole(2, 6) }, (_, i) => ({ ...first, endpoint: endpointOf(i) }));
      const options = { ...input.options, placement: "fewest" } as const;
      const [there, back] = [equal, equal.toReversed()].map((backends) => {
        return planModel({ ...input, localDevices: [], backends, options });
      });
      expect(there?.ok).toBe(back?.ok ?? false);
      if (there?.ok && back?.ok) {
        expect(layersOf(there.plan)).toEqual(layersOf(back.plan));
        expect(there.plan.estimate).toEqual(back.plan.estimate);
      }
    }
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
