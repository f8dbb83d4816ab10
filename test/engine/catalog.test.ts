/** The catalog: what the config names comes first, folders after it, and a folder that fails hides nothing else. */
import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import type { Defect } from "../../src/core/loadable.ts";
import { NO_DEFAULTS } from "../../src/core/model-defaults.ts";
import type { NodeModel } from "../../src/core/ollama-api.ts";
import type { NodeSnapshot } from "../../src/core/snapshot.ts";
import type { StoredModel, StoreListing } from "../../src/core/stored-model.ts";
import { createCatalog } from "../../src/engine/catalog.ts";
import type { ModelFile, ModelPort } from "../../src/engine/ports.ts";
import { accepted } from "../core/config-support.ts";
import { createFakeClock } from "../fakes/clock.ts";
import { createRecordedLog } from "../fakes/log.ts";
import { nodeModel } from "../fakes/ollama-port.ts";

interface Folder {
  readonly models?: readonly ModelFile[];
  readonly incomplete?: string;
  readonly error?: Error;
}

const NO_STORE: StoreListing = { models: [], problems: [] };

interface More {
  readonly model?: string;
  readonly store?: StoreListing;
  /** By path. */
  readonly defects?: Readonly<Record<string, Defect>>;
  readonly nodes?: readonly NodeSnapshot[];
}

function setUp(
  models: Readonly<Record<string, unknown>>,
  folders: Readonly<Record<string, Folder>> = {},
  { model, store = NO_STORE, defects = {}, nodes = [] }: More = {},
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
    stored: async () => store,
    examine: async (paths) => paths.map((path) => defects[path] ?? null),
    projector: () => Promise.reject(new Error("unused")),
  };
  const config = accepted({ ...(model !== undefined && { model }), synaptic: { models } });
  const clock = createFakeClock();
  return { log, listed, clock, catalog: createCatalog({ models: port, log, clock }, config, () => nodes) };
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
    const { catalog } = setUp({ dirs: ["/m"] }, { "/m": { models: [file("a")] } }, { model: "/models/Pre.GGUF" });
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
  const { catalog } = setUp({ files: { a: "/named/a.gguf" } }, {}, { model: "/other/a.gguf" });
  expect((await catalog.find("a")).path).toBe("/named/a.gguf");
  expect(await catalog.find("/other/a.gguf")).toMatchObject({ id: "/other/a", path: "/other/a.gguf" });
});

