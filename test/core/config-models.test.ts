/** Models in the configuration: paths, settings, and what the planner keeps for itself. */
import { describe, expect, test } from "bun:test";
import { resolvePath, settingsFor } from "../../src/core/config-models.ts";
import { ownedFlag, ownedVariable } from "../../src/core/owned-flags.ts";
import { accepted, FILE, refusal } from "./config-support.ts";

function withSettings(settings: Record<string, unknown>, more: Record<string, unknown> = {}): unknown {
  const files = Object.fromEntries(Object.keys(settings).map((id) => [id, `/m/${id}`]));
  return { synaptic: { models: { files, settings }, ...more } };
}

describe("paths", () => {
  test("relative ones start at the file's folder, ~ is home, dots are resolved", () => {
    const at = { folder: "/etc/synaptic", home: "/home/u" };
    const read = (path: string) => resolvePath(path, at);
    expect(["m.gguf", "./a/../m.gguf", "../m", "~/m", "~", "/x//y/", "/../x"].map(read)).toEqual([
      ...["/etc/synaptic/m.gguf", "/etc/synaptic/m.gguf", "/etc/m", "/home/u/m", "/home/u", "/x/y", "/x"],
    ]);
  });

  test("of llama-server, folders and files are absolute afterwards", () => {
    const config = accepted({
      synaptic: { llamaServer: ["bin/llama-server", "~/b"], models: { dirs: ["m"], files: { a: "m/a.gguf" } } },
    });
    expect(config.llamaServer).toEqual(["/home/u/bin/llama-server", "/home/u/b"]);
    expect(config.models.dirs).toEqual(["/home/u/m"]);
    expect(config.models.files).toEqual({ a: "/home/u/m/a.gguf" });
    expect(config.sources["models.files"]).toBe(`${FILE}: synaptic.models.files`);
    expect(config.sources["models.settings"]).toBe("default");
  });

  test("models without backends switch sharding on", () => {
    expect(accepted({ synaptic: { models: { dirs: ["m"] } } }).sharding).toBe(true);
  });
});

describe("settingsFor()", () => {
  const value = withSettings(
    { "a:1": { contextSize: 64, kvType: "q8_0", args: ["--threads", "2"] } },
    { contextSize: 128, parallel: 2 },
  );

  test("takes a model's own settings before the general ones", () => {
    const config = accepted(value);
    expect(settingsFor(config, "a:1")).toMatchObject({
      contextSize: 64,
      kvType: "q8_0",
      parallel: 2,
      args: ["--threads", "2"],
    });
    expect(settingsFor(config, "other")).toMatchObject({ contextSize: 128, kvType: "f16", parallel: 2, args: [] });
  });

  test("takes a flag or a variable before a model's own settings", () => {
    expect(settingsFor(accepted(value, { flags: { contextSize: "32" } }), "a:1").contextSize).toBe(32);
    expect(settingsFor(accepted(value, { env: { SYNAPTIC_CONTEXT_SIZE: "16" } }), "a:1").contextSize).toBe(16);
  });

  test("does not find settings in Object.prototype", () => {
    expect(settingsFor(accepted({}), "constructor").args).toEqual([]);
  });
});

describe("preload", () => {
  test("is of each model whose settings say so, then of SynapticLlamas' model, each once", () => {
    const config = accepted({
      model: "x",
      ...(withSettings({ b: { preload: true }, a: { preload: true } }) as object),
    });
    expect(config.preload).toEqual(["b", "a", "x"]);
    expect(config.sources.preload).toBe(
      `${FILE}: synaptic.models.settings.b.preload, synaptic.models.settings.a.preload, model`,
    );
    expect(accepted({ model: "a", ...(withSettings({ a: { preload: true } }) as object) }).preload).toEqual(["a"]);
  });

  test("preload false keeps SynapticLlamas' model from loading", () => {
    expect(accepted({ model: "a", ...(withSettings({ a: { preload: false } }) as object) }).preload).toEqual([]);
  });
});

describe("names", () => {
  test("of models are not empty and have no spaces around them, and no comma, at which llama-server would split", () => {
    const said = refusal({ synaptic: { models: { files: { "": "/a", " b": "/b", "c\n": "/c", "d,e": "/d" } } } });
    expect(said).toContain(
      'synaptic.models.files[""]: expected a model name without spaces around it and without commas, found an empty text',
    );
    expect(said).toContain("4 problems");
  });

  test("an alias belongs to one model", () => {
    const said = refusal(withSettings({ a: { aliases: ["x", "x"] }, b: { aliases: ["a"] } }));
    expect(said).toContain(
      'synaptic.models.settings.a.aliases[1]: expected a name of no other model, found "x", which is given twice',
    );
    expect(said).toContain(
      'synaptic.models.settings.b.aliases[0]: expected a name of no other model, found "a", which is a name of a',
    );
  });
});

