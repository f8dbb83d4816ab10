import { describe, expect, test } from "bun:test";
import { explainEngineOutput, parseEngineVersion, parseLocalDevices } from "../../src/core/llama-output.ts";
import { MIB } from "../../src/core/units.ts";

describe("parseEngineVersion()", () => {
  test("reads a release with its build", () => {
    const output = "version: 0.7.0 (build 11669, commit Debian)\nbuilt with GNU 16.2.0 for Linux x86_64\n";
    expect(parseEngineVersion(output)).toEqual({ version: "0.7.0", build: 11669 });
  });

  test("reads a release without a build", () => {
    expect(parseEngineVersion("version: 1.2.3-rc1")).toEqual({ version: "1.2.3-rc1", build: null });
  });

  test("calls an older build by its number, also below what a driver printed first", () => {
    const output = "ggml_cuda_init: found 1 CUDA devices:\nversion: 6940 (c5023daf6)\nbuilt with cc\n";
    expect(parseEngineVersion(output)).toEqual({ version: "b6940", build: 6940 });
  });

  test.each(["", "hello", "nginx version: nginx/1.22", "version: unknown"])(
    "takes %p for no llama-server",
    (output) => {
      expect(parseEngineVersion(output)).toBeNull();
    },
  );
});

describe("parseLocalDevices()", () => {
  test("reads names, descriptions with brackets in them, and sizes as bytes", () => {
    const output = `Available devices:
  CUDA0: NVIDIA GeForce RTX 3090 (24105 MiB, 23000 MiB free)
  Vulkan1: AMD Radeon Graphics (RADV GFX1150) (32000 MiB, 31000 MiB free)
`;
    expect(parseLocalDevices(output)).toEqual([
      { name: "CUDA0", description: "NVIDIA GeForce RTX 3090", totalBytes: 24105 * MIB, freeBytes: 23000 * MIB },
      {
        name: "Vulkan1",
        description: "AMD Radeon Graphics (RADV GFX1150)",
        totalBytes: 32000 * MIB,
        freeBytes: 31000 * MIB,
      },
    ]);
  });

  test("leaves out backends and helpers without memory", () => {
    const output = `  RPC0: 127.0.0.1:50052 (24105 MiB, 24105 MiB free)\n  BLAS: OpenBLAS (0 MiB, 0 MiB free)\n`;
    expect(parseLocalDevices(output)).toEqual([]);
  });

  test("finds nothing on a machine without accelerators, nor in the talk of drivers", () => {
    const output = "  Device 0: NVIDIA GeForce RTX 3090, VRAM: 24105 MiB\nAvailable devices:\n  (none)\n";
    expect(parseLocalDevices(output)).toEqual([]);
  });

  test("stops at 64 devices", () => {
    const lines = Array.from({ length: 1000 }, (_, index) => `  CUDA${index}: card (8 MiB, 8 MiB free)`);
    expect(parseLocalDevices(lines.join("\n"))).toHaveLength(64);
  });
});

describe("explainEngineOutput()", () => {
  test.each(["error: invalid argument: --rpc", 'error while handling argument "--rpc": failed to find RPC backend'])(
    "knows %p as a build without RPC",
    (output) => {
      expect(explainEngineOutput(output)).toBe("no_rpc");
    },
  );

  test("names the library that is missing, on Linux and on macOS", () => {
    const linux = "llama-server: error while loading shared libraries: libllama.so.0: cannot open shared object file";
    expect(explainEngineOutput(linux)).toEqual({ missingLibrary: "libllama.so.0" });
    expect(explainEngineOutput("dyld[71]: Library not loaded: @rpath/libggml.dylib")).toEqual({
      missingLibrary: "@rpath/libggml.dylib",
    });
  });

  test("claims nothing about anything else", () => {
    expect(explainEngineOutput("error: invalid argument: --rpcx")).toBeNull();
  });
});
