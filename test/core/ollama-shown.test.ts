/** Models as Ollama's listings show them. */
import { describe, expect, test } from "bun:test";
import { aboutModel, capabilitiesOf } from "../../src/core/model-about.ts";
import { eachOnce, runningOnNode, runningOnShards, shownOfHead, taggedName } from "../../src/core/ollama-shown.ts";
import { loadedModel, nodeModel } from "../fakes/ollama-port.ts";
import { planned, R24 } from "../fixtures/model-facts.ts";

const FILE = { facts: R24, modifiedAtMs: 5 };
const head = (id: string) => shownOfHead({ id, digest: null, bytes: null, hasProjector: false, file: FILE });
const node = (...names: string[]) => ({
  ...{ url: "http://n", machine: "n", state: "up" as const, since: "", reason: "", version: "1", rttMs: 1 },
  ...{ models: names.map((name) => nodeModel(name)), loaded: [], inFlight: 0 },
});

describe("aboutModel()", () => {
  const about = aboutModel({
    metadata: new Map<string, string | number | bigint | { length: number; items: readonly number[] | null }>([
      ["general.architecture", "llama"],
      ["tokenizer.chat_template", "{% if tools %}{{ tools }}{% endif %}<think>"],
      ["tokenizer.chat_template.rag", "x"],
      ["tokenizer.ggml.tokens", { length: 32_000, items: null }],
      ["llama.few", { length: 2, items: [1, 2] }],
      ["llama.large", 2n ** 60n],
      ["general.long", "x".repeat(5_000)],
      ["tokenizer.ggml.fim_pre_token_id", 7],
    ]),
  });

  test("has the template apart, and of the keys what is short", () => {
    expect(about.template).toContain("{{ tools }}");
    expect(about.info).toEqual({
      ...{ "general.architecture": "llama", "tokenizer.ggml.tokens": [], "llama.few": [1, 2] },
      ...{ "llama.large": "1152921504606846976", "tokenizer.ggml.fim_pre_token_id": 7 },
    });
  });

  test("capabilities come from template, tokens and projector", () => {
    expect(capabilitiesOf({ about, hasProjector: true })).toEqual([
      "completion",
      "tools",
      "insert",
      "vision",
      "thinking",
    ]);
    const plain = aboutModel({ metadata: new Map([["tokenizer.chat_template", "{{ messages }} toolset"]]) });
    expect(capabilitiesOf({ about: plain, hasProjector: false })).toEqual(["completion"]);
    expect(capabilitiesOf({ about: undefined, hasProjector: false })).toEqual(["completion"]);
  });
});

describe("listed models", () => {
  test("have a tag, whatever they are called", () => {
    const names = ["m", "a/m", "m:8b", "hf.co/u/r:Q4", "localhost:5000/a/m", "odd name"];
    expect(names.map(taggedName)).toEqual([
      ...["m:latest", "a/m:latest", "m:8b", "hf.co/u/r:Q4", "localhost:5000/a/m:latest", "odd name"],
    ]);
  });

  test("are there once under any spelling, the head node's first", () => {
    const all = eachOnce([head("Llama3")], [node("llama3:latest", "b:1b"), node("B:1b")]);
    expect(all.map(({ name }) => name)).toEqual(["Llama3:latest", "b:1b"]);
    expect(all[0]).toMatchObject({ bytes: R24.fileBytes, family: R24.architecture, modifiedAtMs: 5 });
  });

  test("of nodes that say little are embedders by their family alone", () => {
    const told = {
      family: "nomic-bert",
      modifiedAt: "x",
      trainedContext: null,
      embeddingLength: 768,
      capabilities: null,
    };
    const [model] = eachOnce([], [{ ...node(), models: [nodeModel("e:latest", { told })] }]);
    expect(model?.capabilities).toEqual(["embedding"]);
  });
});

describe("running models", () => {
  test("on shards take what their plan says, on accelerators what lies there", () => {
    const plan = planned();
    const running = runningOnShards(head("m"), plan, "2026-11-24T18:00:00.000Z");
    const { modelBytes, computeBytes } = plan.head;
    const onBackends = plan.backends.reduce((sum, one) => sum + one.modelBytes + one.kvBytes + one.computeBytes, 0);
    expect(running.memoryBytes).toBe(onBackends + modelBytes + computeBytes);
    expect(running.acceleratorBytes).toBe(0);
    expect(running).toMatchObject({ expiresAtMs: Date.UTC(2026, 10, 24, 18), contextSize: plan.contextSize });
    expect(runningOnShards(head("m"), plan, null).expiresAtMs).toBeNull();
  });

  test("on nodes are what the node says, known on its disk or not", () => {
    const loaded = loadedModel("a:latest", { bytes: 9, vramBytes: 4, contextSize: 4096 });
    expect(runningOnNode(node("a:latest"), loaded)).toMatchObject({ memoryBytes: 9, acceleratorBytes: 4, bytes: 5 });
    expect(runningOnNode(node(), { ...loaded, expiresAt: null })).toMatchObject({ bytes: 9, expiresAtMs: null });
  });
});
