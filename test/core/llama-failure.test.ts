/** explainExit(): one sentence for each way in which a real llama-server 0.7.0 ended, and whom it blames. */
import { describe, expect, test } from "bun:test";
import { describeError, type ErrorCode } from "../../src/core/errors.ts";
import { type Cause, type Exit, explainExit } from "../../src/core/llama-failure.ts";
import { FAILURES } from "../../src/core/llama-failure-table.ts";
import type { Endpoint } from "../../src/core/units.ts";

const A: Endpoint = "127.0.0.1:20051";
const B: Endpoint = "127.0.0.1:20052";

function explain(
  lastLines: readonly string[],
  exit: Partial<Exit> = {},
  when: "starting" | "ready" = "starting",
): Cause {
  return explainExit({ code: 1, signal: null, lastLines, ...exit }, { model: "m", when, endpoints: [A, B] });
}

/** What a failed load goes on to say after its cause. */
function loadError(...cause: readonly string[]): readonly string[] {
  return [
    ...cause,
    "0.00.012.324 E llama_model_load_from_file_impl: failed to load model",
    "0.00.012.325 E cmn  common_init_: failed to load model '/models/m.gguf'",
    "0.00.012.326 E srv    load_model: failed to load model, '/models/m.gguf'",
    "0.00.012.327 I srv    operator(): operator(): cleaning up before exit...",
    "0.00.012.661 E srv  llama_server: exiting due to model loading error",
  ];
}

interface Row {
  readonly name: string;
  readonly lines: readonly string[];
  readonly code?: number;
  readonly says: string;
  readonly error?: ErrorCode;
  readonly blames?: Endpoint;
  readonly again?: boolean;
}

/** Last lines of real runs, unless marked as taken from the sources. */
const ROWS: readonly Row[] = [
  {
    name: "a dead address",
    lines: [
      "0.00.020.550 I load_backend: loaded CPU backend from /opt/llama/libggml-cpu-zen4.so",
      `./src/ggml-rpc/ggml-rpc.cpp:650: Failed to connect to ${B}`,
      "",
    ],
    code: 134,
    says: `backend ${B} refused the connection`,
    blames: B,
  },
  {
    name: "a name that does not resolve",
    lines: [
      `./src/ggml-rpc/ggml-rpc.cpp:650: Failed to connect to ${A}`,
      "",
      "0.00.018.165 E Cannot resolve host 'nosuch.invalid'",
    ],
    code: 134,
    says: "host nosuch.invalid cannot be resolved",
    blames: A,
  },
  {
    name: "another protocol version",
    lines: [
      "0.00.019.001 E RPC server version mismatch: 7.0.1",
      `./src/ggml-rpc/ggml-rpc.cpp:653: RPC handshake failed for ${A}`,
    ],
    code: 134,
    says: `the RPC handshake with ${A} failed`,
    blames: A,
  },
  {
    name: "a backend that died",
    lines: [
      "0.09.301.220 E send failed (bytes_sent=0, size_to_send=8)",
      "./src/ggml-rpc/ggml-rpc.cpp:682: Remote RPC server crashed or returned malformed response",
    ],
    code: 134,
    says: "a backend went away while it was in use",
    again: true,
  },
  {
    name: "an unknown architecture",
    lines: loadError("0.00.012.680 E llama_model_load: error loading model: unknown model architecture: 'qlama'"),
    says: "this llama-server does not know the architecture qlama",
    error: "model_unreadable",
  },
  {
    name: "too many tensors (sources)",
    lines: loadError(
      "0.0 E llama_model_load: error loading model: done_getting_tensors: wrong number of tensors; expected 291, got 290",
    ),
    says: "the model file has 291 tensors where llama.cpp expects 290",
    error: "model_unreadable",
  },
  {
    name: "a missing key",
    lines: loadError(
      "0.00.012.665 E llama_model_load: error loading model: error loading model hyperparameters: key not found in model: llama.context_length",
    ),
    says: "the model file lacks llama.context_length",
    error: "model_unreadable",
  },
  {
    name: "a missing tensor",
    lines: loadError(
      "0.00.012.916 E llama_model_load: error loading model: check_tensor_dims: tensor 'blk.3.ffn_down.weight' not found",
    ),
    says: "the model file lacks the tensor blk.3.ffn_down.weight",
    error: "model_unreadable",
  },
  {
    name: "a truncated file",
    lines: loadError(
      "0.00.012.308 E llama_model_load: error loading model: tensor 'blk.1.ffn_gate.weight' data is not within the file bounds, model is corrupted or incomplete",
    ),
    says: "the model file is truncated at tensor blk.1.ffn_gate.weight",
    error: "model_unreadable",
  },
  {
    name: "a file that has gone",
    lines: loadError(
      "0.00.011.944 E gguf_init_from_file: failed to open GGUF file '/models/m.gguf' (No such file or directory)",
      "0.00.012.462 E llama_model_load: error loading model: llama_model_loader: failed to load model from /models/m.gguf",
    ),
    says: "the model file cannot be opened: No such file or directory",
    error: "model_unreadable",
  },
  {
    name: "a damaged header",
    lines: loadError(
      "0.00.011.991 E gguf_init_from_reader: failed to read key-value pairs",
      "0.00.012.082 E llama_model_load: error loading model: llama_model_loader: failed to load model from m.gguf",
    ),
    says: "the header of the model file is damaged: failed to read key-value pairs",
    error: "model_unreadable",
  },
  {
    name: "a backend without memory",
    lines: [
      `0.09.955.289 W [ggml_backend_rpc_buffer_type_alloc_buffer] endpoint: ${A}, device: 0, size: 190.73 GiB -> failed`,
      `0.09.955.320 E ggml_backend_buft_alloc_buffer_n_default: failed to allocate RPC0[${A}] buffer of size 204800000000`,
      "0.10.261.971 E llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache",
    ],
    says: `backend ${A} could not allocate 190.7 GiB`,
  },
  {
    name: "a head node without memory",
    lines: [
      "0.11.899.538 E ggml_aligned_malloc: insufficient memory (attempted to allocate 195312.50 MB)",
      "0.11.899.556 E ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 204800000000",
    ],
    says: "a device ran out of memory (ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 204800000000)",
  },
  {
    name: "a taken port",
    lines: [
      "0.00.010.344 E srv         start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 22101",
      "0.00.010.424 E srv  llama_server: exiting due to HTTP server error",
    ],
    says: "its port was taken by another program",
    again: true,
  },
  {
    name: "an unknown flag",
    lines: ["error: invalid argument: --kv-unified"],
    says: "this llama-server does not know the flag --kv-unified",
  },
  {
    name: "a value it refuses",
    lines: [
      'error while handling argument "-ts": got 16 input configs, but system only has 16 devices',
      "",
      "usage:",
      "to show complete usage, run with -h",
    ],
    says: "llama-server refuses the value of -ts: got 16 input configs, but system only has 16 devices",
  },
  {
    name: "a missing library (ld.so)",
    lines: ["llama-server: error while loading shared libraries: libggml-base.so.0: cannot open shared object file"],
    code: 127,
    says: "the library libggml-base.so.0 is missing",
  },
  {
    name: "a load error of another kind",
    lines: loadError("0.0 E llama_model_load: error loading model: unsupported sparse layout"),
    says: "the model does not load: unsupported sparse layout",
    error: "model_unreadable",
  },
];

