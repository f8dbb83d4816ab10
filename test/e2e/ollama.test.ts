/** Models of an Ollama store: asked for by Ollama's names, streamed over real backends; damaged ones explained. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, truncateSync, unlinkSync } from "node:fs";
import { RECITATION } from "../../scripts/recitation.ts";
import { type GgufFile, meta } from "../../src/core/gguf-encode.ts";
import type { ModelListing } from "../../src/core/model-listing.ts";
import { bytesOf, zeros } from "../fixtures/gguf-model.ts";
import { type LayerContent, openStore, type Store, weights } from "../fixtures/ollama-store.ts";
import { type Lab, openLab } from "./lab.ts";
import { hear, type Synaptic } from "./synaptic.ts";

setDefaultTimeout(60_000);

const LIBRARY = "registry.ollama.ai/library";
/** Of the reciting models: 6 heads of 64. */
const WIDTH = 384;

let lab: Lab;
let store: Store;
let synaptic: Synaptic;
let config: string;
let recites: LayerContent;

beforeAll(async () => {
  lab = await openLab();
  const [backends, model] = await Promise.all([lab.backends(2), lab.model({ layers: 4, type: "Q8_0" })]);
  recites = { kind: "model", content: new Uint8Array(readFileSync(model)) };
  store = await openStore(lab.ollamaModels);
  const params = { kind: "params", content: JSON.stringify({ num_ctx: 1024, temperature: 0, stop: ["<none>"] }) };
  await store.put(`${LIBRARY}/Reciter/latest`, [recites, params]);
  await store.put("hf.co/Some-Org/Reciter-GGUF/Q8_0", [recites, { kind: "adapter", content: bytesOf(emptyLora()) }]);
  const polite = { kind: "system", content: "Every layer of this model is kind." };
  const worded = { kind: "params", content: JSON.stringify({ num_ctx: 1024, temperature: 0, stop: [" endpoint"] }) };
  await store.put(`${LIBRARY}/polite/latest`, [recites, worded, polite]);
  const { blobs } = await store.put(`${LIBRARY}/cut/latest`, [weights("cut")]);
  truncateSync(blobs[0] ?? "", 64);
  config = lab.config(backends.map(({ endpoint }) => endpoint));
  synaptic = await lab.serve({ config });
});

afterAll(async () => await lab[Symbol.asyncDispose]());

/** A LoRA adapter that changes nothing: its product is zero. */
function emptyLora(): GgufFile {
  const rank = 4;
  return {
    metadata: [
      ["general.type", meta.string("adapter")],
      ["general.architecture", meta.string("llama")],
      ["adapter.type", meta.string("lora")],
      ["adapter.lora.alpha", meta.f32(8)],
    ],
    tensors: [
      zeros("blk.0.attn_q.weight.lora_a", [WIDTH, rank], "F32"),
      zeros("blk.0.attn_q.weight.lora_b", [rank, WIDTH], "F32"),
    ],
  };
}

async function recite(model: string): Promise<string> {
  const messages = [{ role: "user", content: "Please recite." }];
  const response = await synaptic.post("/v1/chat/completions", { model, messages, stream: true, max_tokens: 200 });
  const { text, done, error } = await hear(response);
  expect({ done, error }).toEqual({ done: true, error: null });
  return text;
}

test.each(["Reciter", "Reciter:latest", "reciter", "registry.ollama.ai/library/RECITER:latest"])(
  "%s streams the known text over two backends, all from one coordinator",
  async (name) => {
    expect(await recite(name)).toBe(RECITATION);
    const { plan, proof, restarts } = await synaptic.coordinator("Reciter:latest");
    expect(proof?.backends.map(({ layers }) => layers > 0)).toEqual([true, true]);
    expect([proof?.proven, restarts, plan?.contextSize]).toEqual([true, 0, 1024]);
    expect(plan?.command.join(" ")).toContain("--temp 0");
    expect((await synaptic.status()).coordinators).toHaveLength(1);
  },
);