describe("models of Ollama's stores", () => {
  const stored = (id: string, more: Partial<StoredModel> = {}): StoredModel => ({
    ...{ id, store: "/o", digest: "d".repeat(64), path: `/o/blobs/${id}`, bytes: 5, projector: null, adapters: [] },
    ...{ contextSize: null, args: [], defaults: NO_DEFAULTS, notes: [], defect: null },
    ...more,
  });
  const inStore = (...models: StoredModel[]) => ({ store: { models, problems: [] } });

  test("are found by each spelling that Ollama takes for the same name", async () => {
    const store = inStore(stored("Qwen3:latest"), stored("user/m:7b"), stored("hf.co/Org/R-GGUF:Q4_K_M"));
    const { catalog } = setUp({}, {}, store);
    const same = {
      "Qwen3:latest": ["qwen3", "QWEN3:LATEST", "library/qwen3", "registry.ollama.ai/library/Qwen3:latest"],
      "user/m:7b": ["user/m:7b", "User/M:7B", "registry.ollama.ai/user/m:7b"],
      "hf.co/Org/R-GGUF:Q4_K_M": ["hf.co/org/r-gguf:q4_k_m", "https://hf.co/Org/R-GGUF:Q4_K_M"],
    };
    for (const [id, names] of Object.entries(same)) {
      for (const name of [id, ...names]) expect((await catalog.find(name)).id).toBe(id);
    }
    for (const other of ["qwen3:8b", "user/m", "other/m:7b", "hf.co/Org/R-GGUF"]) {
      await expect(catalog.find(other)).rejects.toMatchObject({ code: "model_not_found" });
    }
  });

  test("come after files and folders of the same id, whose case counts", async () => {
    const { catalog } = setUp({ files: { llama3: "/named/llama3.gguf" } }, {}, inStore(stored("llama3:latest")));
    expect((await catalog.find("llama3")).path).toBe("/named/llama3.gguf");
    expect((await catalog.find("Llama3")).id).toBe("llama3:latest");
    expect((await catalog.list()).map(({ id }) => id)).toEqual(["llama3", "llama3:latest"]);
  });

  test("have the settings and aliases that the config gives under any spelling", async () => {
    const settings = { Llama3: { aliases: ["gpt-4o"], contextSize: 512 } };
    const { catalog, log } = setUp({ settings }, {}, inStore(stored("llama3:latest")));
    expect(await catalog.find("gpt-4o")).toMatchObject({ id: "llama3:latest", settingsId: "Llama3" });
    expect(log.lines()).toEqual([]);
  });

  test("are listed when damaged, but not as usable, and a request says why and what to do", async () => {
    const defect = { reason: "the download of its weights is not finished", hint: "`ollama pull m` goes on with it" };
    const { catalog } = setUp({}, {}, inStore(stored("m:latest", { defect }), stored("n:latest")));
    expect((await catalog.survey()).entries.map(({ id }) => id)).toEqual(["m:latest", "n:latest"]);
    expect((await catalog.list()).map(({ id }) => id)).toEqual(["n:latest"]);
    await expect(catalog.find("m")).rejects.toMatchObject({
      code: "model_unreadable",
      message: "Cannot load m:latest: the download of its weights is not finished",
      hint: "`ollama pull m` goes on with it",
      param: "model",
    });
  });

  test("come and go without a restart: a new one at once, a removed one within two seconds", async () => {
    const listing = { models: [stored("a:latest")], problems: [] };
    const { catalog, clock } = setUp({}, {}, { store: listing });
    expect((await catalog.find("a")).id).toBe("a:latest");
    listing.models = [stored("b:latest")];
    expect((await catalog.find("a")).id).toBe("a:latest");
    expect((await catalog.find("b")).id).toBe("b:latest");
    listing.models = [];
    await clock.advance(2_000);
    await expect(catalog.find("b")).rejects.toMatchObject({ code: "model_not_found" });
  });

  test("are repaired without a restart, since a damaged one is looked at again", async () => {
    const listing = { models: [stored("a:latest", { defect: { reason: "r", hint: "h" } })], problems: [] };
    const { catalog } = setUp({}, {}, { store: listing });
    await expect(catalog.find("a")).rejects.toMatchObject({ code: "model_unreadable" });
    listing.models = [stored("a:latest")];
    expect((await catalog.find("a")).id).toBe("a:latest");
  });

  test("that nobody can see are spoken of where a model is not found", async () => {
    const problem = { reason: "Cannot read the Ollama store /o", hint: "`sudo usermod -aG ollama $USER`" };
    const { catalog, log } = setUp({ files: { a: "/m/a.gguf" } }, {}, { store: { models: [], problems: [problem] } });
    await expect(catalog.find("b")).rejects.toMatchObject({
      hint: "known here: a; Cannot read the Ollama store /o: `sudo usermod -aG ollama $USER`",
    });
    await catalog.list();
    expect(log.lines()).toEqual(["warn Cannot read the Ollama store /o: `sudo usermod -aG ollama $USER`"]);
  });
});

test("settings for a model that is nowhere are warned of once, with the nearest name", async () => {
  const settings = { "llama:7c": { parallel: 1 }, b: { parallel: 2 } };
  const { catalog, log } = setUp(
    { files: { "llama:7b": "/a" }, settings, dirs: ["/m"] },
    { "/m": { models: [file("b")] } },
  );
  await catalog.list();
  await catalog.list();
  expect(log.lines()).toEqual([
    'warn synaptic.models.settings["llama:7c"] has no effect: there is no such model (did you mean llama:7b?)',
  ]);
});

