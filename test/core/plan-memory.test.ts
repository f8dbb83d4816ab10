/** Memory that is shared on one machine, margins by kind, and the head node. */
import { describe, expect, test } from "bun:test";
import { heldByPlans, withGivenBack } from "../../src/core/plan-held.ts";
import { Memory, settleClaims } from "../../src/core/plan-memory.ts";
import type { BackendFacts, DeviceFacts } from "../../src/core/plan-types.ts";
import { GIB, MIB } from "../../src/core/units.ts";
import { backendsWith, cpu, endpointOf, gpu, layersOf, modelOf, planned, refused } from "../fixtures/model-facts.ts";
import { speed } from "../fixtures/speeds.ts";

function on(machine: string, position: number, device: DeviceFacts, more: Partial<BackendFacts> = {}): BackendFacts {
  return { endpoint: endpointOf(position), machine, devices: [device], ...more };
}

describe("margins", () => {
  const usable = (kind: "cpu" | "accelerator", gib: number) =>
    new Memory({}, 0).usable({ kind, freeBytes: gib * GIB }, undefined) / GIB;

  test("leave 1 GiB of an accelerator and 4 GiB of a CPU's machine at most, and less of small ones", () => {
    expect([usable("accelerator", 64), usable("accelerator", 10)]).toEqual([63, 9.5]);
    expect([usable("cpu", 64), usable("cpu", 10)]).toEqual([60, 9]);
  });
});

describe("accelerators of the same memory on one machine", () => {
  const backends = [on("a", 0, gpu(3 * GIB)), on("a", 1, gpu(3 * GIB))];

  test("are one card, which two rpc-servers share", () => {
    const facts = modelOf({ layers: 30 });
    expect(refused({ backends, facts }).text).toContain("2.8 GiB usable");
    const plan = planned({ backends, facts: modelOf({ layers: 22 }) });
    expect(layersOf(plan)).toEqual([12, 11]);
    expect(plan.reasons).toContain(
      "10.0.0.1:50052 and 10.0.0.2:50052 report an accelerator of 4.0 GiB each on one machine: taken for one card; " +
        "synaptic.backends[].ownDevice says otherwise",
    );
  });

  test("are two when the owner says so, or when one rpc-server reports both", () => {
    const facts = modelOf({ layers: 30 });
    const own = backends.map((backend, i) => (i === 1 ? { ...backend, ownDevice: true } : backend));
    const plan = planned({ backends: own, facts });
    expect([layersOf(plan).length, plan.reasons.some((reason) => reason.includes("one card"))]).toEqual([2, false]);
    const both = { endpoint: endpointOf(0), machine: "a", devices: [gpu(3 * GIB, 0), gpu(3 * GIB, 1)] };
    expect(layersOf(planned({ backends: [both], facts }))).toEqual([31]);
  });

  test("are one with the head node's own, when the rpc-server runs there", () => {
    const localDevices = [{ name: "CUDA0", description: "", freeBytes: 3 * GIB, totalBytes: 4 * GIB }];
    const facts = modelOf({ layers: 30 });
    expect(refused({ backends: [on("127.0.0.1", 0, gpu(3 * GIB))], localDevices, facts }).text).toContain(
      "2.8 GiB usable",
    );
    expect(planned({ backends: [on("b", 0, gpu(3 * GIB))], localDevices, facts }).backends).toHaveLength(1);
  });
});

describe("settleClaims()", () => {
  const claim = (pool: string | null, usableBytes: number, mostBytes = usableBytes) => ({
    pool,
    usableBytes,
    mostBytes,
  });

  test("gives what one may not take to the others, and never more than there is", () => {
    expect(settleClaims([claim("a", 12, 2), claim("a", 12), claim("a", 12)])).toEqual([2, 5, 5]);
    expect(settleClaims([claim("a", 12, 9), claim("a", 12, 9)])).toEqual([6, 6]);
    expect(settleClaims([claim("a", 12), claim("b", 12), claim(null, 12)])).toEqual([12, 12, 12]);
  });
});

