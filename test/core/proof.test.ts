/** proveLoad(): the log of a real load proves its plan, and each way to lie elsewhere is a problem in words. */
import { describe, expect, test } from "bun:test";
import type { BackendFacts } from "../../src/core/plan-types.ts";
import { type Proof, proveLoad } from "../../src/core/proof.ts";
import { GIB, MIB } from "../../src/core/units.ts";
import { halved, LOG_ENDPOINTS, LOG_LINES, bufferLine as line, seenIn } from "../fixtures/engine-log.ts";
import { cpu, planned, R24 } from "../fixtures/model-facts.ts";

const [A, B, C] = LOG_ENDPOINTS;
const BACKENDS: readonly BackendFacts[] = LOG_ENDPOINTS.map((endpoint) => ({ endpoint, devices: [cpu(24 * GIB)] }));
const PLAN = planned({ facts: R24, backends: BACKENDS });

/** The proof from the real log, with each line that contains a key changed to that key's value ("" leaves it out). */
function proofWith(changes: Readonly<Record<string, string>> = {}, extra: readonly string[] = []): Proof {
  const lines = LOG_LINES.map((line) => {
    const key = Object.keys(changes).find((part) => line.includes(part));
    return key === undefined ? line : (changes[key] ?? "");
  });
  return proveLoad(PLAN, R24, seenIn([...lines, ...extra]));
}

describe("the log of a real load", () => {
  test("proves its plan: layers, weights and cache of each backend", () => {
    const proof = proofWith();
    expect(proof).toMatchObject({ proven: true, problems: [], totalLayers: 25, offloadedLayers: 25 });
    expect(proof.backends.map(({ endpoint, layers, kvBytes }) => [endpoint, layers, kvBytes / MIB])).toEqual([
      [A, 9, 18],
      [B, 8, 16],
      [C, 8, 14],
    ]);
    expect(proof.backends.map(({ computeBytes }) => (computeBytes / MIB).toFixed(2))).toEqual([
      "28.80",
      "22.04",
      "22.04",
    ]);
    expect((proof.head.modelBytes / MIB).toFixed(2)).toBe("0.24");
    expect((proof.head.computeBytes / MIB).toFixed(2)).toBe("23.57");
  });

  /** As llama-server 0.7.0 loads a draft model after the model, in the same words. */
  const draftLines = (place: string) => [
    "0.00.066.978 I common_speculative_init_result: loading draft model '/d.gguf'",
    "0.00.067.702 I load_tensors: loading model tensors, this can take a while... (load_mode = mmap)",
    "0.00.068.427 I load_tensors: offloaded 0/5 layers to GPU",
    `0.00.068.428 I load_tensors:   ${place} model buffer size =     6.88 MiB`,
    "0.00.068.531 I llama_context: constructing llama_context",
    `0.00.068.594 I llama_kv_cache:        ${place} KV buffer size =     2.00 MiB`,
  ];

  test("proves its plan also when a draft model is loaded after it, as long as that stays on the head node", () => {
    expect(proofWith({}, draftLines("CPU_Mapped"))).toEqual(proofWith());
    const { proven, problems } = proofWith({}, draftLines(`RPC0[${A}]`));
    expect([proven, problems[0]]).toEqual([false, expect.stringContaining(`${A} holds`)]);
  });

  test("proves no other plan", () => {
    const other = planned({ facts: R24, backends: BACKENDS.slice(0, 2) });
    expect(proveLoad(other, R24, seenIn(LOG_LINES)).problems).toEqual([
      `${A} holds 9 layers, planned 13`,
      `${A} holds 14.4 MiB of weights, planned 20.8 MiB`,
      `${A} holds 18.0 MiB of KV cache, planned 26.0 MiB`,
      `${B} holds 8 layers, planned 12`,
      `${B} holds 12.8 MiB of weights, planned 17.8 MiB`,
      `${B} holds 16.0 MiB of KV cache, planned 22.0 MiB`,
      `${C}/0 holds 25.4 MiB, planned none`,
    ]);
  });
});

