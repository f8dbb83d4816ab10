/** parseLogLine() on a real log of 0.7.0, and on lines that only look like one. */
import { describe, expect, test } from "bun:test";
import { type LogEvent, parseLogLine, whyUndrafted } from "../../src/core/llama-log.ts";
import { MIB } from "../../src/core/units.ts";
import { LOG_ENDPOINTS, LOG_LINES } from "../fixtures/engine-log.ts";

function rpc(position: 0 | 1 | 2, what: "model" | "kv" | "compute", mib: number): LogEvent {
  const place = { tag: "rpc", endpoint: LOG_ENDPOINTS[position], device: 0 } as const;
  return { tag: "buffer", what, place, bytes: Math.round(mib * MIB) };
}

function head(what: "model" | "compute", mib: number, mapped = false): LogEvent {
  return { tag: "buffer", what, place: { tag: "local", name: "CPU", mapped }, bytes: Math.round(mib * MIB) };
}

describe("the log of a real load", () => {
  test("tells where each buffer lies, in order, and nothing else", () => {
    expect(LOG_LINES.map(parseLogLine).filter((event) => event !== null)).toEqual([
      { tag: "progress", progress: 0 },
      { tag: "loading" },
      { tag: "offloaded", layers: 25, totalLayers: 25 },
      head("model", 0.24, true),
      rpc(0, "model", 14.37),
      rpc(1, "model", 12.77),
      rpc(2, "model", 11.42),
      { tag: "progress", progress: 1 },
      { tag: "context" },
      rpc(0, "kv", 18),
      rpc(1, "kv", 16),
      rpc(2, "kv", 14),
      rpc(0, "compute", 28.8),
      rpc(1, "compute", 22.04),
      rpc(2, "compute", 22.04),
      head("compute", 23.57),
    ]);
  });

  test("starts with lines that tell nothing, so that a first line is no proof of a load", () => {
    expect(LOG_LINES.slice(0, 12).map(parseLogLine)).toEqual(new Array(12).fill(null));
  });
});

describe("a buffer line", () => {
  test("of a backend's second device counts per endpoint", () => {
    const line = "0.1 I load_tensors: RPC1[gpu-box.lan:50052] model buffer size =  2048.00 MiB";
    expect(parseLogLine(line)).toEqual({
      tag: "buffer",
      what: "model",
      place: { tag: "rpc", endpoint: "gpu-box.lan:50052", device: 1 },
      bytes: 2048 * MIB,
    });
  });

  test("of a local device has that device's name, also where the file is mapped", () => {
    const place = (name: string) => {
      const event = parseLogLine(`I load_tensors: ${name} model buffer size = 1.00 MiB`);
      return event?.tag === "buffer" ? event.place : null;
    };
    expect(place("CUDA0")).toEqual({ tag: "local", name: "CUDA0", mapped: false });
    expect(place("MTL0_Mapped")).toEqual({ tag: "local", name: "MTL0", mapped: true });
    expect(place("CPU_REPACK")).toEqual({ tag: "local", name: "CPU_REPACK", mapped: false });
  });

  test("of a recurrent state is told apart from a cache", () => {
    const line = "0.1 I llama_memory_recurrent: RPC0[10.0.0.1:50052] RS buffer size =     4.50 MiB";
    expect(parseLogLine(line)).toMatchObject({ what: "state", bytes: 4.5 * MIB });
  });

  test("is read without a prefix as well: other releases print none", () => {
    expect(parseLogLine("CPU compute buffer size = 7 MiB")).toMatchObject({ what: "compute", bytes: 7 * MIB });
  });
});

describe("progress", () => {
  const line = (payload: unknown, state = "loading") =>
    parseLogLine(`cmd_child_to_router:state:${JSON.stringify({ state, payload })}`);

  test("is a share of all stages", () => {
    const stages = ["text_model", "spec_model"];
    expect(line({ stages, current: "text_model", value: 0.5 })).toEqual({ tag: "progress", progress: 0.25 });
    expect(line({ stages, current: "spec_model", value: 0.5 })).toEqual({ tag: "progress", progress: 0.75 });
  });

  test("is unknown when it is worded otherwise", () => {
    const odd = [
      line({ stages: [], current: "text_model", value: 0.5 }),
      line({ stages: ["text_model"], current: "text_model", value: 7 }),
      line({ stages: ["text_model"], current: "text_model", value: "half" }),
      line({ id: "m" }, "ready"),
      parseLogLine("cmd_child_to_router:state:{"),
      parseLogLine("cmd_child_to_router:state:"),
      parseLogLine('said cmd_child_to_router:state:{"state":"loading"}'),
    ];
    expect(odd).toEqual(new Array(odd.length).fill(null));
  });
});

describe("a line that only looks like one", () => {
  test("tells nothing", () => {
    const lines = [
      "",
      " ",
      "\u0000\u001b[31m",
      "CPU  output buffer size =     0.01 MiB",
      "model buffer size = 1.00 MiB",
      "X model buffer size = 1.2.3 MiB",
      "X model buffer size = . MiB",
      "X model buffer size = -1 MiB",
      "X model buffer size = 1.00 GiB",
      "X model buffer size = NaN MiB",
      "offloaded all/25 layers to GPU",
      "llama_kv_cache: size =   48.00 MiB (  4096 cells,  24 layers,  4/1 seqs)",
    ];
    expect(lines.map(parseLogLine)).toEqual(new Array(lines.length).fill(null));
  });

  test("too long to be one is not looked at", () => {
    expect(parseLogLine(`${"x".repeat(2_000)} CPU model buffer size = 1.00 MiB`)).toBeNull();
  });

  test("with brackets that hold no endpoint is a local name, and no backend's", () => {
    const event = parseLogLine("I load_tensors: RPC0[nowhere] model buffer size = 1.00 MiB");
    expect(event).toMatchObject({ place: { tag: "local", name: "RPC0[nowhere]" } });
  });
});

test("whyUndrafted() hears that a draft model goes unused", () => {
  const line =
    "0.00.037.217 E srv    load_model: failed to initialize speculative decoding context: draft model vocab type must match target model to use speculation";
  expect(whyUndrafted(line)).toBe("draft model vocab type must match target model to use speculation");
  expect(whyUndrafted("failed to initialize speculative decoding context")).toBe("llama-server cannot use it");
  for (const other of LOG_LINES) expect(whyUndrafted(other)).toBeNull();
});
