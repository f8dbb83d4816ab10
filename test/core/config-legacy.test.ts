/** SynapticLlamas' own files load as they are: every variant quoted in its sources. */
import { describe, expect, test } from "bun:test";
import { accepted, backends, FILE, FOUR, resolve } from "./config-support.ts";

const FOUR_ENDPOINTS = ["10.9.66.154:50052", "10.9.66.48:50052", "10.9.66.45:50052", "10.9.66.90:50052"];

function endpoints(value: unknown): readonly string[] {
  return accepted(value).backends.map((backend) => backend.endpoint);
}

describe("resolveConfig() reads SynapticLlamas' files:", () => {
  test("the seed's (PROOF_OF_MODEL_SHARDING.md), without a word", () => {
    const config = accepted({ model_sharding_enabled: true, rpc_backends: FOUR });
    expect(config.backends.map((backend) => backend.endpoint as string)).toEqual(FOUR_ENDPOINTS);
    expect(config.sharding).toBe(true);
    expect(config.preload).toEqual([]);
    expect(config.warnings).toEqual([]);
  });

  test("the fullest sharding one (MODEL_SHARDING_COMPLETE.md), with one line on coordinator_url", () => {
    const config = accepted({
      model: "llama3.1:70b",
      task_distribution_enabled: false,
      model_sharding_enabled: true,
      rpc_backends: FOUR,
      coordinator_url: "http://127.0.0.1:18080",
    });
    expect(config.preload).toEqual(["llama3.1:70b"]);
    expect(config.pool).toBe(false);
    expect(config.backends).toHaveLength(4);
    expect(config.warnings).toEqual([
      "coordinator_url has no effect: synaptic starts and watches its own llama-server",
    ]);
  });

  test("the full configuration file (sollol_backup_20251005/README.md)", () => {
    const config = accepted({
      mode: "distributed",
      collaborative_mode: true,
      refinement_rounds: 1,
      agent_timeout: 300,
      model_sharding_enabled: true,
      task_distribution_enabled: false,
      rpc_backends: FOUR.slice(0, 3),
      model: "codellama:13b",
      quality_threshold: 0.9,
      ast_voting_enabled: true,
    });
    expect(config.silenceMs).toBe(300_000);
    expect(config.preload).toEqual(["codellama:13b"]);
    expect(config.warnings).toEqual([]);
  });

  test("UNIFIED_OBSERVABILITY.md's with an empty list, which says that backends are missing", () => {
    const config = accepted({
      coordinator_url: "http://127.0.0.1:18080",
      model_sharding_enabled: true,
      task_distribution_enabled: false,
      rpc_backends: [],
    });
    expect(config.backends).toEqual([]);
    expect(config.warnings).toHaveLength(2);
    expect(config.warnings[1]).toContain("there are no backends");
  });

  test("the whole defaults dictionary as it saves it, without a word", () => {
    const saved = {
      ...{ mode: null, collaborative_mode: false, refinement_rounds: 1, agent_timeout: 300, ast_voting_enabled: false },
      ...{ quality_threshold: 0.7, max_quality_retries: 2, flockparser_enabled: false, dashboard_verbose: true },
      ...{ dashboard_enable_dask: true, model: "llama3.2", synthesis_model: null, strategy: null },
      ...{ task_distribution_enabled: true, model_sharding_enabled: true, rpc_backends: FOUR, coordinator_url: null },
      ...{ redis_logging_enabled: false, redis_host: "localhost", redis_port: 6379, redis_db: 0, redis_password: null },
      ...{ flockparser_url: "http://x:1", embedding_model: "e", ollama_url: "http://x:2", lazy_init: true },
    };
    const config = accepted(saved);
    expect(config.preload).toEqual(["llama3.2"]);
    expect(config.warnings).toEqual([]);
  });

  test("keys that only SynapticLlamas uses may hold anything", () => {
    expect(accepted({ mode: 7, redis_password: ["x"], refinement_rounds: "many" }).warnings).toEqual([]);
  });
});

