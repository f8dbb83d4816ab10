/** Layers per device: llama.cpp's own split as the real engine does it, the fewest that fit, pins, and limits. */
import { describe, expect, test } from "bun:test";
import { countsByFreeMemory } from "../../src/core/plan-fill.ts";
import { MAX_DEVICES } from "../../src/core/plan-slots.ts";
import type { BackendFacts, LocalDevice } from "../../src/core/plan-types.ts";
import { GIB, MIB } from "../../src/core/units.ts";
import { backendsWith, cpu, endpointOf, gpu, layersOf, planned, refused } from "../fixtures/model-facts.ts";

/** `--tensor-split`, and the layers that llama-server 0.7.0 put on each device: read from the KV and weight bytes it logged. */
const SPLITS: readonly (readonly [weights: readonly number[], layers: readonly number[]])[] = [
  [
    [1, 1, 1],
    [4, 3, 3],
  ],
  [
    [3, 3, 4],
    [3, 3, 4],
  ],
  [
    [0.3, 0.3, 0.4],
    [3, 3, 4],
  ],
  // Ties that only single precision decides this way: 0.1 + 0.2 is 0.3 there, and 0.1 + 0.6 is more than 0.7.
  [
    [0.1, 0.2, 0.7],
    [1, 2, 7],
  ],
  [
    [0.1, 0.6, 0.3],
    [1, 7, 2],
  ],
  [
    [0.7, 0.2, 0.1],
    [7, 2, 1],
  ],
  [
    [1, 1_000_000, 1],
    [1, 9, 0],
  ],
  [
    [1, 1, 1],
    [9, 8, 8],
  ],
  [
    [1, 1],
    [13, 12],
  ],
  [
    [7, 11, 7],
    [7, 11, 7],
  ],
  [
    [1, 3, 2],
    [5, 12, 8],
  ],
  [
    [0.6, 0.3, 0.1],
    [15, 8, 2],
  ],
  [
    [20, 4, 1],
    [20, 4, 1],
  ],
  [
    [0, 1, 1],
    [0, 13, 12],
  ],
  [
    [1, 0, 1],
    [13, 0, 12],
  ],
  [
    [1, 1, 0],
    [13, 12, 0],
  ],
  [
    [1, 2, 5],
    [2, 2, 5],
  ],
];

describe("countsByFreeMemory()", () => {
  for (const [weights, layers] of SPLITS) {
    const total = layers.reduce((sum, count) => sum + count, 0);
    test(`splits ${total} layers by ${weights.join(",")} as llama.cpp does`, () => {
      const slots = weights.map((freeBytes) => ({ freeBytes }));
      expect(countsByFreeMemory(slots, total)).toEqual(layers);
    });
  }
});

describe("spread", () => {
  test("uses all backends in proportion to free memory", () => {
    expect(layersOf(planned())).toEqual([9, 8, 8]);
    expect(layersOf(planned({ backends: backendsWith(4 * GIB, 8 * GIB, 20 * GIB) }))).toEqual([4, 6, 15]);
  });

  test("evens out where a device would be overfilled", () => {
    // By free memory alone the first would get 16 layers, 1902 MiB with its compute buffer, of 1843 usable.
    expect(layersOf(planned({ backends: backendsWith(2 * GIB, 1.27 * GIB) }))).toEqual([15, 10]);
  });

  test("leaves out a backend that cannot hold one layer, and says so", () => {
    const plan = planned({ backends: backendsWith(8 * GIB, 64 * MIB, 8 * GIB) });
    expect(plan.backends.map(({ endpoint }) => endpoint)).toEqual([endpointOf(0), endpointOf(2)]);
    expect(plan.reasons).toContain("1 backend too small for one layer left out");
  });

  test("takes no more devices than `--tensor-split` has room for, the head node's own counted, and says so", () => {
    const backends = backendsWith(...Array.from({ length: 20 }, () => 8 * GIB));
    const plan = planned({ backends });
    expect(plan.backends).toHaveLength(MAX_DEVICES);
    expect(plan.reasons).toContain("5 backends left out: one llama-server takes 15 devices");
    const localDevices = [local("CUDA0", GIB), local("CUDA1", GIB)];
    expect(planned({ backends, localDevices }).backends).toHaveLength(MAX_DEVICES - 2);
  });

  test("of more backends than that, the best are taken, in the order they are listed", () => {
    const backends = backendsWith(...Array.from({ length: 17 }, (_, i) => (i === 3 || i === 5 ? 4 : 8) * GIB));
    const expected = backends.filter((_, i) => i !== 3 && i !== 5).map(({ endpoint }) => endpoint);
    expect(planned({ backends }).backends.map(({ endpoint }) => endpoint)).toEqual(expected);
  });
});

function local(name: string, freeBytes: number): LocalDevice {
  return { name, description: name, freeBytes, totalBytes: freeBytes };
}

