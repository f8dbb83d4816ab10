/** What Ollama says when it refuses, in its own words, and what OpenAI's clients get for it. */
import { describe, expect, test } from "bun:test";
import { toOpenAi } from "../../../src/core/errors.ts";
import { fromNodeEmbed, toNodeEmbed } from "../../../src/core/translate/node-embed.ts";
import { fromOllama } from "../../../src/core/translate/node-error.ts";
import streams from "../../fixtures/llama-streams.json";

const CONTEXT = { model: "x", contextSize: 4096 };

const said = (status: number, text: string) => fromOllama(status, JSON.stringify({ error: text }), CONTEXT);

describe("an error of a node", () => {
  test("has OpenAI's code for each of Ollama's texts", () => {
    const cases: readonly (readonly [number, string, string, string | undefined])[] = [
      [404, "model 'llama9' not found", "model_not_found", "model"],
      [404, 'model "llama9" not found, try pulling it first', "model_not_found", "model"],
      [503, "server busy, please try again.  maximum pending requests exceeded", "too_busy", undefined],
      [400, "the input length exceeds the context length", "context_length_exceeded", "messages"],
      [
        400,
        "the prompt is longer than the context length currently available to the model; shorten it",
        "context_length_exceeded",
        "messages",
      ],
      [
        500,
        "input exceeds maximum context length and cannot be truncated further",
        "context_length_exceeded",
        "messages",
      ],
      [400, "registry.ollama.ai/library/x does not support tools", "unsupported_parameter", "tools"],
      [400, '"x" does not support thinking', "unsupported_parameter", "reasoning_effort"],
      [400, '"x" does not support chat', "unsupported_parameter", "model"],
      [400, '"x" does not support generate', "unsupported_parameter", "model"],
      [500, "this model is missing data required for image input", "unsupported_parameter", "messages"],
      [500, "image: unknown format", "bad_request", undefined],
      [500, 'invalid format: "xml"; expected "json" or a valid JSON Schema object', "bad_request", undefined],
      [400, 'option "temperature" must be of type float32', "bad_request", undefined],
      [500, "model requires more system memory (9.0 GiB) than is available (2.0 GiB)", "does_not_fit", undefined],
      [500, "timed out waiting for llama-server to start - ", "upstream_timeout", undefined],
      [
        500,
        "model runner has unexpectedly stopped, this may be due to resource limitations",
        "upstream_error",
        undefined,
      ],
      [403, "remote model is unavailable", "upstream_error", undefined],
      [400, "something else", "bad_request", undefined],
    ];
    for (const [status, text, code, param] of cases) {
      expect([text, said(status, text).code, said(status, text).param]).toEqual([text, code, param] as never);
    }
  });

  test("of its llama-server is found within the text (llm/llama_server.go statusErrorMessage)", () => {
    const error = toOpenAi(said(400, streams.tooLong));
    expect(error).toMatchObject({
      status: 400,
      body: { error: { type: "invalid_request_error", code: "context_length_exceeded", param: "messages" } },
    });
    expect(error.body.error.message).toContain("maximum context length is 1024 tokens, the request has 2020");
    const noEmbeddings = { error: { code: 501, message: "This server does not support embeddings", type: "x" } };
    expect(said(501, JSON.stringify(noEmbeddings))).toMatchObject({ code: "unsupported_parameter" });
    expect(said(400, `${streams.tooLong}\nCUDA error`)).toMatchObject({ code: "context_length_exceeded" });
  });

  test("has the words that clients look for when the prompt is too long (facts/clients.md 2)", () => {
    expect(said(400, "the input length exceeds the context length").message).toContain(
      "maximum context length is 4096 tokens",
    );
  });

  test("may be anything", () => {
    const texts = [
      "",
      "404 page not found",
      "<html>",
      "null",
      "[]",
      '{"error":5}',
      '{"error":{"message":"x"}}',
      '{"error":{}}',
    ];
    for (const text of texts) {
      const error = fromOllama(502, text, CONTEXT);
      expect([error.code, error.message.length > 0]).toEqual(["upstream_error", true]);
    }
    expect(fromOllama(500, "x".repeat(1e6), CONTEXT).message.length).toBeLessThan(400);
    expect(fromOllama(503, "", CONTEXT).code).toBe("too_busy");
    expect(fromOllama(504, "", CONTEXT).code).toBe("upstream_timeout");
  });
});

describe("embeddings of a node", () => {
  const TARGET = { model: "n", contextSize: 512, canThink: null };
  const options = (own: object = {}) => ({
    model: "x",
    contextSize: 512,
    wants: { count: 2, encoding: "float", ...own } as const,
  });

  test("are asked for with the context, and never of a cut text", () => {
    const base = { model: "n", truncate: false, options: { num_ctx: 512 } };
    expect(toNodeEmbed({ input: "a" }, TARGET)).toEqual({
      ok: true,
      path: "/api/embed",
      body: { ...base, input: ["a"] },
      wants: { count: 1, encoding: "float" },
    });
    const own = { input: ["a", "b"], dimensions: 8, encoding_format: "base64", user: "me" };
    expect(toNodeEmbed(own, { ...TARGET, keepAlive: -1 })).toMatchObject({
      body: { ...base, input: ["a", "b"], dimensions: 8, keep_alive: -1 },
      wants: { count: 2, encoding: "base64" },
    });
  });

  test("are refused for tokens and for nothing (facts/clients.md 3)", () => {
    const refused = (body: object) => {
      const request = toNodeEmbed(body, TARGET);
      return request.ok ? "ok" : `${request.error.code} ${request.error.param}`;
    };
    for (const input of [[1, 2], [[1, 2]], 5]) expect(refused({ input })).toBe("unsupported_parameter input");
    for (const input of ["", [], null, {}]) expect(refused({ input })).toBe("bad_request input");
    expect(refused({})).toBe("bad_request input");
    expect(refused({ input: ["a", 5] })).toBe("bad_request input[1]");
    expect(refused({ input: "a", encoding_format: "int8" })).toBe("bad_request encoding_format");
    expect(refused({ input: "a", dimensions: 0 })).toBe("bad_request dimensions");
  });

  test("come back in order, with usage, as floats or as base64 of the same floats (facts/clients.md check 34)", () => {
    const embeddings = [
      [0.5, -0.25],
      [1, 0],
    ];
    const answer = { model: "n", embeddings, prompt_eval_count: 7 };
    expect(fromNodeEmbed(answer, options())).toEqual({
      ok: true,
      body: {
        object: "list",
        data: embeddings.map((embedding, index) => ({ object: "embedding", index, embedding })),
        model: "x",
        usage: { prompt_tokens: 7, total_tokens: 7 },
      },
    });
    const encoded = fromNodeEmbed(answer, options({ encoding: "base64" }));
    if (!encoded.ok) throw encoded.error;
    const data = encoded.body.data as { embedding: string }[];
    expect(data.map(({ embedding }) => [...new Float32Array(Uint8Array.fromBase64(embedding).buffer)])).toEqual(
      embeddings,
    );
  });

  test("that are fewer than the texts, or none, are an error", () => {
    expect(fromNodeEmbed({ embeddings: [[1]] }, options())).toMatchObject({
      ok: false,
      error: { code: "upstream_error" },
    });
    expect(fromNodeEmbed({ error: "the input length exceeds the context length" }, options())).toMatchObject({
      error: { code: "context_length_exceeded", param: "input" },
    });
    for (const body of [null, {}, { embeddings: null }])
      expect(fromNodeEmbed(body, options())).toMatchObject({ ok: false });
  });
});
