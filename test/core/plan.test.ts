/** planModel(): what a plan states, what a refusal says. Placement: plan-place.test.ts; what holds for every plan: plan-laws.test.ts. */
import { describe, expect, test } from "bun:test";
import { coordinatorArgs } from "../../src/core/argv.ts";
import type { Plan } from "../../src/core/plan-types.ts";
import { GIB, MIB } from "../../src/core/units.ts";
import {
  backendsWith,
  cpu,
  endpointOf,
  gpu,
  layersOf,
  modelOf,
  planned,
  R24,
  refused,
} from "../fixtures/model-facts.ts";

describe("a plan", () => {
  test("states what each backend will hold, as the engine then logs it", () => {
    const plan = planned({ facts: R24 });
    expect(plan.totalLayers).toBe(25);
    expect(plan.offloadedLayers).toBe(25);
    expect(layersOf(plan)).toEqual([9, 8, 8]);
    expect(plan.backends.map(({ kvBytes }) => kvBytes / MIB)).toEqual([18, 16, 14]);
    expect(plan.backends.map(({ modelBytes }) => (modelBytes / MIB).toFixed(2))).toEqual(["14.37", "12.77", "11.42"]);
    expect((plan.head.modelBytes / MIB).toFixed(2)).toBe("0.24");
  });

  test("keeps a projector on the head node, and says so", () => {
    const projector = { path: "/o/eyes", bytes: 600 * MIB };
    const plan = planned({ options: { projector } });
    expect([plan.projector, plan.head.projectorBytes]).toEqual(["/o/eyes", 600 * MIB]);
    expect(plan.reasons).toContain("the projector (600.0 MiB) stays on the head node");
    const { backends, head, projector: none } = planned();
    expect([backends, none]).toEqual([plan.backends, null]);
    expect(head).not.toHaveProperty("projectorBytes");
  });

  test("keeps a draft model on the head node, and says so", () => {
    const plan = planned({ options: { draft: { path: "/o/quick", bytes: 600 * MIB } } });
    expect([plan.draft, plan.head.draftBytes]).toEqual(["/o/quick", 600 * MIB]);
    expect(plan.reasons).toContain("the draft model (600.0 MiB with its cache) stays on the head node");
    expect([planned().draft, planned().head]).toEqual([null, expect.not.objectContaining({ draftBytes: 0 })]);
  });

  test("reserves adapters where their layers are, and says so", () => {
    const adapters = [200, 40].map((size) => ({ path: `/o/${size}`, bytes: size * MIB }));
    const [without, plan] = [planned(), planned({ options: { adapters } })];
    const compute = ({ backends }: Plan) => backends.reduce((sum, backend) => sum + backend.computeBytes, 0);
    expect(layersOf(plan)).toEqual(layersOf(without));
    expect((compute(plan) - compute(without)) / MIB).toBeCloseTo(240, 3);
    expect(plan.backends.map(({ modelBytes }) => modelBytes)).toEqual(
      without.backends.map(({ modelBytes }) => modelBytes),
    );
    expect(plan.adapters).toEqual(["/o/200", "/o/40"]);
    expect(plan.reasons.join("; ")).toContain("adapters (240.0 MiB)");
  });

  test("does not fit where the adapters would not", () => {
    const backends = backendsWith(4 * GIB);
    expect(planned({ backends }).backends).toHaveLength(1);
    expect(refused({ backends, options: { adapters: [{ path: "/o/a", bytes: 2 * GIB }] } }).code).toBe("does_not_fit");
  });

  test("sums a backend's devices, and gives each its index", () => {
    const devices = [gpu(2 * GIB, 0), cpu(6 * GIB, 1)];
    const [backend] = planned({ backends: [{ endpoint: endpointOf(0), devices }] }).backends;
    expect(backend?.devices).toMatchObject([
      { index: 0, kind: "accelerator", layers: 7 },
      { index: 1, kind: "cpu", layers: 18 },
    ]);
    expect(backend?.layers).toBe(25);
    expect(backend?.kvBytes).toBe(24 * 16 * MIB);
    expect(backend?.modelBytes).toBe(2450 * MIB);
  });

  test("keeps the embeddings on the head node, also when the output head is tied to them and counted again", () => {
    const facts = modelOf({ outputBytes: 41 * MIB }, { inputBytes: 40 * MIB, tiedOutput: true });
    const plan = planned({ facts });
    expect(plan.head.modelBytes).toBe(40 * MIB);
    expect(plan.backends.at(-1)?.modelBytes).toBe(7 * 100 * MIB + 41 * MIB);
  });

  test("pads the context as llama.cpp does, and asks for no more than the model was trained for", () => {
    expect(planned({ options: { contextSize: 5000 } }).contextSize).toBe(5120);
    expect(planned({ options: { contextSize: null } }).contextSize).toBe(4096);
    const long = planned({
      facts: modelOf({ kvElements: 8 }, { trainedContext: 131_072 }),
      options: { contextSize: null },
    });
    expect(long.contextSize).toBe(32_768);
    expect(long.reasons).toContain("context 32768 of the 131072 trained for; synaptic.contextSize asks for more");
  });

  test("does as told beyond the trained context, with a reason", () => {
    const plan = planned({ options: { contextSize: 8192 } });
    expect(plan.contextSize).toBe(8192);
    expect(plan.reasons).toContain("context 8192 is beyond the 4096 that the model was trained for");
  });

  test("counts a quantised cache by its type, with flash attention on", () => {
    const facts = modelOf({}, { headSize: 160 });
    const bytes = (kvType: "f16" | "q8_0" | "q4_0") => {
      const plan = planned({ facts, options: { kvType } });
      return [plan.kvType, plan.flashAttention, plan.backends.reduce((sum, { kvBytes }) => sum + kvBytes, 0) / MIB];
    };
    expect([bytes("f16"), bytes("q8_0"), bytes("q4_0")]).toEqual([
      ["f16", false, 384],
      ["q8_0", true, 204],
      ["q4_0", true, 108],
    ]);
  });

  test("says when the cache is only an upper bound", () => {
    const plan = planned({ facts: modelOf({}, { kvInexact: "some layers see a window" }) });
    expect(plan.kvInexact).toBe("some layers see a window");
    expect(plan.reasons).toContain(
      "KV cache takes 384.0 MiB at most, and so much is reserved: some layers see a window",
    );
  });

  test("names in its reasons whom it does without, and why", () => {
    const leftOut = [{ endpoint: endpointOf(9), reason: "connection refused: is rpc-server running there?" }];
    expect(planned({ leftOut }).reasons).toEqual([
      "spread: 3 usable backends in proportion to free memory",
      "fits without 10.0.0.10:50052: connection refused: is rpc-server running there?",
    ]);
    expect(planned({ options: { placement: "fewest" } }).reasons).toEqual(["fewest: 1 of 3 usable backends holds it"]);
  });

  test("keeps the head node's devices in the split, with 0 where they hold nothing", () => {
    const localDevices = [{ name: "CUDA0", description: "", freeBytes: 100, totalBytes: 100 }];
    const plan = planned({ localDevices });
    expect(plan.head.devices).toMatchObject([{ name: "CUDA0", layers: 0, modelBytes: 0, kvBytes: 0 }]);
    expect(coordinatorArgs(plan, 1).join(" ")).toContain("--tensor-split 9,8,8,0 ");
  });
});