describe("a machine's RAM", () => {
  test("is less by what others hold there, and the plan says who", () => {
    const backends = [on("a", 0, cpu(4 * GIB))];
    const held = [{ machine: "a", ramBytes: 1.5 * GIB, what: "ollama llama3" }];
    expect(planned({ backends }).backends).toHaveLength(1);
    expect(refused({ backends, held }).text).toContain("needs 2.8 GiB, 2.3 GiB usable");
    const plan = planned({
      backends,
      held: [{ ...held[0], machine: "a", ramBytes: 0.5 * GIB, what: "ollama llama3" }],
    });
    expect(plan.reasons).toContain("512.0 MiB of the RAM of a are held by ollama llama3");
  });

  test("is less by what stays on the head node, where the backend runs on the head node", () => {
    const backends = [on("127.0.0.1", 0, cpu(4 * GIB))];
    const facts = modelOf({}, { inputBytes: GIB });
    expect(planned({ backends: [on("b", 0, cpu(4 * GIB))], facts }).backends).toHaveLength(1);
    expect(refused({ backends, facts }).text).toContain("2.6 GiB usable");
    expect(planned({ backends, head: { freeBytes: 4 * GIB, totalBytes: 4 * GIB } }).backends).toHaveLength(1);
    expect(refused({ backends, head: { freeBytes: 2 * GIB, totalBytes: 4 * GIB } }).text).toContain("1.8 GiB usable");
  });
});

describe("a head node too small for what stays there", () => {
  test("is refused with each part and what is missing", () => {
    const head = { freeBytes: 2 * GIB, totalBytes: 8 * GIB };
    const facts = modelOf({}, { inputBytes: GIB });
    expect(planned({ facts, head }).backends).toHaveLength(3);
    const sides = { projector: { path: "/p", bytes: 600 * MIB }, draft: { path: "/d", bytes: GIB } };
    const { code, text } = refused({ facts, head, options: sides });
    expect(code).toBe("does_not_fit");
    expect(text).toMatch(
      /^Cannot place m: the head node needs 2\.6 GiB for what stays there \(embeddings 1\.0 GiB, compute \d+\.\d MiB, projector 600\.0 MiB, draft model 1\.0 GiB\), 1\.9 GiB usable: 0\.8 GiB missing/,
    );
  });

  test("is judged by its total less what other coordinators hold, when the kernel knows no better yet", () => {
    const head = { freeBytes: 8 * GIB, totalBytes: 8 * GIB };
    const facts = modelOf({}, { inputBytes: GIB });
    const held = [{ machine: "127.0.0.1", ramBytes: 7 * GIB, what: "other" }];
    expect(planned({ facts, head }).head.modelBytes).toBe(GIB);
    expect(refused({ facts, head, held }).text).toContain("921.6 MiB usable");
  });

  test("is not guessed at where its memory is unknown", () => {
    expect(planned({ facts: modelOf({}, { inputBytes: 900 * GIB }) }).backends).toHaveLength(3);
  });
});

describe("what coordinators hold", () => {
  const devices = [cpu(8 * GIB, 0), gpu(8 * GIB, 1)];
  const backends = [{ endpoint: endpointOf(0), machine: "a", devices }];
  const plan = planned({ backends, options: { projector: { path: "/p", bytes: 100 } } });

  test("is the layers on CPU devices, and what stays on the head node", () => {
    const [device] = plan.backends[0]?.devices ?? [];
    const { modelBytes, computeBytes } = plan.head;
    expect(heldByPlans([plan], backends)).toEqual([
      {
        machine: "a",
        ramBytes: (device?.modelBytes ?? 0) + (device?.kvBytes ?? 0) + (device?.computeBytes ?? 0),
        what: "m",
      },
      { machine: "127.0.0.1", ramBytes: modelBytes + computeBytes + 100, what: "m" },
    ]);
  });

  test("comes back to the head node without what is mapped, and to its total at most", () => {
    const head = { freeBytes: GIB, totalBytes: 2 * GIB, speed: speed(1) };
    expect(withGivenBack(head, [plan], backends)).toEqual({ ...head, freeBytes: GIB + plan.head.computeBytes + 100 });
    const here = [{ endpoint: endpointOf(0), machine: "127.0.0.1" }];
    expect(withGivenBack(head, [plan], here).freeBytes).toBe(2 * GIB);
    expect(withGivenBack(head, [], backends)).toEqual(head);
  });
});

describe("a refusal offers a quantisation", () => {
  test("the largest that fits at this context, by the bits that the file's own weights have", () => {
    const at = (gib: number) => refused({ backends: backendsWith(gib * GIB) }).text;
    expect(at(2.4)).toContain(
      "take a smaller quantisation: Q8_0 (about 8.5 bits a weight; this file has 16.0) would fit",
    );
    expect(at(1.3)).toContain("Q4_K_M (about 4.8 bits a weight; this file has 16.0) would fit");
    expect(at(0.5)).toContain("choose a smaller model");
  });

  test("none that is no smaller, and none by name where the header does not tell", () => {
    const few = modelOf({}, { parameters: 4.2e9 });
    expect(refused({ facts: few, backends: backendsWith(2.6 * GIB) }).text).toContain("Q3_K_M (about 3.9 bits");
    const unknown = modelOf({}, { parameters: 1 });
    expect(refused({ facts: unknown, backends: backendsWith(GIB) }).text).toContain("choose a smaller quantisation;");
  });
});
