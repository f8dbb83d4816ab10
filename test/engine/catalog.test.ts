/** The catalog: what the config names comes first, folders after it, and a folder that fails hides nothing else. */
import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { createCatalog } from "../../src/engine/catalog.ts";
import type { ModelFile, ModelPort } from "../../src/engine/ports.ts";
import { accepted } from "../core/config-support.ts";
import { createRecordedLog } from "../fakes/log.ts";

interface Folder {
  readonly models?: readonly ModelFile[];
  readonly incomplete?: string;
  readonly error?: Error;
}

function setUp(
  models: Readonly<Record<string, unknown>>,
  folders: Readonly<Record<string, Folder>> = {},
  model?: string,
) {
  const log = createRecordedLog();
  const listed: string[] = [];
  const port: ModelPort = {
    read: () => Promise.reject(new Error("unused")),
    async list(folder) {
      listed.push(folder);
      const { models: found = [], incomplete = null, error } = folders[folder] ?? {};
      if (error) throw error;
      return { models: found, incomplete };
    },
  };
  const config = accepted({ ...(model !== undefined && { model }), synaptic: { models } });
  return { log, listed, catalog: createCatalog({ models: port, log }, config) };
}

const file = (id: string, folder = "/m"): ModelFile => ({ id, path: `${folder}/${id}.gguf` });

describe("list()", () => {
  test("has files, then folders in their order; the first to claim an id keeps it", async () => {
    const { catalog } = setUp(
      { files: { b: "/named/b.gguf" }, dirs: ["/m", "/n"] },
      { "/m": { models: [file("b"), file("c")] }, "/n": { models: [file("c", "/n"), file("a", "/n")] } },
    );
    expect((await catalog.list()).map(({ id, path }) => [id, path])).toEqual([
      ["a", "/n/a.gguf"],
      ["b", "/named/b.gguf"],
      ["c", "/m/c.gguf"],
    ]);
  });

  test("warns once of a folder that cannot be read, or not wholly, and has all else", async () => {
    const { catalog, log } = setUp(
      { dirs: ["/gone", "/half", "/m"] },
      {
        "/gone": { error: new SynapticError("model_unreadable", "Cannot read /gone: no such folder") },
        "/half": { models: [file("h", "/half")], incomplete: "more than 10000 files" },
        "/m": { models: [file("a")] },
      },
    );
    for (let i = 0; i < 3; i++) expect((await catalog.list()).map(({ id }) => id)).toEqual(["a", "h"]);
    expect(log.lines().toSorted()).toEqual([
      "warn Cannot read /gone: no such folder",
      "warn Not all models below /half are listed: more than 10000 files",
    ]);
  });
});

describe("find()", () => {
  test("finds by id, then by alias", async () => {
    const models = {
      files: { a: "/m/a.gguf", b: "/m/b.gguf" },
      settings: { a: { aliases: ["gpt-4o", "first"] } },
    };
    const { catalog } = setUp(models);
    expect((await catalog.find("gpt-4o")).id).toBe("a");
    expect((await catalog.find("b")).path).toBe("/m/b.gguf");
  });

  test("reads no folder for a model that the config names", async () => {
    const { catalog, listed } = setUp({ files: { a: "/m/a.gguf" }, dirs: ["/slow"] });
    await catalog.find("a");
    expect(listed).toEqual([]);
  });

  test("sees a file that has come into a folder since", async () => {
    const folder: { models: ModelFile[] } = { models: [] };
    const { catalog } = setUp({ dirs: ["/m"] }, { "/m": folder });
    await expect(catalog.find("new")).rejects.toMatchObject({ code: "model_not_found" });
    folder.models.push(file("new"));
    expect((await catalog.find("new")).path).toBe("/m/new.gguf");
  });

  test("takes the preload's path as the preload gives it, and its name; a request may name no other path", async () => {
    const { catalog } = setUp({ dirs: ["/m"] }, { "/m": { models: [file("a")] } }, "/models/Pre.GGUF");
    expect(await catalog.find("/models/Pre.GGUF")).toMatchObject({ id: "Pre", path: "/models/Pre.GGUF" });
    expect((await catalog.find("Pre")).path).toBe("/models/Pre.GGUF");
    await expect(catalog.find("/m/a.gguf")).rejects.toMatchObject({ code: "model_not_found" });
  });

  test("says what it knows, in words that clients look for", async () => {
    const { catalog } = setUp({ files: { a: "/m/a.gguf", b: "/m/b.gguf" } });
    await expect(catalog.find("c")).rejects.toMatchObject({
      message: "The model 'c' does not exist",
      param: "model",
      hint: "known here: a, b",
    });
    await expect(setUp({}).catalog.find("c")).rejects.toMatchObject({
      hint: expect.stringContaining("synaptic.models.files"),
    });
  });
});

test("a preload whose file name is taken by another file goes by its whole path", async () => {
  const { catalog } = setUp({ files: { a: "/named/a.gguf" } }, {}, "/other/a.gguf");
  expect((await catalog.find("a")).path).toBe("/named/a.gguf");
  expect(await catalog.find("/other/a.gguf")).toMatchObject({ id: "/other/a", path: "/other/a.gguf" });
});
