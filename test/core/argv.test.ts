/** coordinatorArgs(), coordinatorEnv(), shellCommand(): nothing that decides bytes is left to llama-server. */
import { describe, expect, test } from "bun:test";
import { coordinatorArgs, coordinatorEnv, shellCommand } from "../../src/core/argv.ts";
import { ownedFlag } from "../../src/core/owned-flags.ts";
import { GIB } from "../../src/core/units.ts";
import { backendsWith, endpointOf, gpu, type InputParts, planned } from "../fixtures/model-facts.ts";

function argsOf(parts: InputParts = {}): readonly string[] {
  return coordinatorArgs(planned(parts), 12_345);
}

/** The value after a flag that stands there exactly once. */
function given(args: readonly string[], flag: string): string | undefined {
  expect(args.filter((arg) => arg === flag)).toHaveLength(1);
  return args[args.indexOf(flag) + 1];
}

const LOCAL = [{ name: "CUDA0", description: "", freeBytes: 8 * GIB, totalBytes: 8 * GIB }];

describe("coordinatorArgs()", () => {
  test("gives every flag that the bytes or the proof depend on", () => {
    const args = argsOf({ options: { kvType: "q8_0", parallel: 2, contextSize: 4000, microBatchSize: 256 } });
    const values = Object.fromEntries(
      [
        ...["--model", "--alias", "--rpc", "--gpu-layers", "--split-mode", "--tensor-split", "--ctx-size"],
        ...["--parallel", "--flash-attn", "--batch-size", "--ubatch-size", "--cache-type-k", "--cache-type-v", "--fit"],
        ...["--log-verbosity", "--log-colors", "--host", "--port", "--cache-ram"],
      ].map((flag) => [flag, given(args, flag)]),
    );
    expect(values).toEqual({
      "--model": "/models/m.gguf",
      "--alias": "m",
      "--rpc": "10.0.0.1:50052,10.0.0.2:50052,10.0.0.3:50052",
      "--gpu-layers": "25",
      "--split-mode": "layer",
      "--tensor-split": "9,8,8",
      "--ctx-size": "4096",
      "--parallel": "2",
      "--flash-attn": "on",
      "--batch-size": "2048",
      "--ubatch-size": "256",
      "--cache-type-k": "q8_0",
      "--cache-type-v": "q8_0",
      "--fit": "off",
      "--log-verbosity": "4",
      "--log-colors": "off",
      "--host": "127.0.0.1",
      "--port": "12345",
      "--cache-ram": "0",
    });
    expect(args).toContain("--kv-unified");
    expect(args).toContain("--no-warmup");
  });

  test("gives no flag that the owner could give differently, but what decides no placement", () => {
    const flags = argsOf().filter((arg) => arg.startsWith("--"));
    expect(flags.filter((flag) => ownedFlag(flag) === null)).toEqual([
      "--no-warmup",
      "--offline",
      "--threads-http",
      "--cache-ram",
    ]);
  });

  test("turns flash attention off where the head size has no kernel", () => {
    const plan = planned();
    expect(given(coordinatorArgs({ ...plan, flashAttention: false }, 1), "--flash-attn")).toBe("off");
  });

  test("splits over the devices of backends first, in `--rpc` order, then over the head node's own", () => {
    const backends = [
      { endpoint: endpointOf(0), devices: [gpu(GIB, 0), gpu(2 * GIB, 1)] },
      { endpoint: endpointOf(1), devices: [gpu(GIB, 0)] },
    ];
    const args = argsOf({ backends, localDevices: LOCAL });
    expect(given(args, "--rpc")).toBe("10.0.0.1:50052,10.0.0.2:50052");
    expect(given(args, "--tensor-split")).toBe("3,4,2,16");
  });

  test("leaves a backend that holds nothing out of `--rpc` and out of the split", () => {
    const args = argsOf({ backends: backendsWith(8 * GIB, 1, 8 * GIB) });
    expect(given(args, "--rpc")).toBe("10.0.0.1:50052,10.0.0.3:50052");
    expect(given(args, "--tensor-split")).toBe("13,12");
  });

  test("names no backend when the head node holds all, and leaves the prompt cache on", () => {
    const args = argsOf({ localDevices: LOCAL, options: { placement: "fewest" } });
    expect(args).not.toContain("--rpc");
    expect(args).not.toContain("--cache-ram");
    expect(given(args, "--gpu-layers")).toBe("25");
    expect(given(args, "--tensor-split")).toBe("25");
  });

  test("puts the owner's arguments last, and believes an owner who wants the prompt cache", () => {
    expect(argsOf({ options: { extraArgs: ["--threads", "4"] } }).slice(-2)).toEqual(["--threads", "4"]);
    for (const extraArgs of [["--cache-ram", "512"], ["-cram", "512"], ["--cache-ram=512"]]) {
      expect(argsOf({ options: { extraArgs } }).filter((arg) => /cache-ram|cram/.test(arg))).toHaveLength(1);
    }
  });

  test("gives a projector to the head node alone, and adapters as one list", () => {
    const files = ["/o/1", "/o/2"].map((path) => ({ path, bytes: 1 }));
    const args = argsOf({ options: { projector: { path: "/o/eyes", bytes: 1 }, adapters: files } });
    expect(given(args, "--mmproj")).toBe("/o/eyes");
    expect(args).toContain("--no-mmproj-offload");
    expect(given(args, "--lora")).toBe("/o/1,/o/2");
    for (const flag of ["--mmproj", "--no-mmproj-offload", "--lora"]) expect(argsOf()).not.toContain(flag);
  });

  test("keeps a draft model on the head node's CPU, and has it draft", () => {
    const draft = { path: "/d", bytes: 1 };
    const args = argsOf({ options: { draft } });
    const flags = ["--model-draft", "--spec-type", "--device-draft", "--gpu-layers-draft", "--cache-type-k-draft"];
    expect(flags.map((flag) => given(args, flag))).toEqual(["/d", "draft-simple", "none", "0", "f16"]);
    expect(argsOf().join(" ")).not.toContain("draft");
    const own = argsOf({ options: { draft, extraArgs: ["--spec-type", "draft-mtp"] } });
    expect(own.filter((arg) => arg === "--spec-type")).toHaveLength(1);
  });

  test("keeps the key out of the arguments: `ps` shows them to all", () => {
    expect(argsOf().join(" ")).not.toContain("api-key");
  });
});

