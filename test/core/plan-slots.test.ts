/** How much of a backend may be used: the owner's limit, and memory that several of them share. */
import { describe, expect, test } from "bun:test";
import { parkOf, withinLimits } from "../../src/core/plan-slots.ts";
import type { BackendFacts } from "../../src/core/plan-types.ts";
import { GIB } from "../../src/core/units.ts";
import { backendsWith, cpu, endpointOf, gpu, layersOf, modelOf, planned, refused } from "../fixtures/model-facts.ts";

describe("what a backend may be used for", () => {
  test("the owner's maxMemory caps it, and weighs it in a spread", () => {
    const backends = backendsWith(8 * GIB, 8 * GIB).map((backend, i) =>
      i === 0 ? { ...backend, maxMemoryBytes: 2 * GIB } : backend,
    );
    expect(layersOf(planned({ backends }))).toEqual([5, 20]);
    const fewest = planned({ options: { placement: "fewest" }, backends });
    expect(fewest.backends.map(({ endpoint }) => endpoint)).toEqual([endpointOf(1)]);
  });

  test("maxMemory is shared by its devices in proportion, and means nothing above what is free", () => {
    const devices = [gpu(2 * GIB, 0), gpu(6 * GIB, 1)];
    const layers = (maxMemoryBytes: number) =>
      planned({ backends: [{ endpoint: endpointOf(0), devices, maxMemoryBytes }] }).backends[0]?.devices.map(
        (device) => device.layers,
      );
    expect(layers(6 * GIB)).toEqual([7, 18]);
    expect(layers(60 * GIB)).toEqual([7, 18]);
  });

  test("the CPU devices of one machine share its memory, since each reports all of it", () => {
    const on = (machine: string, position: number): BackendFacts => ({
      endpoint: endpointOf(position),
      machine,
      devices: [cpu(3 * GIB)],
    });
    expect(refused({ backends: [on("a", 0), on("a", 1)], facts: modelOf({ layers: 40 }) }).text).toContain(
      "2.7 GiB usable",
    );
    expect(layersOf(planned({ backends: [on("a", 0), on("b", 1)], facts: modelOf({ layers: 40 }) }))).toEqual([21, 20]);
  });

  test("a second CPU backend of a machine ranks below those that bring memory of their own", () => {
    const on = (machine: string, position: number, gib: number): BackendFacts => ({
      endpoint: endpointOf(position),
      machine,
      devices: [cpu(gib * GIB)],
    });
    const { byMemory } = parkOf({ backends: [on("a", 0, 9), on("a", 1, 9), on("b", 2, 4)], localDevices: [] }, 0);
    const taken = withinLimits(byMemory, []).map(({ facts }) => facts.endpoint);
    expect(taken).toEqual([endpointOf(0), endpointOf(2), endpointOf(1)]);
  });

  test("accelerators of different memory on one machine are each their own", () => {
    const on = (position: number, bytes: number): BackendFacts => ({
      endpoint: endpointOf(position),
      machine: "a",
      devices: [gpu(bytes)],
    });
    expect(layersOf(planned({ backends: [on(0, 2 * GIB), on(1, 2.1 * GIB)] }))).toEqual([13, 12]);
  });
});