describe("args and env that the planner owns", () => {
  test("are refused by name, in every spelling", () => {
    const spellings = [
      ...[
        "-m",
        "--model",
        "--rpc",
        "-ngl",
        "--gpu-layers",
        "--n-gpu-layers",
        "-c",
        "--ctx-size",
        "-ts",
        "--tensor-split",
      ],
      ...["-fit", "--fit", "-np", "--parallel", "-fa", "--flash-attn", "-b", "--batch-size", "-ub", "--ubatch-size"],
      ...["--host", "--port", "--api-key", "-ctk", "--cache-type-k", "-ctv", "--cache-type-v", "-lv", "--verbosity"],
      ...["-dev", "--device", "-sm", "--split-mode", "-ot", "--override-tensor", "-a", "--alias", "-v"],
      ...[
        "--ctx-size=512",
        "-c=512",
        "--gpu_layers",
        "--n_gpu_layers=0",
        "-hf",
        "-md",
        "--mmproj",
        "--gpt-oss-20b-default",
      ],
    ];
    for (const flag of spellings) expect([flag, ownedFlag(flag)?.flag]).toEqual([flag, flag.replace(/=.*/, "")]);
  });

  test("others pass, values too", () => {
    for (const flag of [
      "--threads",
      "8",
      "-t",
      "--temp",
      "-1",
      "--chat-template",
      "",
      "-",
      "--",
      "--jinja",
      "no-ngl",
      "--mlock",
    ]) {
      expect(ownedFlag(flag)).toBeNull();
    }
  });

  test("are refused as variables too", () => {
    for (const name of ["LLAMA_ARG_RPC", "LLAMA_ARG_N_GPU_LAYERS", "LLAMA_ARG_NO_KV_OFFLOAD", "LLAMA_API_KEY"]) {
      expect(ownedVariable(name)).not.toBeNull();
    }
    for (const name of ["LLAMA_ARG_THREADS", "CUDA_VISIBLE_DEVICES", "GGML_RPC_DEBUG"])
      expect(ownedVariable(name)).toBeNull();
  });

  test("are told with their place and what to use instead", () => {
    const said = refusal(
      withSettings({ "m:1": { args: ["--threads", "8", "-ngl", "0"], env: { LLAMA_ARG_CTX_SIZE: "1" } } }),
    );
    expect(said).toContain(
      'synaptic.models.settings["m:1"].args[2]: expected an argument that synaptic does not set itself, found -ngl',
    );
    expect(said).toContain('synaptic.models.settings["m:1"].env.LLAMA_ARG_CTX_SIZE');
    expect(said).toContain("LLAMA_ARG_CTX_SIZE: set contextSize in the model's settings");
  });

  test("a flag with its value in one text is refused, since llama-server would not know it", () => {
    const said = refusal(withSettings({ m: { args: ["--temp 0.7", "--top-k=4"] } }));
    expect(said).toContain('write ["--temp", "value"]');
    expect(said).toContain('write ["--top-k", "value"]');
  });
});

test("sampling, mmproj and draft of the settings are held to what they are, paths made absolute", () => {
  const of = (settings: object) => accepted({ synaptic: { models: { settings: { m: settings } } } }).models.settings.m;
  expect(of({ mmproj: "~/v.gguf", draft: "d.gguf", sampling: { temperature: 0.5, seed: -1 } })).toEqual({
    mmproj: "/home/u/v.gguf",
    draft: "/home/u/d.gguf",
    sampling: { temperature: 0.5, seed: -1 },
  });
  const wrong: [settings: object, expected: string][] = [
    [{ sampling: { temperature: "hot" } }, ".sampling.temperature: expected a number from 0 to 100"],
    [{ sampling: { top_p: 2 } }, ".sampling.top_p: expected a number from 0 to 1"],
    [{ sampling: { seed: 1.5 } }, ".sampling.seed: expected a whole number from -1 to 4294967295"],
    [{ sampling: [] }, ".sampling: expected an object of numbers"],
    [{ draft: "" }, ".draft: expected a path"],
  ];
  for (const [settings, expected] of wrong) {
    expect(refusal({ synaptic: { models: { settings: { m: settings } } } })).toContain(expected);
  }
  const unknown = accepted({ synaptic: { models: { settings: { m: { sampling: { temprature: 1 } } } } } });
  expect(unknown.warnings).toContainEqual(expect.stringContaining("temprature (did you mean temperature?)"));
});
