/** Precedence, value by value, and where each came from. */
import { describe, expect, test } from "bun:test";
import { inspect } from "node:util";
import { accepted, backends, FILE, FOUR, refusal } from "./config-support.ts";

describe("precedence:", () => {
  const file = { synaptic: { listen: { host: "127.0.0.2", port: 1002 }, contextSize: 512, placement: "spread" } };
  const env = {
    SYNAPTIC_HOST: "127.0.0.3",
    SYNAPTIC_PORT: "1003",
    SYNAPTIC_CONTEXT_SIZE: "1024",
    SYNAPTIC_PLACEMENT: "fewest",
  };
  const flags = { host: "127.0.0.4", port: "1004", contextSize: "2048", placement: "spread" };

  test("flag over environment over file over default", () => {
    const ports = [accepted({}), accepted(file), accepted(file, { env }), accepted(file, { env, flags })].map(
      (config) => config.listen.port,
    );
    expect(ports).toEqual([11_400, 1002, 1003, 1004]);
  });

  test("each value is taken by itself", () => {
    const config = accepted(file, { env: { SYNAPTIC_PORT: "1003" }, flags: { host: "127.0.0.4" } });
    expect(config.listen).toEqual({ host: "127.0.0.4", port: 1003 });
    expect(config.contextSize).toBe(512);
  });

  test("sources say where each value came from", () => {
    const { sources } = accepted(file, { env: { SYNAPTIC_PORT: "1003" }, flags: { host: "127.0.0.4" } });
    expect(sources["listen.host"]).toBe("--host");
    expect(sources["listen.port"]).toBe("SYNAPTIC_PORT");
    expect(sources.contextSize).toBe(`${FILE}: synaptic.contextSize`);
    expect(sources.parallel).toBe("default");
    expect(sources.silenceMs).toBe("default");
  });

  test("a variable that is set and empty is not set", () => {
    expect(accepted(file, { env: { SYNAPTIC_PORT: "" } }).listen.port).toBe(1002);
  });

  test("SOLLOL_CTX_SIZE counts after SYNAPTIC_CONTEXT_SIZE", () => {
    expect(accepted({}, { env: { SOLLOL_CTX_SIZE: "8192" } }).contextSize).toBe(8192);
    expect(accepted({}, { env: { SOLLOL_CTX_SIZE: "8192", SYNAPTIC_CONTEXT_SIZE: "64" } }).contextSize).toBe(64);
  });

  test("--port 0 asks for any free port", () => {
    expect(accepted({}, { flags: { port: "0" } }).listen.port).toBe(0);
  });

  test("wrong texts are refused by the name of their flag or variable", () => {
    expect(refusal({}, { flags: { port: "http" } })).toContain(
      'Cannot use --port: expected a port from 1 to 65535, or 0 for any free one, found "http"',
    );
    expect(refusal({}, { env: { SYNAPTIC_PORT: "70000" } })).toContain("Cannot use SYNAPTIC_PORT: ");
    expect(refusal({}, { env: { SYNAPTIC_PLACEMENT: "even" } })).toContain(
      'Cannot use SYNAPTIC_PLACEMENT: expected "fewest"',
    );
    expect(refusal({}, { env: { SYNAPTIC_CONTEXT_SIZE: "8k" } })).toContain(
      'expected a whole number of tokens from 1 to 16777216, found "8k"',
    );
  });

  test("a wrong variable that a flag overrules does no harm", () => {
    expect(accepted({}, { flags: { port: "1" }, env: { SYNAPTIC_PORT: "x" } }).listen.port).toBe(1);
  });
});

