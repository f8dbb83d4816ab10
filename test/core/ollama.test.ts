/** Ollama's names, manifests and params: read as Ollama reads them, refused with a reason. */
import { describe, expect, test } from "bun:test";
import { ollamaKey, ollamaName, parseOllamaName, showOllamaName } from "../../src/core/ollama.ts";
import { parseConfig, parseManifest, partsOf } from "../../src/core/ollama-manifest.ts";
import { parseParams } from "../../src/core/ollama-params.ts";

describe("names", () => {
  const shown = [
    ["llama3.2", "llama3.2:latest"],
    ["llama3.2:1b-instruct-q4_K_M", "llama3.2:1b-instruct-q4_K_M"],
    ["Mistral", "Mistral:latest"],
    ["library/phi3", "phi3:latest"],
    ["registry.ollama.ai/library/phi3:mini", "phi3:mini"],
    ["REGISTRY.OLLAMA.AI/Library/phi3", "phi3:latest"],
    ["someone/model", "someone/model:latest"],
    ["hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M", "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M"],
    ["https://hf.co/org/repo", "hf.co/org/repo:latest"],
    ["localhost:5000/team/m:v1", "localhost:5000/team/m:v1"],
    ["http://10.0.0.1:5000/team/m", "10.0.0.1:5000/team/m:latest"],
    ["_a/b_c-d:e.f", "_a/b_c-d:e.f"],
  ];
  test.each(shown)("%s is shown as %s, as `ollama list` does", (text, name) => {
    const parsed = parseOllamaName(text);
    expect(parsed && showOllamaName(parsed)).toBe(name);
    expect(ollamaKey(text)).toBe(ollamaKey(name));
    expect(ollamaKey(text)).toBe(ollamaKey(text.toUpperCase()));
  });

  const none = [
    ...["", ":", "m:", ":tag", "/m", "a//m", "a/b/c/d", "m:a:b", "-m", ".m", "a.b/m", "a b", "m@1", "m\n", "ä", "../m"],
    ...[
      `${"m".repeat(81)}`,
      `m:${"t".repeat(81)}`,
      `${"n".repeat(81)}/m`,
      `${"h".repeat(351)}/n/m`,
      "x".repeat(10_000),
    ],
    ...["a:1/m", "/models/m.gguf", "C:\\m.gguf"],
  ];
  test.each(none)("%p is no name", (text) => {
    expect(parseOllamaName(text)).toBeNull();
    expect(ollamaKey(text)).toBeNull();
  });

  test("parts at their longest are a name", () => {
    const [host, part] = ["h".repeat(350), "p".repeat(80)];
    expect(parseOllamaName(`https://${host}/${part}/${part}:${part}`)).toEqual({
      ...{ host, namespace: part, model: part, tag: part },
    });
  });

  test("the path of a manifest is a name only with parts that may be one", () => {
    expect(ollamaName(["hf.co", "Org", "R", "Q4_0"])).not.toBeNull();
    expect(ollamaName(["hf.co", "Org", "R", "Q4 0"])).toBeNull();
    expect(ollamaName(["hf.co", "Or.g", "R", "Q4_0"])).toBeNull();
  });
});

const hex = (digit: string) => digit.repeat(64);
const layer = (kind: string, digit = "a", size = 10) => ({
  mediaType: `application/vnd.ollama.image.${kind}`,
  digest: `sha256:${hex(digit)}`,
  size,
});

describe("parseManifest()", () => {
  test("reads layers, and whatever else there is", () => {
    const config = {
      mediaType: "application/vnd.docker.container.image.v1+json",
      digest: `sha256:${hex("c")}`,
      size: 3,
    };
    const text = JSON.stringify({ schemaVersion: 2, config, layers: [{ ...layer("model"), from: "/x", new: 1 }] });
    expect(parseManifest(text)).toEqual({
      ok: true,
      manifest: {
        config: { kind: config.mediaType, digest: hex("c"), bytes: 3 },
        layers: [{ kind: "model", digest: hex("a"), bytes: 10 }],
      },
    });
    expect(parseManifest("{}")).toEqual({ ok: true, manifest: { config: null, layers: [] } });
  });

  const damaged = [
    ["", "its manifest is empty"],
    [" \n", "its manifest is empty"],
    ['{"layers": [', "its manifest is no JSON"],
    ["[]", "its manifest is damaged at its top"],
    ['"text"', "its manifest is damaged at its top"],
    [JSON.stringify({ layers: [{ ...layer("model"), digest: "sha256:../../etc/passwd" }] }), "at layers.0.digest"],
    [JSON.stringify({ layers: [{ ...layer("model"), size: -1 }] }), "at layers.0.size"],
    [JSON.stringify({ layers: [{ ...layer("model"), size: "10" }] }), "at layers.0.size"],
    [JSON.stringify({ layers: { 0: 1 } }), "at layers"],
    [JSON.stringify({ layers: new Array(50_001).fill(layer("tensor")) }), "at layers"],
  ] as const;
  test.each(damaged)("refuses damage, and says where: %#", (text, reason) => {
    const result = parseManifest(text);
    expect(result.ok ? "" : result.reason).toContain(reason);
  });
});