describe("rpc_backends", () => {
  test("entries enriched by discovery load, their extra keys without effect or warning", () => {
    const enriched = {
      ...{ host: "10.9.66.154", port: 50052, has_gpu: true, gpu_devices: ["cuda:0"], gpu_vram_mb: [8192] },
      ...{ gpu_names: ["x"], cpu_ram_mb: 16384, device_config: "cpu,cuda:0", memory_config: "1,2", num_workers: 2 },
    };
    const config = accepted({ model_sharding_enabled: true, ...backends(enriched) });
    expect(config.backends).toEqual([{ endpoint: "10.9.66.154:50052", host: "10.9.66.154", port: 50052 }]);
    expect(config.warnings).toEqual([]);
  });

  test("a missing port is 50052", () => {
    expect(endpoints(backends({ host: "gpu-box" }))).toEqual(["gpu-box:50052"]);
  });

  test("localhost and several ports on one host stay", () => {
    expect(endpoints(backends({ host: "127.0.0.1" }, { host: "127.0.0.1", port: 50053 }))).toHaveLength(2);
  });

  test("more than llama.cpp's 16 backends are kept for the plan to pick from", () => {
    const many = Array.from({ length: 20 }, (_, index) => ({ host: `10.0.0.${index + 1}` }));
    expect(endpoints(backends(...many))).toHaveLength(20);
  });

  test("the placeholder coordinator:0 is left out with a line, and the others keep their index", () => {
    const config = accepted(backends({ host: "coordinator", port: 0, has_gpu: false }, { host: "10.0.0.1" }));
    expect(config.backends.map((backend) => backend.host)).toEqual(["10.0.0.1"]);
    expect(config.warnings[0]).toContain("placeholder");
    const broken = resolve(backends({ host: "coordinator", port: 0 }, { host: "10.0.0.1", port: 0 }));
    expect(broken.ok ? [] : broken.problems.map((problem) => problem.key)).toEqual(["rpc_backends[1].port"]);
  });

  test("another host with port 0 is refused", () => {
    expect(resolve(backends({ host: "coordinator2", port: 0 })).ok).toBe(false);
  });
});

describe("sharding and pool", () => {
  test("absent with backends means on, and one line says so", () => {
    const config = accepted(backends(...FOUR));
    expect(config.sharding).toBe(true);
    expect(config.warnings).toEqual(["model_sharding_enabled is not given: sharding is on, since backends are given"]);
    expect(config.sources.sharding).toBe("on, since backends are given");
  });

  test("absent without backends and models means off", () => {
    expect(accepted({}).sharding).toBe(false);
    expect(accepted({}).warnings).toEqual([]);
  });

  test("the old name distributed_inference_enabled counts alone", () => {
    const config = accepted({ distributed_inference_enabled: true, ...backends(...FOUR) });
    expect(config.sharding).toBe(true);
    expect(config.sources.sharding).toBe(`${FILE}: distributed_inference_enabled`);
    expect(config.warnings).toEqual([]);
  });

  test("the old name wins over the new one, as in SynapticLlamas, and a line says so", () => {
    const config = accepted({ distributed_inference_enabled: false, model_sharding_enabled: true });
    expect(config.sharding).toBe(false);
    expect(config.warnings[0]).toContain("wins over model_sharding_enabled (true)");
  });

  test("false switches sharding off even with backends", () => {
    const config = accepted({ model_sharding_enabled: false, ...backends(...FOUR) });
    expect(config.sharding).toBe(false);
    expect(config.warnings[0]).toContain("no model is served");
  });

  test("both false is refused", () => {
    const result = resolve({ model_sharding_enabled: false, task_distribution_enabled: false });
    expect(result.ok ? "" : result.problems[0]?.found).toBe("both false");
  });
});

describe("agent_timeout and model", () => {
  test("seconds become the longest silence in milliseconds", () => {
    expect(accepted({ agent_timeout: 30 }).silenceMs).toBe(30_000);
    expect(accepted({ agent_timeout: 1.5 }).silenceMs).toBe(1_500);
    expect(accepted({}).silenceMs).toBe(300_000);
  });

  test("model null preloads nothing", () => {
    expect(accepted({ model: null }).preload).toEqual([]);
  });
});