describe("backends come from the first source that names any:", () => {
  const conf = { path: "/home/u/rpc_backends.conf", text: "# ours\r\n10.0.0.1:50053 # first\n\n  10.0.0.2\n" };
  const hosts = (value: unknown, more = {}): readonly string[] =>
    accepted(value, more).backends.map((backend) => backend.endpoint);

  test("RPC_BACKENDS over the file, ports optional", () => {
    const config = accepted(backends(...FOUR), { env: { RPC_BACKENDS: "a:1, b," } });
    expect(config.backends.map((backend) => backend.endpoint as string)).toEqual(["a:1", "b:50052"]);
    expect(config.sources.backends).toBe("RPC_BACKENDS");
  });

  test("the documented LLAMA_RPC_BACKENDS too, after RPC_BACKENDS", () => {
    expect(hosts({}, { env: { LLAMA_RPC_BACKENDS: "a:1" } })).toEqual(["a:1"]);
    expect(hosts({}, { env: { LLAMA_RPC_BACKENDS: "a:1", RPC_BACKENDS: "b:1" } })).toEqual(["b:1"]);
  });

  test("rpc_backends over rpc_backends.conf", () => {
    expect(hosts(backends(...FOUR), { sideFiles: { rpcBackendsConf: conf } })).toHaveLength(4);
  });

  test("rpc_backends.conf when the key is absent, or empty as SynapticLlamas writes it", () => {
    for (const value of [{}, { rpc_backends: [] }]) {
      const config = accepted(value, { sideFiles: { rpcBackendsConf: conf } });
      expect(config.backends.map((backend) => backend.endpoint as string)).toEqual([
        "10.0.0.1:50053",
        "10.0.0.2:50052",
      ]);
      expect(config.sources.backends).toBe(conf.path);
    }
  });

  test("rpc_backends.conf with comments only is as none", () => {
    const config = accepted({}, { sideFiles: { rpcBackendsConf: { ...conf, text: "# nothing\n" } } });
    expect(config.backends).toEqual([]);
    expect(config.sources.backends).toBe("default");
  });

  test("synaptic.backends defines them when nothing else in the file does", () => {
    const value = { synaptic: { backends: [{ endpoint: "a:1", layers: 3 }, { endpoint: "b" }] } };
    expect(accepted(value).backends[0]).toEqual({ endpoint: "a:1", host: "a", port: 1, layers: 3 });
    expect(hosts(value)).toEqual(["a:1", "b:50052"]);
  });

  test("wrong entries are named by line and by position, all of them", () => {
    const said = refusal({}, { sideFiles: { rpcBackendsConf: { ...conf, text: "a:1\n[::1]:3\na:1\nb:0" } } });
    expect(said).toStartWith(`Cannot use ${conf.path}: 3 problems`);
    for (const word of ["line 2: ", "line 3: expected each backend once, found a:1 again, first at line 1", "line 4: "])
      expect(said).toContain(word);
    expect(refusal({}, { env: { RPC_BACKENDS: "a,http://b" } })).toContain(
      "Cannot use RPC_BACKENDS: entry 2: expected host:port",
    );
  });
});

describe("synaptic.backends says more about a backend", () => {
  test("limits and wishes are joined by endpoint, however it is written", () => {
    const more = [
      { endpoint: "GPU-box", maxMemory: "2GiB", priority: 3 },
      { endpoint: "127.0.0.1:9", maxMemory: 1024 },
    ];
    const config = accepted({
      model_sharding_enabled: true,
      ...backends({ host: "gpu-box" }, { host: "localhost", port: 9 }),
      synaptic: { backends: more },
    });
    expect(config.backends).toEqual([
      { endpoint: "gpu-box:50052", host: "gpu-box", port: 50052, maxMemoryBytes: 2 * 1024 ** 3, priority: 3 },
      { endpoint: "localhost:9", host: "localhost", port: 9, maxMemoryBytes: 1024 },
    ]);
    expect(config.warnings).toEqual([]);
  });

  test("exclude leaves it out, without its counting as a stranger", () => {
    const config = accepted({
      model_sharding_enabled: true,
      ...backends(...FOUR),
      synaptic: { backends: [{ endpoint: "10.9.66.48", exclude: true }] },
    });
    expect(config.backends).toHaveLength(3);
    expect(config.warnings).toEqual([]);
  });

  test("a stranger is a warning with the nearest backend: SynapticLlamas itself removes entries", () => {
    const config = accepted({
      model_sharding_enabled: true,
      ...backends(...FOUR),
      synaptic: { backends: [{ endpoint: "10.9.66.84:50052" }] },
    });
    expect(config.warnings).toEqual([
      "synaptic.backends[0] has no effect: 10.9.66.84:50052 is not among the backends (did you mean 10.9.66.48:50052?)",
    ]);
  });

  test("layers without pinned is a warning, with pinned it is kept", () => {
    const value = (placement: string) => ({
      model_sharding_enabled: true,
      ...backends(...FOUR),
      synaptic: { placement, backends: [{ endpoint: "10.9.66.48:50052", layers: 12 }] },
    });
    expect(accepted(value("spread")).warnings[0]).toContain('placement is "spread", not "pinned"');
    expect(accepted(value("pinned")).warnings).toEqual([]);
    expect(accepted(value("pinned")).backends[1]?.layers).toBe(12);
  });
});

