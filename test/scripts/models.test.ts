/** The reciting model: what it says, that each layer counts, and that its file is what it claims. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runModels } from "../../scripts/models.ts";
import { expectedCompletion, RECITATION, vocabularyOf, wordsOf } from "../../scripts/recitation.ts";
import { type RecitingModel, writeRecitingModel } from "../../scripts/recite.ts";
import { encodeWeights, type WeightType } from "../../src/core/gguf-encode.ts";
import { readModel } from "../../src/io/model-files.ts";
import { logitsAfter, type ReferenceModel, readReference } from "../fixtures/reference-llama.ts";

const { signal } = new AbortController();
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "synaptic-recite-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function written(name: string, options: Partial<RecitingModel> = {}): Promise<string> {
  const path = join(folder, `${name}.gguf`);
  await writeRecitingModel({ path, layers: 4, type: "F16", ...options });
  return path;
}

const TEXT = "One two three four five.";
const vocabulary = vocabularyOf(TEXT);

/** Greedy from the begin token to the end token, by plain arithmetic. */
function recite(model: ReferenceModel): string {
  let [token, text] = [vocabulary.begin, ""];
  for (let i = 0; i < 8; i++) {
    const logits = logitsAfter(model, token);
    token = logits.indexOf(logits.reduce((most, logit) => Math.max(most, logit)));
    if (token === vocabulary.end) break;
    text += vocabulary.tokens[token]?.text ?? "";
  }
  return text;
}