describe("partsOf()", () => {
  const parts = (kinds: readonly string[], config: object | null = { model_format: "gguf" }) => {
    const result = parseManifest(JSON.stringify({ layers: kinds.map((kind, i) => layer(kind, i.toString(16))) }));
    if (!result.ok) throw new Error(result.reason);
    return partsOf(result.manifest, config && parseConfig(JSON.stringify(config)), "m:latest");
  };
  const reason = (...given: Parameters<typeof parts>): string => {
    const result = parts(...given);
    return result.ok ? "" : `${result.defect.reason} (${result.defect.hint})`;
  };

  test("takes model, projector, adapters and params, and says what it leaves", () => {
    const result = parts([
      "license",
      "model",
      "projector",
      "adapter",
      "adapter",
      "params",
      "template",
      "system",
      "draft",
    ]);
    expect(result).toMatchObject({
      ok: true,
      parts: {
        model: { digest: hex("1") },
        projector: { digest: hex("2") },
        adapters: [{ digest: hex("3") }, { digest: hex("4") }],
        params: { digest: hex("5") },
      },
    });
    const notes = result.ok ? result.parts.notes.join("; ") : "";
    for (const word of ["draft", "template"]) expect(notes).toContain(word);
    expect(notes).not.toContain("messages");
  });

  test("takes a model whose config cannot be read, or says nothing", () => {
    expect(parts(["model"], null).ok).toBe(true);
    expect(parts(["model"], {}).ok).toBe(true);
    expect(parseConfig("{")).toBeNull();
  });

  test("refuses what has no weights to shard, each for its reason and with what to do", () => {
    expect(reason([], { remote_host: "https://ollama.com:443", remote_model: "m" })).toBe(
      "it runs on https://ollama.com:443 and has no weights here (ask Ollama for it, or pull a model that runs locally)",
    );
    expect(reason(["tensor", "tensor", "json"])).toContain("safetensors");
    expect(reason(["model"], { model_format: "safetensors" })).toContain("safetensors");
    expect(reason(["license"])).toBe("its manifest names no model layer (`ollama pull m:latest` gets it again)");
    expect(reason(["model", "model"])).toContain("names 2 model layers");
  });
});

describe("parseParams()", () => {
  test("takes the context and what llama-server has flags for, in the same numbers", () => {
    const params = { num_ctx: 8192, temperature: 0.6, top_k: 20, top_p: 0.95, min_p: 0, repeat_penalty: 1.1, seed: -1 };
    expect(parseParams(JSON.stringify(params))).toEqual({
      contextSize: 8192,
      args: [
        "--temp",
        "0.6",
        "--top-k",
        "20",
        "--top-p",
        "0.95",
        "--min-p",
        "0",
        "--repeat-penalty",
        "1.1",
        "--seed",
        "-1",
      ],
      stop: [],
      notes: [],
    });
  });

  test("notes what it has no flag for, and what is no number", () => {
    const params = { stop: ["<|end|>", 7], num_gpu: 99, temperature: "hot", num_ctx: 0, top_k: 1.5 };
    const { contextSize, args, stop, notes } = parseParams(JSON.stringify(params));
    expect([contextSize, args, stop]).toEqual([null, [], []]);
    expect(notes).toEqual([
      "not usable in its params: temperature, top_k, num_ctx, stop",
      "in its params, without a flag of llama-server: num_gpu",
    ]);
  });

  test.each(["", "{", "[]", "null", "5"])("applies defaults when it is damaged: %p", (text) => {
    const { contextSize, args, notes } = parseParams(text);
    expect([contextSize, args]).toEqual([null, []]);
    expect(notes[0]).toMatch(/^its params layer is .*; defaults apply$/);
  });
});
