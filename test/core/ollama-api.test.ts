/** What an Ollama answers: read as far as it makes sense, whatever else stands there. */
import { describe, expect, test } from "bun:test";
import { readLoaded, readTags, readVersion } from "../../src/core/ollama-api.ts";

const DIGEST = "ab".repeat(32);
const NOTHING_TOLD = {
  family: null,
  modifiedAt: null,
  trainedContext: null,
  embeddingLength: null,
  capabilities: null,
};

describe("readTags()", () => {
  test("takes name, digest, size and what the details say", () => {
    const details = { parameter_size: "8.0B", quantization_level: "Q4_K_M", format: "gguf" };
    const models = [{ name: "a:latest", model: "a:latest", size: 5, digest: DIGEST, details, modified_at: "x" }];
    expect(readTags({ models })).toEqual({
      ok: true,
      value: [
        {
          ...{
            name: "a:latest",
            digest: DIGEST,
            bytes: 5,
            parameters: "8.0B",
            quantization: "Q4_K_M",
            remoteHost: null,
          },
          told: { ...NOTHING_TOLD, modifiedAt: "x" },
        },
      ],
    });
  });

  test("leaves out what is no model, and keeps the others", () => {
    const models = [
      ...[null, 7, "a", {}, { name: 5 }, { name: "" }, { name: "a b" }, { name: "../../etc" }, { name: "\u001b[2J" }],
      { name: "a:latest", size: "5", digest: 7, details: "none", remote_host: {} },
      { name: "a:latest", size: 9 },
      { name: "b:latest", size: -1, digest: `sha256:${DIGEST}` },
    ];
    const blank = {
      ...{ digest: null, bytes: null, parameters: null, quantization: null, remoteHost: null },
      told: NOTHING_TOLD,
    };
    expect(readTags({ models })).toEqual({
      ok: true,
      value: [
        { name: "a:latest", ...blank },
        { name: "b:latest", ...blank, digest: DIGEST },
      ],
    });
  });

  test("finds no list in anything else, nor in one that is too long", () => {
    const long = { models: Array.from({ length: 10_001 }, () => ({})) };
    for (const json of [null, [], "x", { models: {} }, long]) expect(readTags(json).ok).toBe(false);
  });

  test("takes null, as Ollama writes an empty list at times, and a missing one for none", () => {
    for (const json of [{ models: null }, {}]) expect(readTags(json)).toEqual({ ok: true, value: [] });
  });
});

describe("readLoaded()", () => {
  test("counts as RAM what is said to lie nowhere else", () => {
    const models = [
      { name: "a:latest", size: 10, size_vram: 4, expires_at: "2026-11-24T18:05:00Z", context_length: 4096 },
      { name: "b:latest", size: 10 },
      { name: "c:latest", size: 10, size_vram: 99, context_length: 0, expires_at: 7 },
      { name: "d:latest", size: "much" },
    ];
    const read = readLoaded({ models });
    expect(read.ok && read.value.map(({ name, bytes, vramBytes }) => [name, bytes, vramBytes])).toEqual([
      ["a:latest", 10, 4],
      ["b:latest", 10, 0],
      ["c:latest", 10, 10],
    ]);
    expect(read.ok && read.value[2]).toMatchObject({ contextSize: null, expiresAt: null });
  });
});

test("readVersion() takes only what a terminal can be shown", () => {
  expect(readVersion({ version: "0.33.0-rc1" })).toEqual({ ok: true, value: "0.33.0-rc1" });
  for (const json of [{}, { version: 1 }, { version: "" }, { version: "a b" }, { version: "\u001b" }, null]) {
    expect(readVersion(json).ok).toBe(false);
  }
});