describe("fewest", () => {
  const fewest = { placement: "fewest" } as const;

  test("takes one backend where one is enough: the one with the most memory", () => {
    const plan = planned({ options: fewest, backends: backendsWith(6 * GIB, 8 * GIB, 7 * GIB) });
    expect(plan.backends.map(({ endpoint }) => endpoint)).toEqual([endpointOf(1)]);
    expect(layersOf(plan)).toEqual([25]);
  });

  test("takes two where one is not enough, in the order they are listed, filled to the same level", () => {
    const plan = planned({ options: fewest, backends: backendsWith(1 * GIB, 2 * GIB, 1.5 * GIB, 2 * GIB) });
    expect(plan.backends.map(({ endpoint }) => endpoint)).toEqual([endpointOf(1), endpointOf(3)]);
    expect(layersOf(plan)).toEqual([12, 13]);
  });

  test("prefers accelerators to CPUs, and the owner's priority to both", () => {
    const backends: readonly BackendFacts[] = [
      { endpoint: endpointOf(0), devices: [cpu(64 * GIB)] },
      { endpoint: endpointOf(1), devices: [gpu(8 * GIB)] },
      { endpoint: endpointOf(2), devices: [cpu(16 * GIB)] },
    ];
    const first = (list: readonly BackendFacts[]) => planned({ options: fewest, backends: list }).backends[0]?.endpoint;
    expect(first(backends)).toBe(endpointOf(1));
    expect(first(backends.map((each, i) => (i === 2 ? { ...each, priority: 1 } : each)))).toBe(endpointOf(2));
  });

  test("takes the head node's own devices first, and then no backend at all", () => {
    const plan = planned({ options: fewest, localDevices: [local("CUDA0", 8 * GIB)] });
    expect(plan.backends).toEqual([]);
    expect(plan.head.devices).toMatchObject([{ name: "CUDA0", layers: 25 }]);
    expect(plan.reasons).toContain("fewest: the head node's own devices hold it, so no backend is needed");
  });

  test("fills them up with one backend where they are too small, the backend's layers first", () => {
    const plan = planned({ options: fewest, localDevices: [local("CUDA0", 2 * GIB)] });
    expect(plan.backends).toHaveLength(1);
    const [backend] = layersOf(plan);
    expect((backend ?? 0) + (plan.head.devices[0]?.layers ?? 0)).toBe(25);
    expect(plan.head.devices[0]?.layers).toBeGreaterThan(0);
  });
});

describe("pinned", () => {
  const pins = (...layers: readonly (number | undefined)[]) =>
    backendsWith(...layers.map(() => 8 * GIB)).map((backend, i): BackendFacts => {
      const count = layers[i];
      return count === undefined ? backend : { ...backend, layers: count };
    });
  const pinned = { placement: "pinned" } as const;

  test("puts exactly the layers where the owner wants them, and uses no other backend", () => {
    const plan = planned({ options: pinned, backends: pins(5, undefined, 20, 0) });
    expect(plan.backends.map(({ endpoint, layers }) => [endpoint, layers])).toEqual([
      [endpointOf(0), 5],
      [endpointOf(2), 20],
    ]);
    expect(plan.reasons).toContain("pinned: layers as set in synaptic.backends[].layers");
    expect(plan.survives).toEqual([]);
  });

  test("shares a backend's layers among its devices by free memory", () => {
    const [first] = pins(25);
    const devices = [gpu(6 * GIB, 0), gpu(18 * GIB, 1)];
    const plan = planned({ options: pinned, backends: first ? [{ ...first, devices }] : [] });
    expect(plan.backends[0]?.devices.map(({ layers }) => layers)).toEqual([7, 18]);
  });

  test("leaves the head node's own devices empty", () => {
    const plan = planned({ options: pinned, backends: pins(25), localDevices: [local("CUDA0", 8 * GIB)] });
    expect(plan.head.devices).toMatchObject([{ name: "CUDA0", layers: 0, modelBytes: 0 }]);
  });

  test("refuses pins that do not add up to the model, with both numbers", () => {
    const { code, text } = refused({ options: pinned, backends: pins(5, 10) });
    expect(code).toBe("does_not_fit");
    expect(text).toContain("are given 15 layers, the model has 25 with its output head");
    expect(text).toContain("synaptic.backends[].layers");
  });

  test("refuses pins that do not fit, naming the backend, what it needs and what it has", () => {
    const backends = pins(20, 5).map((backend, i) => (i === 0 ? { ...backend, devices: [cpu(2 * GIB)] } : backend));
    expect(refused({ options: pinned, backends }).text).toMatch(
      /10\.0\.0\.1:50052 needs 2\.3 GiB for 20 layers, 1\.8 GiB usable: 0\.6 GiB missing .*give it fewer layers/,
    );
  });

  test("refuses pins over more devices than llama-server takes", () => {
    const backends = pins(...Array.from({ length: 16 }, (_, i) => (i === 0 ? 10 : 1)));
    expect(refused({ options: pinned, backends }).text).toContain("takes 15 devices");
  });
});