describe("coordinatorEnv()", () => {
  test("hands over what is inherited, the owner's own, the key and the child mode", () => {
    expect(coordinatorEnv({ PATH: "/bin", UNSET: undefined }, "secret", { CUDA_VISIBLE_DEVICES: "1" })).toEqual({
      PATH: "/bin",
      CUDA_VISIBLE_DEVICES: "1",
      LLAMA_API_KEY: "secret",
      LLAMA_SERVER_ROUTER_PORT: "1",
      GGML_NO_BACKTRACE: "1",
    });
  });

  test("drops what would override the plan, log tensors, or tell of our own settings", () => {
    const inherited = {
      LLAMA_ARG_N_GPU_LAYERS: "0",
      LLAMA_ARG_RPC: "10.9.9.9:1",
      GGML_RPC_DEBUG: "",
      SYNAPTIC_API_KEY: "theirs",
      LLAMA_API_KEY: "old",
    };
    const env = coordinatorEnv(inherited, "secret", {});
    expect(Object.keys(env).toSorted()).toEqual(["GGML_NO_BACKTRACE", "LLAMA_API_KEY", "LLAMA_SERVER_ROUTER_PORT"]);
    expect(env.LLAMA_API_KEY).toBe("secret");
  });

  test("lets nobody's own settings change the key", () => {
    expect(coordinatorEnv({}, "secret", { LLAMA_API_KEY: "theirs" }).LLAMA_API_KEY).toBe("secret");
  });
});

describe("shellCommand()", () => {
  const WORDS = [
    "plain",
    "",
    "two words",
    "it's",
    "'",
    '"double"',
    "$HOME `id` $(id)",
    "a\nb",
    "back\\slash",
    "*?[a]~#;&|<>(){}!",
    "-ts=1,2",
    "häßlich",
    "--path=/models/a b.gguf",
  ];

  test("comes back word for word from a real sh", () => {
    const command = shellCommand(["printf", "%s\\0", ...WORDS]);
    const { stdout, exitCode } = Bun.spawnSync(["sh", "-c", command]);
    expect(exitCode).toBe(0);
    expect(stdout.toString().split("\0").slice(0, -1)).toEqual(WORDS);
  });

  test("quotes no word that needs no quotes", () => {
    const args = argsOf();
    expect(shellCommand(["llama-server", ...args])).toBe(`llama-server ${args.join(" ")}`);
  });
});