describe("explainExit()", () => {
  for (const { name, lines, code = 1, says, error = "coordinator_failed", blames = null, again } of ROWS) {
    test(`explains ${name}`, () => {
      const cause = explain(lines, { code });
      expect(cause.error.message).toStartWith(`Cannot load m: ${says}`);
      expect(cause.error.code).toBe(error);
      expect(cause.error.hint).toBeString();
      expect(cause.endpoint).toBe(blames);
      expect(cause.again).toBe(again ?? blames !== null);
    });
  }

  test("has a real example for each row of its table", () => {
    const unseen = FAILURES.filter(({ match }) => !ROWS.some(({ lines }) => lines.some((line) => match.test(line))));
    expect(unseen.map(({ match }) => String(match))).toEqual([]);
  });

  test("says what was lost when it was ready", () => {
    const cause = explain(
      ["./ggml-rpc.cpp:685: Remote RPC server crashed or returned malformed response"],
      {},
      "ready",
    );
    expect(cause.error.message).toBe("Lost the coordinator of m: a backend went away while it was in use");
  });

  test("blames nobody outside of the plan, whatever was printed", () => {
    const cause = explain(["said the user: Failed to connect to 10.9.9.9:50052"]);
    expect(cause).toMatchObject({ endpoint: null, again: false });
  });

  test("falls back on the exit code or signal, with its last words", () => {
    const says = (exit: Partial<Exit>, lines: readonly string[] = []) => describeError(explain(lines, exit).error);
    expect(says({ code: 3 }, ["0.00.012.661 E srv  llama_server: oh no", "  "])).toBe(
      "Cannot load m: llama-server ended with exit code 3\n  its last words: srv  llama_server: oh no",
    );
    expect(says({ code: 134 })).toBe("Cannot load m: llama-server aborted\n  it printed nothing");
    expect(says({ code: null, signal: "SIGABRT" })).toContain("llama-server aborted");
    expect(says({ code: 137 })).toContain("killed (SIGKILL), perhaps for want of memory");
    expect(says({ code: null, signal: "SIGKILL" })).toContain("killed (SIGKILL), perhaps for want of memory");
    expect(says({ code: null, signal: "SIGSEGV" })).toContain("a signal ended it (SIGSEGV)");
  });

  test("cuts last words that nobody could read", () => {
    expect(describeError(explain(["x".repeat(60_000)]).error).length).toBeLessThan(400);
  });
});
