/** `/api/generate` and its embeddings as llama-server gets them. */
import { describe, expect, test } from "bun:test";
import {
  ollamaNoEmbeddings,
  shorten,
  toOllamaEmbed,
  toOllamaEmbeddings,
  translateOllamaEmbed,
  translateOllamaEmbeddings,
} from "../../../src/core/translate/ollama-embed.ts";
import { translateOllamaGenerate } from "../../../src/core/translate/ollama-generate.ts";
import type { OllamaRequest } from "../../../src/core/translate/ollama-request.ts";
import streams from "../../fixtures/llama-streams.json";
import { ollamaOptions } from "./translated.ts";

const BASE = { model: "m", prompt: "hi", stream: false };

function asked(request: OllamaRequest) {
  if (!request.ok) throw request.error;
  if (request.action !== "ask") throw new Error(`it only says ${request.action}`);
  return { path: request.path, body: request.body };
}

const generate = (own: object) => asked(translateOllamaGenerate({ ...BASE, ...own }));
const refused = (own: object) => {
  const request = translateOllamaGenerate({ ...BASE, ...own });
  if (request.ok) throw new Error("it was not refused");
  return { code: request.error.code, param: request.error.param };
};

describe("generate", () => {
  test("is a chat of one turn, since the template is the model's", () => {
    expect(generate({ system: "be brief", options: { num_predict: 5 } })).toEqual({
      path: "/v1/chat/completions",
      body: {
        model: "m",
        messages: [
          { role: "system", content: "be brief" },
          { role: "user", content: "hi" },
        ],
        max_tokens: 5,
        stream: false,
      },
    });
  });

  test("has its images in that turn", () => {
    const { body } = generate({ images: ["iVBORw0KGgoAAAANSUhE"] });
    const url = "data:image/png;base64,iVBORw0KGgoAAAANSUhE";
    expect(body.messages).toEqual([
      {
        role: "user",
        content: [
          { type: "text", text: "hi" },
          { type: "image_url", image_url: { url } },
        ],
      },
    ]);
  });

  test("is raw text when asked for, with its schema under the name that counts there (measured, 0.7.0)", () => {
    expect(generate({ raw: true, format: "json", logprobs: true, stream: true })).toEqual({
      path: "/v1/completions",
      body: {
        model: "m",
        prompt: "hi",
        json_schema: { type: "object" },
        logprobs: 1,
        stream: true,
        stream_options: { include_usage: true },
      },
    });
    expect(generate({ raw: true, format: { type: "array" } }).body).toMatchObject({ json_schema: { type: "array" } });
  });

  test("fills a gap at its own endpoint, since completions take no notice of a suffix (measured, 0.7.0)", () => {
    expect(generate({ suffix: "}", options: { num_predict: 9, stop: ["\n"] } })).toEqual({
      path: "/infill",
      body: { input_prefix: "hi", input_suffix: "}", stop: ["\n"], n_predict: 9, stream: false },
    });
  });

  test("renders a template that is text around its values, and refuses others", () => {
    const template = "{{ if .System }}<s>{{ .System }}</s>\n{{ end }}[{{- .Prompt -}} ] {{ .Response }}{{ .Prompt }}";
    expect(generate({ template, system: "S" })).toMatchObject({
      path: "/v1/completions",
      body: { prompt: "<s>S</s>\n[hi] " },
    });
    expect(generate({ template }).body).toMatchObject({ prompt: "[hi] " });
    expect(generate({ template: "{{ if .System }}a{{ else }}b{{ end }}{{ .Prompt }}" }).body).toMatchObject({
      prompt: "bhi",
    });
    const other = [
      "{{ range .Messages }}{{ .Content }}{{ end }}",
      "{{ if .Prompt }}",
      "{{ end }}",
      "{{ else }}",
      "{{ if .Prompt }}{{ else }}{{ else }}{{ end }}",
      "{{ if .Prompt }}".repeat(20) + "{{ end }}".repeat(20),
      "{{ .Messages }}",
      "x".repeat(70_000),
    ];
    for (const template of other)
      expect(refused({ template })).toEqual({ code: "unsupported_parameter", param: "template" });
  });

  test("refuses what it could only forget", () => {
    expect(refused({ context: [1, 2] })).toEqual({ code: "unsupported_parameter", param: "context" });
    expect(refused({ raw: true, images: ["AAAA"] })).toEqual({ code: "unsupported_parameter", param: "images" });
    expect(refused({ raw: true, system: "x" })).toEqual({ code: "bad_request", param: "raw" });
    expect(generate({ context: [], template: "", system: "", suffix: "", images: [] }).path).toBe(
      "/v1/chat/completions",
    );
  });

  test("without a prompt loads, or unloads", () => {
    expect(translateOllamaGenerate({ model: "m" })).toMatchObject({ action: "load" });
    expect(translateOllamaGenerate({ model: "m", prompt: "", keep_alive: 0 })).toMatchObject({ action: "unload" });
  });
});