describe("a damaged file", () => {
  const torn: Defect = { reason: "file is truncated", hint: "download or copy the model again" };
  const world = { defects: { "/m/torn.gguf": torn, "/named/bad.gguf": torn } };

  test("of a folder or of the config is listed, but not as usable", async () => {
    const { catalog } = setUp(
      { files: { bad: "/named/bad.gguf" }, dirs: ["/m"] },
      { "/m": { models: [file("torn"), file("a")] } },
      world,
    );
    expect((await catalog.list()).map(({ id }) => id)).toEqual(["a"]);
    const defects = (await catalog.survey()).entries.map(({ id, defect }) => [id, defect?.reason]);
    expect(defects).toEqual([
      ["a", undefined],
      ["bad", "file is truncated"],
      ["torn", "file is truncated"],
    ]);
    await expect(catalog.find("torn")).rejects.toMatchObject({
      code: "model_unreadable",
      message: "Cannot load torn: file is truncated",
      hint: "download or copy the model again",
    });
  });
});

describe("models that only Ollama nodes have", () => {
  const node = (url: string, machine: string, ...models: NodeModel[]): NodeSnapshot => ({
    ...{ url, machine, state: "up", since: "2026-11-24T18:00:00.000Z", reason: "", version: "0.33.0", rttMs: 1 },
    ...{ models, loaded: [], inFlight: 0 },
  });
  const store: StoreListing = {
    models: [
      {
        ...{ id: "here:latest", store: "/o", digest: null, path: "/o/here", bytes: 5, projector: null, adapters: [] },
        ...{ contextSize: null, args: [], defaults: NO_DEFAULTS, notes: [], defect: null },
      },
    ],
    problems: [],
  };
  const nodes = [
    node("http://10.0.0.5:11434", "10.0.0.5", nodeModel("Here:latest"), nodeModel("Far:70b", { bytes: 9 })),
    node("http://10.0.0.6:11434", "10.0.0.6", nodeModel("far:70B"), nodeModel("c:cloud", { remoteHost: "ollama.com" })),
    node("http://127.0.0.1:11434", "127.0.0.1", nodeModel("hidden:1b")),
  ];

  test("are told apart from those here by Ollama's own rule of names, each once, with its nodes and the remedy", async () => {
    const { catalog } = setUp({}, {}, { store, nodes });
    const { entries, elsewhere } = await catalog.survey();
    expect(entries.map(({ id }) => id)).toEqual(["here:latest"]);
    expect(elsewhere.map(({ id, bytes, urls }) => [id, bytes, urls.length])).toEqual([
      ["Far:70b", 9, 2],
      ["c:cloud", 5, 1],
      ["hidden:1b", 5, 1],
    ]);
    expect((await catalog.list()).map(({ id }) => id)).toEqual(["here:latest"]);
  });

  const hints: [name: string, hint: string][] = [
    [
      "FAR:70b",
      "Far:70b is on http://10.0.0.5:11434 and 1 more, not here: `ollama pull Far:70b` on the head node, or copy its store",
    ],
    [
      "c:cloud",
      "c:cloud is on http://10.0.0.6:11434 only: a cloud model of ollama.com, without weights: ask Ollama for it",
    ],
    [
      "hidden:1b",
      "hidden:1b is on http://127.0.0.1:11434 only: Ollama on this machine keeps it where synaptic does not look: name that folder as synaptic.ollama.modelsDir",
    ],
  ];
  test.each(hints)("a request for %s says where it is and what to do", async (name, hint) => {
    const { catalog } = setUp({}, {}, { store, nodes });
    await expect(catalog.find(name)).rejects.toMatchObject({
      code: "model_not_found",
      message: `The model '${name}' does not exist`,
      hint,
    });
  });
});

test("sampling defaults of the settings come before those of Ollama's params", async () => {
  const stored: StoredModel = {
    ...{ id: "m:latest", store: "/o", digest: null, path: "/o/m", bytes: 5, projector: null, adapters: [] },
    ...{ contextSize: null, args: ["--temp", "0.7", "--top-k", "3"], defaults: NO_DEFAULTS, notes: [], defect: null },
  };
  const settings = { m: { sampling: { temperature: 0, seed: 1 } }, f: { sampling: { min_p: 0.5 } } };
  const { catalog } = setUp({ settings, files: { f: "/f" } }, {}, { store: { models: [stored], problems: [] } });
  expect((await catalog.find("m")).args).toEqual(["--top-k", "3", "--temp", "0", "--seed", "1"]);
  expect((await catalog.find("f")).args).toEqual(["--min-p", "0.5"]);
});