describe("what lies elsewhere than planned is a problem", () => {
  test("nothing on a backend", () => {
    const { proven, problems } = proofWith({ [`[${B}] model`]: "", [`[${B}] KV`]: "" });
    expect(proven).toBe(false);
    expect(problems[0]).toBe(`${B} holds nothing, planned 8 layers (12.8 MiB)`);
  });

  test("a layer moved from one backend to the next", () => {
    const moved = proofWith({
      [`[${A}] model`]: line(`RPC0[${A}]`, "model", 14.37 - 1.6),
      [`[${A}] KV`]: line(`RPC0[${A}]`, "KV", 16),
      [`[${B}] model`]: line(`RPC0[${B}]`, "model", 12.77 + 1.6),
      [`[${B}] KV`]: line(`RPC0[${B}]`, "KV", 18),
    });
    expect(moved.problems).toContain(`${A} holds 8 layers, planned 9`);
    expect(moved.problems).toContain(`${B} holds 9 layers, planned 8`);
    expect(moved.problems.join()).not.toContain(C);
  });

  test("the output head on the head node", () => {
    const proof = proofWith({
      [`[${C}] model`]: line(`RPC0[${C}]`, "model", 11.18),
      CPU_Mapped: line("CPU", "model", 0.49),
    });
    expect(proof.problems).toEqual([
      `${C} holds 7 layers, planned 8`,
      `${C} holds 11.2 MiB of weights, planned 11.4 MiB`,
      "the head node holds 501.8 KiB of weights, planned 250.5 KiB",
    ]);
  });

  test("weights that stayed on the head node, mapped or copied", () => {
    for (const name of ["CPU_Mapped", "CPU", "CPU_REPACK", "CUDA_Host"]) {
      const problems = proofWith({
        CPU_Mapped: line(name, "model", 12.99),
        [`[${B}] model`]: line(`RPC0[${B}]`, "model", 0.01),
      }).problems;
      expect(problems).toContain("the head node holds 13.0 MiB of weights, planned 250.5 KiB");
    }
  });

  test("a copy on the head node beside the planned place, unless it is only mapped", () => {
    expect(proofWith({ CPU_Mapped: line("CPU", "model", 38.81) }).problems).toEqual([
      "the head node holds 38.8 MiB of weights, planned 250.5 KiB",
    ]);
    // A mapping reports the range that it spans in the file, whoever holds the tensors in between.
    expect(proofWith({ CPU_Mapped: line("CPU_Mapped", "model", 38.81) }).problems).toEqual([]);
  });

  test("cache on the head node", () => {
    const { problems } = proofWith({ [`[${C}] KV`]: line("CPU", "KV", 14) });
    expect(problems).toContain("the head node holds 14.0 MiB of KV cache, planned none");
    expect(problems).toContain(`${C} holds 0 B of KV cache, planned 14.0 MiB`);
  });

  test("a device that the plan does not name", () => {
    expect(proofWith({}, [line("CUDA0", "model", 3), line("CUDA0", "KV", 1)]).problems).toEqual([
      "CUDA0 holds 4.0 MiB, planned none",
    ]);
    expect(proofWith({}, [line("CUDA0", "compute", 3)]).proven).toBe(true);
    expect(proofWith({}, [line(`RPC1[${A}]`, "model", 3)]).problems).toEqual([`${A}/1 holds 3.0 MiB, planned none`]);
  });

  test("`--gpu-layers 0`, as the real engine logs it: connections, and nothing behind them", () => {
    const lines = [
      "0.00.030.355 I load_tensors: loading model tensors, this can take a while... (load_mode = mmap)",
      "0.00.038.650 I load_tensors: offloading 0 repeating layers to GPU",
      "0.00.038.665 I load_tensors: offloaded 0/25 layers to GPU",
      "0.00.038.673 I load_tensors:   CPU_Mapped model buffer size =    38.81 MiB",
      "0.00.039.211 I llama_context: constructing llama_context",
      "0.00.039.649 I llama_kv_cache:        CPU KV buffer size =    48.00 MiB",
      "0.00.072.594 I sched_reserve:        CPU compute buffer size =     8.52 MiB",
    ];
    expect(proveLoad(PLAN, R24, seenIn(lines)).problems).toEqual([
      `${A} holds nothing, planned 9 layers (14.4 MiB)`,
      `${B} holds nothing, planned 8 layers (12.8 MiB)`,
      `${C} holds nothing, planned 8 layers (11.4 MiB)`,
      "0 of 25 layers were offloaded, planned 25",
      "the head node holds 38.8 MiB of weights, planned 250.5 KiB",
      "the head node holds 48.0 MiB of KV cache, planned none",
    ]);
  });

  test("a log that shows nothing at all", () => {
    const proof = proveLoad(PLAN, R24, seenIn([]));
    expect(proof.problems).toContain("the log shows no offloaded layers");
    expect(proof.backends.every(({ layers, modelBytes }) => layers === 0 && modelBytes === 0)).toBe(true);
  });

  test("model or KV bytes off by more than 1 %, but not by less", () => {
    const model = (factor: number) =>
      proofWith({ [`[${A}] model`]: line(`RPC0[${A}]`, "model", 14.37 * factor) }).proven;
    const kv = (factor: number) => proofWith({ [`[${A}] KV`]: line(`RPC0[${A}]`, "KV", 18 * factor) }).proven;
    expect([model(0.98), model(0.995), model(1.005), model(1.02)]).toEqual([false, true, true, false]);
    expect([kv(0.98), kv(0.995), kv(1.005), kv(1.02)]).toEqual([false, true, true, false]);
  });
});

describe("what is printed more than once", () => {
  test("a dry load first: only the last load counts", () => {
    const dry = LOG_LINES.map((text) => text.replace(/model buffer size = +[\d.]+/, "model buffer size = 99.00"));
    expect(proveLoad(PLAN, R24, seenIn([...dry, ...LOG_LINES])).problems).toEqual([]);
  });

  test("a context made twice: only the last one's cache and compute buffers count", () => {
    const from = LOG_LINES.findIndex((text) => text.includes("constructing llama_context"));
    const again = LOG_LINES.slice(from);
    expect(proveLoad(PLAN, R24, seenIn([...LOG_LINES, ...again])).problems).toEqual([]);
  });

  test("compute buffers reserved again in another size: the last one counts", () => {
    const [first] = proofWith({}, [line(`RPC0[${A}]`, "compute", 5)]).backends;
    expect(first?.computeBytes).toBe(5 * MIB);
  });

  test("a split file: the mappings of its parts add up", () => {
    const parts = [line("CPU_Mapped", "model", 0.12), line("CPU_Mapped", "model", 0.12)].join("\n");
    const lines = LOG_LINES.flatMap((text) => (text.includes("CPU_Mapped") ? parts.split("\n") : [text]));
    expect(proveLoad(PLAN, R24, seenIn(lines)).problems).toEqual([]);
  });

  test("two caches of one place (a sliding window beside a full one) add up", () => {
    const lines = LOG_LINES.flatMap((text) => (/KV buffer size/.test(text) ? [halved(text), halved(text)] : [text]));
    expect(proveLoad(PLAN, R24, seenIn(lines)).problems).toEqual([]);
  });
});