test("a plan says what one slot may use of the context alone, and what each has when all are full", () => {
  expect(planned({ options: { parallel: 3 } }).contextPerSlot).toEqual({ alone: 4096, even: 1365 });
});

describe("survives", () => {
  test("names each backend whose loss the others would bear", () => {
    expect(planned({ backends: backendsWith(2 * GIB, 2 * GIB, 2 * GIB) }).survives).toHaveLength(3);
    expect(planned({ backends: backendsWith(1.5 * GIB, 1.5 * GIB, 1.5 * GIB) }).survives).toEqual([]);
    expect(planned({ backends: backendsWith(1.5 * GIB, 1.5 * GIB, 4 * GIB) }).survives).toEqual([
      endpointOf(0),
      endpointOf(1),
    ]);
  });

  test("counts backends outside of the plan as well", () => {
    const options = { placement: "fewest" } as const;
    expect(planned({ options, backends: backendsWith(8 * GIB) }).survives).toEqual([]);
    expect(planned({ options, backends: backendsWith(8 * GIB, 8 * GIB) }).survives).toEqual([endpointOf(0)]);
  });
});

describe("a refusal", () => {
  test("of a quantised cache for heads that its blocks do not divide", () => {
    const facts = { ...R24, headSize: 100 };
    const { code, text } = refused({ facts, options: { kvType: "q8_0" } });
    expect(code).toBe("does_not_fit");
    expect(text).toContain("with a q8_0 KV cache: its head size 100 is no multiple of 32");
    expect(planned({ facts }).kvType).toBe("f16");
  });

  test("says what is needed, what is usable, and the context that would fit", () => {
    const facts = modelOf({}, { trainedContext: 32_768 });
    const backends = backendsWith(1.7 * GIB, 1.7 * GIB);
    const { code, text } = refused({ facts, backends, options: { contextSize: 32_768 } });
    expect(code).toBe("does_not_fit");
    expect(text).toBe(
      "Cannot place m on 2 backends: needs 5.5 GiB, 3.1 GiB usable: 2.9 GiB missing in whole layers (a context of 4096 " +
        "tokens fits (synaptic.contextSize); or add a backend or choose a smaller model; see `synaptic plan m`)",
    );
    expect(layersOf(planned({ facts, backends, options: { contextSize: 4096 } }))).toHaveLength(2);
  });

  test("says which backends it had to do without: with them it may well fit", () => {
    const leftOut = [
      { endpoint: endpointOf(7), reason: "connection refused: is rpc-server running there?" },
      { endpoint: endpointOf(8), reason: "held by another client" },
    ];
    const { code, text } = refused({ backends: backendsWith(GIB), leftOut });
    expect(code).toBe("does_not_fit");
    expect(text).toContain(
      "(left out: 10.0.0.8:50052, connection refused: is rpc-server running there?; 10.0.0.9:50052, held by another " +
        "client; else add a backend or ",
    );
    const many = Array.from({ length: 7 }, (_, index) => ({ endpoint: endpointOf(index + 2), reason: "down" }));
    expect(refused({ backends: backendsWith(GIB), leftOut: many }).text).toContain(
      "10.0.0.6:50052, down and 3 more; else ",
    );
  });

  test("offers no context where none helps", () => {
    expect(refused({ backends: backendsWith(GIB) }).text).toBe(
      "Cannot place m on 1 backend: needs 2.8 GiB, 921.6 MiB usable: 2.1 GiB missing in whole layers (add a backend or " +
        "take a smaller quantisation: Q2_K (about 3.4 bits a weight; this file has 16.0) would fit; see `synaptic plan m`)",
    );
  });

  test("explains itself where the memory is enough in all, but not in whole layers", () => {
    const { text } = refused({ backends: backendsWith(...Array.from({ length: 15 }, () => 230 * MIB)) });
    expect(text).toContain("needs 2.8 GiB and 36.7 MiB on each further device, 3.0 GiB usable: 1.2 GiB missing");
  });

  test("without backends says why each is left out", () => {
    const leftOut = [{ endpoint: endpointOf(0), reason: "held by other" }];
    expect(refused({ backends: [], leftOut })).toEqual({
      code: "no_backends",
      text: "Cannot place m: 10.0.0.1:50052 held by other (see `synaptic backends`)",
    });
    expect(refused({ backends: [] }).text).toBe(
      "Cannot place m: no backend is configured (list your rpc-servers under rpc_backends in the config)",
    );
  });
});