describe("the resolved configuration", () => {
  const config = accepted({ synaptic: { models: { files: { m: "/m" } } } }, { env: { SYNAPTIC_API_KEY: "topsecret" } });

  test("is frozen through and through", () => {
    for (const value of [
      config,
      config.listen,
      config.backends,
      config.models.files,
      config.probe,
      config.sources,
      config.warnings,
    ]) {
      expect(Object.isFrozen(value)).toBe(true);
    }
  });

  test("keeps the key for asking a server, and shows it to nobody", () => {
    expect(config.apiKey).toBe("topsecret");
    expect(config.sources.apiKey).toBe("SYNAPTIC_API_KEY");
    for (const text of [
      JSON.stringify(config),
      JSON.stringify({ ...config }),
      Bun.inspect(config),
      inspect(config, { showHidden: true }),
    ]) {
      expect(text).not.toContain("topsecret");
    }
  });

  test("lowers the hash's hex and drops repeated scopes", () => {
    const keys = [{ name: "a", hash: `sha256:${"AB".repeat(32)}`, scopes: ["use", "use", "admin"] }];
    expect(accepted({ synaptic: { keys } }).keys).toEqual([
      { name: "a", hash: `sha256:${"ab".repeat(32)}`, scopes: ["use", "admin"] },
    ]);
  });

  test("without a file is the defaults, and says which file is missing", () => {
    const { warnings, file, listen, placement, parallel, kvType, contextSize, probe, holdMs } = accepted(
      {},
      { file: null },
    );
    expect({ file, listen, placement, parallel, kvType, contextSize, probe, holdMs }).toEqual({
      file: null,
      listen: { host: "127.0.0.1", port: 11_400 },
      placement: "fewest",
      parallel: 4,
      kvType: "f16",
      contextSize: null,
      probe: { intervalMs: 5000, failures: 3, successes: 2, timeoutMs: 2000 },
      holdMs: 50_000,
    });
    expect(warnings).toEqual(["/home/u/.synapticllamas.json does not exist: defaults apply"]);
  });
});

describe("Ollama's store", () => {
  const modelsDir = (text: string) => ({ synaptic: { ollama: { modelsDir: text } } });

  test("is searched for in the usual places when nobody names it", () => {
    expect(accepted({}).ollama.modelsDir).toBeNull();
    for (const empty of ["", " ", '""'])
      expect(accepted({}, { env: { OLLAMA_MODELS: empty } }).ollama.modelsDir).toBeNull();
  });

  test("is what OLLAMA_MODELS says, quotes and blanks apart, before what the file says", () => {
    for (const text of ["/data/o", ' "/data/o" ', "'/data/o'", "/data/o/"]) {
      const { ollama, sources } = accepted(modelsDir("/other"), { env: { OLLAMA_MODELS: text } });
      expect([ollama.modelsDir, sources["ollama.modelsDir"]]).toEqual(["/data/o", "OLLAMA_MODELS"]);
    }
  });

  test("is a path of the file as any other", () => {
    expect(accepted(modelsDir("~/o")).ollama.modelsDir).toBe("/home/u/o");
    expect(accepted(modelsDir("o")).ollama.modelsDir).toBe("/home/u/o");
    expect(accepted(modelsDir("D:\\ollama\\models")).ollama.modelsDir).toBe("D:\\ollama\\models");
    expect(accepted(modelsDir("/o")).sources["ollama.modelsDir"]).toEndWith(": synaptic.ollama.modelsDir");
  });

  test("switches sharding on when the file names it, as other models do", () => {
    expect([accepted({}).sharding, accepted(modelsDir("/o")).sharding]).toEqual([false, true]);
  });
});
