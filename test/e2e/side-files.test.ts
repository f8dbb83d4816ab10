/** What a model's settings put beside it, on the real engine: a draft model, a projector, and defaults for sampling. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RECITATION } from "../../scripts/recitation.ts";
import { writeRecitingModel } from "../../scripts/recite.ts";
import { bytesOf } from "../fixtures/gguf-model.ts";
import { IMAGE_TOKENS, PNG, tinyProjector } from "../fixtures/projector.ts";
import { type Lab, openLab } from "./lab.ts";
import { hear, type Synaptic } from "./synaptic.ts";

setDefaultTimeout(60_000);

/** Of the reciting models: 6 heads of 64. */
const WIDTH = 384;

let lab: Lab;
let synaptic: Synaptic;
let draft: string;

beforeAll(async () => {
  lab = await openLab();
  const backends = await lab.backends(2);
  draft = await lab.model({ layers: 4, type: "Q8_0" });
  writeFileSync(join(lab.home, "vision.gguf"), bytesOf(tinyProjector(WIDTH)));
  // Its words are those of the model in another spelling.
  const foreign = join(lab.folder, "foreign.gguf");
  await writeRecitingModel({ path: foreign, layers: 4, type: "F16", text: RECITATION.replace("endpoint", "endpoynt") });
  const settings = {
    m: { draft, sampling: { temperature: 0, top_k: 7, seed: 42, repeat_penalty: 1.5 }, args: ["--top-k", "9"] },
    other: { draft: `${lab.folder}/nowhere.gguf` },
    blind: { mmproj: draft },
    sees: { mmproj: "~/vision.gguf" },
    stranger: { draft: foreign },
  };
  const model = await lab.model({ layers: 24, type: "Q8_0" });
  const files = { m: model, other: model, blind: model, sees: model, stranger: model };
  const models = { files, settings };
  synaptic = await lab.serve({
    config: lab.config(
      backends.map(({ endpoint }) => endpoint),
      { models },
    ),
  });
});

afterAll(async () => await lab[Symbol.asyncDispose]());

const ASK = { messages: [{ role: "user", content: "Please recite." }], max_tokens: 200, repeat_penalty: 1 };

test("a draft model drafts on the head node, and the sharding is proven all the same", async () => {
  const { text, done } = await hear(await synaptic.post("/v1/chat/completions", { model: "m", ...ASK, stream: true }));
  expect([text, done]).toEqual([RECITATION, true]);
  const { plan, proof } = await synaptic.coordinator("m");
  expect(proof?.proven).toBe(true);
  expect(proof?.backends.map(({ layers }) => layers > 0)).toEqual([true, true]);
  expect(plan).toMatchObject({ draft, reasons: expect.arrayContaining([expect.stringContaining("draft model (")]) });
  const whole = await synaptic.post("/v1/chat/completions", { model: "m", ...ASK });
  const { timings } = (await whole.json()) as { timings: { draft_n: number; draft_n_accepted: number } };
  expect(timings.draft_n).toBeGreaterThan(20);
  expect(timings.draft_n_accepted / timings.draft_n).toBeGreaterThan(0.9);
});

test("a draft model of another vocabulary is spoken of in the log, and the model answers without it", async () => {
  const { text } = await hear(await synaptic.post("/v1/chat/completions", { model: "stranger", ...ASK, stream: true }));
  expect(text).toBe(RECITATION);
  await synaptic.untilLine(/stranger runs without its draft model: .*vocab/);
});

test("a projector takes images on the head node", async () => {
  const ask = async (content: unknown): Promise<number> => {
    const messages = [{ role: "user", content }];
    const response = await synaptic.post("/v1/chat/completions", { model: "sees", messages, max_tokens: 4 });
    expect(response.status).toBe(200);
    return ((await response.json()) as { usage: { prompt_tokens: number } }).usage.prompt_tokens;
  };
  const text = { type: "text", text: "Please recite." };
  const image = { type: "image_url", image_url: { url: PNG } };
  expect((await ask([text, image])) - (await ask([text]))).toBe(IMAGE_TOKENS);
  const { plan, proof } = await synaptic.coordinator("sees");
  expect(proof?.proven).toBe(true);
  expect(plan?.command.join(" ")).toContain(`--mmproj ${lab.home}/vision.gguf --no-mmproj-offload`);
  expect(plan?.head.projectorBytes).toBeGreaterThan(1_000_000);
});

test.skipIf(process.platform !== "linux")(
  "sampling defaults hold where a request leaves them open; arguments of the owner come before them",
  async () => {
    const pid = await synaptic.load("m");
    const { plan } = await synaptic.coordinator("m");
    const port = plan?.command[plan.command.indexOf("--port") + 1];
    const key = /(?:^|\0)LLAMA_API_KEY=([^\0]+)/.exec(readFileSync(`/proc/${pid}/environ`, "utf8"))?.[1];
    const response = await fetch(`http://127.0.0.1:${port}/props`, { headers: { authorization: `Bearer ${key}` } });
    expect(await response.json()).toMatchObject({
      default_generation_settings: { params: { temperature: 0, top_k: 9, seed: 42, repeat_penalty: 1.5 } },
    });
  },
);

test("a draft or projector that is none is refused before a spawn, by its own name", async () => {
  const refusals = { other: "Cannot read the draft model ", blind: "Cannot read the projector " };
  for (const [model, words] of Object.entries(refusals)) {
    const response = await synaptic.post("/v1/chat/completions", { model, ...ASK });
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    expect([response.status, error.code, error.message]).toEqual([
      500,
      "model_unreadable",
      expect.stringContaining(words),
    ]);
    expect((await synaptic.coordinator(model)).restarts).toBe(0);
  }
});
