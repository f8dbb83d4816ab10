/** Which model a word on the command line means. */
import { describe, expect, test } from "bun:test";
import { inspect } from "node:util";
import { createClient } from "../../src/cli/client.ts";
import { idForServer, resolveModel } from "../../src/cli/model.ts";
import { accepted } from "../core/config-support.ts";

const host = { absolute: (path: string) => (path.startsWith("/") ? path : `/here/${path.replace(/^\.\//, "")}`) };
const files = { m: "/models/m.gguf", "odd.gguf": "/models/odd.gguf" };
const config = accepted({ synaptic: { models: { files } } }, { env: { SYNAPTIC_API_KEY: "s3cret" } });

describe("resolveModel()", () => {
  test("leaves an id as it is, also one that looks like a file", () => {
    expect(resolveModel(host, config, "m")).toEqual({ config, model: "m" });
    expect(resolveModel(host, config, "odd.gguf")).toEqual({ config, model: "odd.gguf" });
    expect(resolveModel(host, config, "llama3.1:70b").model).toBe("llama3.1:70b");
  });

  test("adds a file under its name, absolute, and before a model of the config that has the same name", () => {
    expect(resolveModel(host, config, "x.gguf").config.models.files).toEqual({ ...files, x: "/here/x.gguf" });
    const own = resolveModel(host, config, "./m.gguf");
    expect(own.model).toBe("m");
    expect(own.config.models.files.m).toBe("/here/m.gguf");
    expect(config.models.files.m).toBe("/models/m.gguf");
  });

  test("takes a path without an ending for a file too", () => {
    const { config: changed, model } = resolveModel(host, config, "/blobs/sha256-ab");
    expect(changed.models.files[model]).toBe("/blobs/sha256-ab");
  });

  test("keeps every other value, frozen, and the API key readable but hidden from JSON and logs", () => {
    const { config: changed } = resolveModel(host, config, "x.gguf");
    expect({ ...changed, models: null }).toEqual({ ...config, models: null } as never);
    expect(Object.isFrozen(changed)).toBe(true);
    expect(changed.apiKey).toBe("s3cret");
    expect(JSON.stringify(changed) + inspect(changed) + Bun.inspect(changed)).not.toContain("s3cret");
  });
});

describe("idForServer()", () => {
  const client = createClient({ request: () => Promise.reject(new Error("not asked")) }, "http://127.0.0.1:1", null);

  test("finds the id of a file that the config names", () => {
    expect(idForServer(host, config, "/models/m.gguf", client)).toBe("m");
    expect(idForServer(host, config, "m", client)).toBe("m");
  });

  test("refuses a file that the server cannot know", () => {
    expect(() => idForServer(host, config, "/elsewhere/m.gguf", client)).toThrow("does not know it");
  });
});
