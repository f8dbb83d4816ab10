/** Checks of embeddings, by OpenAI's API and by Ollama's. */
import { describe, expect, test } from "bun:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { OllamaEmbeddings } from "@langchain/ollama";
import { embedMany } from "ai";
import { ollama, openAi } from "./clients.ts";
import { openAiErrorOf, post } from "./wire.ts";
import { VECTORS, type World } from "./world.ts";

const TEXTS = ["a", "four", "a longer text"];

export function embeddingChecks({ main }: World): void {
  const { client } = openAi(main);

  describe("embeddings", () => {
    test("5.34 N: without encoding_format the floats equal those of float, in the order of the texts", async () => {
      const [plain, floats] = await Promise.all([
        client.embeddings.create({ model: VECTORS.name, input: TEXTS }),
        client.embeddings.create({ model: VECTORS.name, input: TEXTS, encoding_format: "float" }),
      ]);
      expect(plain).toMatchObject({ object: "list", model: VECTORS.name });
      expect(plain.data.map(({ index }) => index)).toEqual([0, 1, 2]);
      for (const [at, { embedding, object }] of plain.data.entries()) {
        expect(object).toBe("embedding");
        const other = floats.data[at]?.embedding ?? [];
        expect(embedding).toHaveLength(2);
        expect(embedding.map(Math.fround)).toEqual(other.map(Math.fround));
      }
      // The node's first number grows with the text.
      const firsts = floats.data.map(({ embedding }) => embedding[0] ?? 0);
      expect(firsts).toEqual(firsts.toSorted((a, b) => a - b));
      expect(plain.usage.total_tokens).toBeGreaterThan(0);
      const short = await client.embeddings.create({ model: VECTORS.name, input: "hi", dimensions: 3 });
      expect(short.data[0]?.embedding).toHaveLength(3);
    });

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