describe("embeddings", () => {
  const options = () => ({ ...ollamaOptions(), dimensions: null });
  const answer = JSON.parse(streams.embeddings);

  test("are asked for as floats, one text or several", () => {
    const body = { model: "m", input: ["hi"], encoding_format: "float" };
    expect(asked(translateOllamaEmbed({ model: "m", input: "hi" }))).toEqual({ path: "/v1/embeddings", body });
    expect(asked(translateOllamaEmbed({ model: "m", input: ["a", "b"] })).body).toMatchObject({ input: ["a", "b"] });
    expect(asked(translateOllamaEmbeddings({ model: "m", prompt: "hi" }))).toEqual({ path: "/v1/embeddings", body });
  });

  test("of nothing load the model", () => {
    for (const input of ["", [], null, undefined])
      expect(translateOllamaEmbed({ model: "m", input })).toMatchObject({ action: "load" });
    expect(translateOllamaEmbeddings({ model: "m", keep_alive: 0 })).toMatchObject({ action: "unload" });
    expect(ollamaNoEmbeddings("m")).toEqual({ model: "m", embeddings: [] });
  });

  test("take texts only", () => {
    for (const input of [5, [1, 2], [["a"]]])
      expect(translateOllamaEmbed({ model: "m", input })).toMatchObject({ ok: false });
  });

  test("say what llama-server leaves to us", () => {
    const request = translateOllamaEmbed({
      model: "m",
      input: "a",
      truncate: false,
      dimensions: 8,
      options: { num_ctx: 512 },
    });
    expect(request).toMatchObject({ wants: { truncate: false, dimensions: 8, contextSize: 512 } });
  });

  test("come back in the order of their texts, with Ollama's figures", () => {
    const embedded = toOllamaEmbed({ ...answer, data: answer.data.toReversed() }, options());
    if (!embedded.ok) throw embedded.error;
    expect(embedded.body).toMatchObject({
      model: "llama3.2:1b",
      embeddings: answer.data.map(({ embedding }: { embedding: number[] }) => embedding),
      prompt_eval_count: answer.usage.prompt_tokens,
      load_duration: 1_500_000_000,
    });
    expect(toOllamaEmbeddings(answer)).toEqual({ ok: true, body: { embedding: answer.data[0].embedding } });
  });

  test("are shortened to length one, since llama-server takes no notice of `dimensions` (facts/clients.md 3)", () => {
    const embedded = toOllamaEmbed(answer, { ...options(), dimensions: 8 });
    if (!embedded.ok) throw embedded.error;
    for (const vector of embedded.body.embeddings as number[][]) {
      expect(vector).toHaveLength(8);
      expect(Math.hypot(...vector)).toBeCloseTo(1, 6);
    }
    expect(shorten([3, 4, 12], 2)).toEqual([0.6, 0.8]);
    expect(shorten([0, 0, 1], 2)).toEqual([0, 0]);
    expect(shorten([1, 2], 5)).toEqual([1, 2]);
  });

  test("that are none are an error", () => {
    for (const body of [null, {}, { data: [{}] }, { data: "x" }])
      expect(toOllamaEmbed(body, options())).toMatchObject({ ok: false });
    for (const body of [null, { data: [] }]) expect(toOllamaEmbeddings(body)).toMatchObject({ ok: false });
  });
});