test("an adapter is loaded with the model, over RPC too", async () => {
  expect(await recite("hf.co/some-org/reciter-gguf:q8_0")).toBe(RECITATION);
  const { plan, proof } = await synaptic.coordinator("hf.co/Some-Org/Reciter-GGUF:Q8_0");
  expect(plan?.command).toContain("--lora");
  expect(proof?.proven).toBe(true);
});

test("/v1/models lists each usable model once", async () => {
  const { data } = (await (await synaptic.get("/v1/models")).json()) as { data: { id: string }[] };
  expect(data.map(({ id }) => id)).toEqual(["Reciter:latest", "hf.co/Some-Org/Reciter-GGUF:Q8_0", "polite:latest"]);
});

describe("a damaged model", () => {
  test("is refused with its reason and with what to do", async () => {
    const response = await synaptic.post("/v1/completions", { model: "cut", prompt: "Hi" });
    expect(response.status).toBe(500);
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    expect(error.code).toBe("model_unreadable");
    expect(error.message).toMatch(/^Cannot load cut:latest: the blob of its weights has 64 B.*`ollama rm cut:latest`/);
  });

  test("is listed by `synaptic models`, beside a server and alone alike", async () => {
    const alone = lab.config([], { ollama: { modelsDir: lab.ollamaModels } });
    const runs = [
      { args: [...synaptic.portFlag], config, row: /^Reciter:latest +\d.* MiB +llama +Q8_0 +1024 +.*127\.0\.0\.1:/m },
      { args: ["--port", "0"], config: alone, row: /^Reciter:latest +\d.* MiB +llama +Q8_0 +- +nowhere: no backend/m },
    ];
    for (const { args, row, ...options } of runs) {
      const { code, stdout } = await lab.run(["models", ...args], options);
      expect(code).toBe(1);
      expect(stdout).toMatch(row);
      expect(stdout).toContain("cut:latest cannot be used: the blob of its weights has 64 B");
    }
  });
});

test("`models --json` tells a loaded model by its place; models come and go while it serves", async () => {
  await recite("reciter");
  const listed = async (): Promise<ModelListing["models"]> => {
    const { stdout } = await lab.run(["models", "--json", ...synaptic.portFlag], { config });
    return (JSON.parse(stdout) as ModelListing).models;
  };
  const reciter = (await listed()).find(({ id }) => id === "Reciter:latest");
  expect(reciter).toMatchObject({ runs: true, origin: { kind: "ollama", where: lab.ollamaModels } });
  expect(reciter?.where).toStartWith("loaded on 127.0.0.1:");
  const { manifest } = await store.put(`${LIBRARY}/new/latest`, [recites]);
  expect(await recite("new")).toBe(RECITATION);
  unlinkSync(manifest);
  expect((await listed()).map(({ id }) => id)).not.toContain("new:latest");
});

test("a model's own system text and stop words stand where a request has none, in every dialect", async () => {
  const messages = [{ role: "user", content: "Please recite." }];
  const ask = async (model: string, more: object = {}) => {
    const response = await synaptic.post("/v1/chat/completions", { model, messages, max_tokens: 200, ...more });
    // A whole answer of ours: what it holds is what the test is about.
    return (await response.json()) as { readonly usage: { readonly prompt_tokens: number } };
  };
  const [before] = RECITATION.split(" endpoint");
  const own = await ask("polite");
  expect(own).toMatchObject({ choices: [{ finish_reason: "stop", message: { content: before } }] });
  const said = await ask("polite", { stop: ["never"], messages: [{ role: "system", content: "x" }, ...messages] });
  expect(said).toMatchObject({ choices: [{ message: { content: RECITATION } }] });
  expect(own.usage.prompt_tokens).toBeGreaterThan(said.usage.prompt_tokens);
  const theirs = await synaptic.post("/api/chat", { model: "polite", messages, stream: false });
  expect(await theirs.json()).toMatchObject({ message: { content: before }, done_reason: "stop" });
});
