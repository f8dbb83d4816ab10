/** Checks of embeddings, by OpenAI's API and by Ollama's. */
import { describe, expect, test } from "bun:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { OllamaEmbeddings } from "@langchain/ollama";
import { embedMany } from "ai";
import { ollama, openAi } from "./clients.ts";
import { openAiErrorOf, post } from "./wire.ts";
import { EMBED, VECTORS, type World } from "./world.ts";

const TEXTS = ["a", "four", "a longer text"];

/** Computed in batches of other sizes, the last digits of real vectors differ. */
function isNear(one: readonly number[], other: readonly number[]): boolean {
  return one.length === other.length && one.every((value, at) => Math.abs(value - (other[at] ?? 9)) < 1e-4);
}

export function embeddingChecks({ main }: World): void {
  const { client } = openAi(main);

  describe("embeddings", () => {
    test.each([VECTORS.name, EMBED])(
      "5.34 N: without encoding_format the floats equal those of float, in the order of the texts: %s",
      async (model) => {
        const [plain, floats] = await Promise.all([
          client.embeddings.create({ model, input: TEXTS }),
          client.embeddings.create({ model, input: TEXTS, encoding_format: "float" }),
        ]);
        expect([plain.object, plain.model]).toEqual(["list", model]);
        expect(plain.data.map(({ index }) => index)).toEqual([0, 1, 2]);
        for (const [at, { embedding, object }] of plain.data.entries()) {
          expect(object).toBe("embedding");
          const other = floats.data[at]?.embedding ?? [];
          expect(embedding).toHaveLength(other.length);
          expect(isNear(embedding, other)).toBe(true);
          // Each is the vector of its own text, and of no other one.
          const alone = await client.embeddings.create({ model, input: TEXTS[at] ?? "" });
          expect(TEXTS.map((_, to) => isNear(alone.data[0]?.embedding ?? [], plain.data[to]?.embedding ?? []))).toEqual(
            TEXTS.map((_, to) => to === at),
          );
        }
        expect(plain.usage.total_tokens).toBeGreaterThan(0);
        const short = await client.embeddings.create({ model, input: "hi", dimensions: 3 });
        expect(short.data[0]?.embedding).toHaveLength(3);
      },
    );

    test("5.34 tokens in place of texts are refused by name, since a node takes texts only", async () => {
      const { status, text } = await post(`${main.url}/v1/embeddings`, { model: VECTORS.name, input: [[1, 2, 3]] });
      expect([status, openAiErrorOf(text).param]).toEqual([400, "input"]);
    });

    test("A embedMany, O embed and L OllamaEmbeddings give the same vectors", async () => {
      const provider = createOpenAICompatible({ name: "synaptic", baseURL: `${main.url}/v1`, apiKey: "none" });
      const { embeddings } = await embedMany({ model: provider.embeddingModel(VECTORS.name), values: TEXTS });
      const own = await ollama(main).embed({ model: VECTORS.name, input: TEXTS });
      const chained = await new OllamaEmbeddings({ model: VECTORS.name, baseUrl: main.url }).embedDocuments(TEXTS);
      const rounded = (vectors: readonly (readonly number[])[]) => vectors.map((vector) => vector.map(Math.fround));
      expect(rounded(own.embeddings)).toEqual(rounded(embeddings));
      expect(rounded(chained)).toEqual(rounded(embeddings));
      const older = await ollama(main).embeddings({ model: VECTORS.name, prompt: "four" });
      expect(rounded([older.embedding])).toEqual(rounded(embeddings.slice(1, 2)));
    });
  });
}