describe("the recitation", () => {
  test("has more than 60 distinct words, whatever their case and punctuation", () => {
    const bare = wordsOf(RECITATION).map((word) => word.toLowerCase().replace(/[^a-z'-]/g, ""));
    expect(new Set(bare).size).toBe(bare.length);
    expect(bare.length).toBeGreaterThan(60);
  });

  test("tokenises back to itself, longest word first, from any word on", () => {
    const words = wordsOf(RECITATION);
    const byLength = words.toSorted((a, b) => b.length - a.length);
    for (let rest = RECITATION, i = 0; rest !== ""; i++) {
      const found = byLength.find((word) => rest.startsWith(word));
      expect(found).toBe(words[i]);
      rest = rest.slice(found?.length ?? rest.length);
    }
  });

  test("goes on where a prefix stopped, and starts over after anything else", () => {
    expect(expectedCompletion("")).toBe(RECITATION);
    expect(expectedCompletion("Hello!")).toBe(RECITATION);
    expect(expectedCompletion("Synaptic turns the")).toStartWith(" machines you own");
    expect(expectedCompletion("you own into")).toStartWith(" one endpoint.");
    expect(expectedCompletion(RECITATION)).toBe("");
  });
});

describe("writeRecitingModel()", () => {
  test.each(["F32", "F16", "Q8_0"] as const)("recites by plain arithmetic as %s", async (type) => {
    const model = readReference(await Bun.file(await written(`plain-${type}`, { type, text: TEXT })).bytes());
    expect(recite(model)).toBe(TEXT);
    const logits = logitsAfter(model, vocabulary.begin).toSorted();
    expect((logits.at(-1) ?? 0) - (logits.at(-2) ?? 0)).toBeGreaterThan(30);
  });

  test("is wrong with a layer damaged, left out, run twice, or out of order", async () => {
    const whole = readReference(await Bun.file(await written("whole", { text: TEXT })).bytes());
    const [a, b, c, d] = whole.layers;
    if (!(a && b && c && d)) throw new Error("expected four layers");
    for (const layers of [
      [a, b, c],
      [b, c, d],
      [a, b, b, c, d],
      [b, a, c, d],
      [a, b, d, c],
    ]) {
      expect(recite({ ...whole, layers })).not.toBe(TEXT);
    }
    for (let damagedLayer = 0; damagedLayer < 4; damagedLayer++) {
      const path = await written(`damaged-${damagedLayer}`, { text: TEXT, damagedLayer });
      expect(recite(readReference(await Bun.file(path).bytes()))).not.toBe(TEXT);
    }
  });

  test("starts over when the end of text is forbidden", async () => {
    const model = readReference(await Bun.file(await written("again", { text: TEXT })).bytes());
    const logits = logitsAfter(model, vocabulary.lastWord);
    logits[vocabulary.end] = Number.NEGATIVE_INFINITY;
    expect(logits.indexOf(logits.reduce((most, logit) => Math.max(most, logit)))).toBe(vocabulary.firstWord);
  });

  test("gives the same bytes for the same options, and others for a damaged layer", async () => {
    const hash = async (path: string) => Bun.hash(await Bun.file(path).bytes());
    expect(await hash(await written("one"))).toBe(await hash(await written("two")));
    expect(await hash(await written("three", { damagedLayer: 1 }))).not.toBe(await hash(await written("one")));
  });

  test("writes 80 layers in seconds and little space", async () => {
    const started = performance.now();
    const { facts } = await readModel(await written("tall", { layers: 80, type: "Q8_0" }), { signal });
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(facts.layers).toHaveLength(80);
    expect(facts.fileBytes).toBeLessThan(80 * 1024 ** 2);
  });

  test("says of itself what it is", async () => {
    const { facts } = await readModel(await written("facts", { kvHeads: 3, contextLength: 8192 }), { signal });
    expect(facts).toMatchObject({ architecture: "llama", quantization: "F16", headSize: 64, headCount: 6 });
    expect(facts).toMatchObject({ trainedContext: 8192, chatTemplate: true, kvInexact: null, tiedOutput: false });
    expect(facts.layers[0]).toMatchObject({ keyElements: 192, valueElements: 192 });
    const bare = await readModel(await written("bare", { chatTemplate: null }), { signal });
    expect(bare.facts.chatTemplate).toBe(false);
  });

  test.each([
    [{ width: 400 }, "width is 400"],
    [{ width: 320 }, "width is 320"],
    [{ layers: 0 }, "layers is 0"],
    [{ kvHeads: 4 }, "4 KV heads don't divide 6 heads"],
    [{ damagedLayer: 4 }, "damaged layer is 4"],
    [{ text: "one two two three" }, "not distinct"],
  ] satisfies readonly (readonly [Partial<RecitingModel>, string])[])("refuses %j", async (options, message) => {
    expect(written("refused", options)).rejects.toThrow(message);
    expect(await Bun.file(join(folder, "refused.gguf")).exists()).toBe(false);
  });
});

describe("encodeWeights()", () => {
  test.each(["F32", "F16", "Q8_0"] satisfies WeightType[])("keeps the deciding weights exactly as %s", async (type) => {
    const model = readReference(await Bun.file(await written(`exact-${type}`, { type, layers: 1 })).bytes());
    const values = new Set(model.layers[0]?.down.flatMap((row) => [...row]));
    expect([...values].toSorted()).toEqual([-1 / 32, 0, 1 / 32]);
    expect(model.embeddings[5]?.[5]).toBe(8);
  });

  test("keeps noise to within one step of its scale", () => {
    const values = Float32Array.from({ length: 32 }, (_, i) => Math.sin(i) * 0.002);
    const bytes = encodeWeights("Q8_0", values);
    const view = new DataView(bytes.buffer);
    for (const [i, value] of values.entries()) {
      expect(Math.abs(view.getFloat16(0, true) * view.getInt8(2 + i) - value)).toBeLessThanOrEqual(
        0.002 / 64 / 2 + 1e-9,
      );
    }
  });
});

describe("runModels()", () => {
  test("writes what the arguments say", async () => {
    const out = join(folder, "cli.gguf");
    const line = await runModels(["--layers", "5", "--type", "Q8_0", "--out", out, "--kv-heads", "1"]);
    expect(line).toStartWith(`${out}: `);
    const { facts } = await readModel(out, { signal });
    expect(facts).toMatchObject({ quantization: "Q8_0", layers: { length: 5 } });
  });

  test.each([
    [["--layers", "4"], "--out is missing"],
    [["--out", "x", "--type", "Q4_0"], 'expected F32, F16 or Q8_0, found "Q4_0"'],
    [["--out", "x", "--layers", "many"], 'expected a whole number, found "many"'],
    [["--nonsense"], "Cannot read the arguments"],
  ])("refuses %j", async (args, message) => {
    expect(runModels(args)).rejects.toThrow(message);
  });
});
