/** Ollama's stores on disk: every shape of name and layer resolves, every kind of damage is explained. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFile,
  chmod,
  chown,
  mkdir,
  mkdtemp,
  rename,
  rm,
  symlink,
  truncate,
  unlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { meta } from "../../src/core/gguf-encode.ts";
import type { StoredModel, StoreListing } from "../../src/core/stored-model.ts";
import { createModelReader } from "../../src/io/model-reader.ts";
import { createStoreLister } from "../../src/io/ollama-store.ts";
import { asOrdinaryUser } from "../fakes/ordinary-user.ts";
import { adapter, type LayerContent, openStore, projector, type Store, weights } from "../fixtures/ollama-store.ts";

const { signal } = new AbortController();
let folder = "";
let root = "";
let store: Store;
let counter = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "synaptic-ollama-"));
  await chmod(folder, 0o755);
});
beforeEach(async () => {
  root = join(folder, String(++counter));
  store = await openStore(root);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function lister(platform: NodeJS.Platform = "linux") {
  const machine = { platform, home: join(root, "home"), root };
  return createStoreLister({ machine, reader: createModelReader() });
}

const list = (modelsDir: string | null = root): Promise<StoreListing> => lister()(modelsDir, { signal });

/** The only model there is. */
async function only(): Promise<StoredModel> {
  const { models } = await list();
  const [model] = models;
  if (!model || models.length > 1) throw new Error(`Listed: ${models.map(({ id }) => id).join(", ") || "nothing"}`);
  return model;
}

const text = (kind: string, content: string): LayerContent => ({ kind, content });
const params = (value: object): LayerContent => text("params", JSON.stringify(value));
const LIBRARY = "registry.ollama.ai/library";

const SHAPES: readonly (readonly [path: string, id: string, layers: readonly LayerContent[]])[] = [
  [`${LIBRARY}/llama3.2/latest`, "llama3.2:latest", [weights(), text("license", "MIT"), text("template", "{{ . }}")]],
  [`${LIBRARY}/llama3.1/8b-instruct-q4_K_M`, "llama3.1:8b-instruct-q4_K_M", [weights()]],
  ["registry.ollama.ai/someone/tuned/v2", "someone/tuned:v2", [weights()]],
  ["hf.co/bartowski/X-GGUF/Q4_K_M", "hf.co/bartowski/X-GGUF:Q4_K_M", [weights()]],
  ["registry.lan:5000/team/m/latest", "registry.lan:5000/team/m:latest", [weights()]],
  [`${LIBRARY}/MyModel/LATEST`, "MyModel:LATEST", [weights()]],
  [`${LIBRARY}/eyes/latest`, "eyes:latest", [weights(), projector()]],
  [`${LIBRARY}/tuned/latest`, "tuned:latest", [weights(), adapter()]],
  [`${LIBRARY}/chatty/latest`, "chatty:latest", [weights(), params({ num_ctx: 4096, temperature: 0.5 })]],
  [`${LIBRARY}/polite/latest`, "polite:latest", [weights(), text("system", "Be kind."), text("messages", "[]")]],
  [`${LIBRARY}/fast/latest`, "fast:latest", [weights(), { ...weights("small"), kind: "draft" }]],
  [`${LIBRARY}/old/latest`, "old:latest", [weights(), text("prompt", "{{ .Prompt }}"), text("embed", "x")]],
  [`${LIBRARY}/all/latest`, "all:latest", [weights(), projector(), adapter(), params({}), text("system", "s")]],
];

describe("shapes", () => {
  test.each(SHAPES)("%s is %s", async (path, id, layers) => {
    const { blobs, manifest } = await store.put(path, layers);
    const model = await only();
    expect(model).toMatchObject({ id, store: root, path: blobs[0] ?? "", defect: null });
    const { size } = Bun.file(blobs[0] ?? "");
    expect(model.bytes).toBeGreaterThan(size);
    const hash = new Bun.CryptoHasher("sha256").update(await Bun.file(manifest).bytes()).digest("hex");
    expect(model.digest).toBe(hash);
  });

  test("all of them stand side by side, each once", async () => {
    for (const [path, , layers] of SHAPES) await store.put(path, layers);
    const { models, problems } = await list();
    expect(models.map(({ id }) => id)).toEqual(SHAPES.map(([, id]) => id).toSorted());
    expect(problems).toEqual([]);
  });

  test("projector, adapters, context and sampling are handed over; the rest is noted", async () => {
    const layers = [
      weights(),
      projector(),
      adapter(),
      params({ num_ctx: 2048, top_k: 7, stop: ["x"] }),
      text("system", "s"),
    ];
    const { blobs } = await store.put(`${LIBRARY}/m/latest`, layers);
    const size = (index: number) => Bun.file(blobs[index] ?? "").size;
    const { projector: eyes, adapters, contextSize, args, defaults, notes } = await only();
    expect(eyes).toEqual({ path: blobs[1] ?? "", bytes: size(1) });
    expect(adapters).toEqual([{ path: blobs[2] ?? "", bytes: size(2) }]);
    expect([contextSize, args]).toEqual([2048, ["--top-k", "7"]]);
    expect([defaults, notes]).toEqual([{ system: "s", stop: ["x"] }, []]);
  });

  test("a projector of the first generation is left out, and the model serves without images", async () => {
    await store.put(`${LIBRARY}/llava/latest`, [weights(), projector(null)]);
    const { projector: eyes, defect, notes } = await only();
    expect([eyes, defect]).toEqual([null, null]);
    expect(notes.join()).toContain("images are not understood: its projector does not say of which kind it is");
  });

  test("blobs of before Ollama 0.1.32 have a colon in their names", async () => {
    const { blobs } = await store.put(`${LIBRARY}/m/latest`, [weights()]);
    const old = (blobs[0] ?? "").replace("sha256-", "sha256:");
    await rename(blobs[0] ?? "", old);
    expect(await only()).toMatchObject({ path: old, defect: null });
  });

  test("links to manifests and blobs are followed, and one that leads nowhere is none", async () => {
    const { manifest, blobs } = await store.put(`${LIBRARY}/m/latest`, [weights()]);
    for (const [index, path] of [manifest, ...blobs].entries()) {
      await rename(path, join(root, `moved-${index}`));
      await symlink(join(root, `moved-${index}`), path);
    }
    expect(await only()).toMatchObject({ id: "m:latest", defect: null });
    await unlink(join(root, "moved-0"));
    expect(await list()).toEqual({ models: [], problems: [] });
  });

  test("what lies at another depth, and hidden files, are no models", async () => {
    await store.put(`${LIBRARY}/m/latest`, [weights()]);
    for (const path of [
      "README",
      "registry.ollama.ai/x",
      `${LIBRARY}/m2`,
      `${LIBRARY}/m/d/deeper`,
      `${LIBRARY}/m/.DS_Store`,
    ]) {
      await store.putManifest(path, "{}");
    }
    expect((await only()).id).toBe("m:latest");
  });
});

interface DamageCase {
  readonly what: string;
  readonly layers?: readonly LayerContent[];
  readonly config?: object;
  readonly harm?: (written: { readonly manifest: string; readonly blob: string }) => Promise<unknown>;
  readonly reason: RegExp;
  readonly hint: RegExp;
}

const AGAIN = /^`ollama pull m:latest` gets it again$/;

const DAMAGES: readonly DamageCase[] = [
  {
    what: "a blob that is missing",
    harm: ({ blob }) => unlink(blob),
    reason: /^the blob of its weights is missing: /,
    hint: AGAIN,
  },
  {
    what: "a download that is not finished",
    harm: ({ blob }) => rename(blob, `${blob}-partial`),
    reason: /^the download of its weights is not finished$/,
    hint: /^`ollama pull m:latest` goes on with it$/,
  },
  {
    what: "a blob that was cut",
    harm: ({ blob }) => truncate(blob, 100),
    reason: /^the blob of its weights has 100 B, its manifest says .* KiB/,
    hint: /^`ollama rm m:latest`, then `ollama pull m:latest` gets it again$/,
  },
  {
    what: "a blob with more in it than it should have",
    harm: ({ blob }) => appendFile(blob, "more"),
    reason: /^the blob of its weights has .* KiB, its manifest says .* KiB/,
    hint: /^`ollama rm m:latest`/,
  },
  {
    what: "weights that are no GGUF",
    layers: [text("model", "not a model at all")],
    reason: /^magic is "not ", expected "GGUF"|^magic is /,
    hint: /GGUF/,
  },
  {
    what: "weights cut before they were stored",
    layers: [{ kind: "model", content: (weights().content as Uint8Array).subarray(0, 1_000) }],
    reason: /^file is truncated/,
    hint: /download or copy the model again/,
  },
  {
    what: "a part of a split file",
    layers: [weights("part", { keys: { "split.no": meta.u16(0), "split.count": meta.u16(3) } })],
    reason: /^file is part 1 of 3/,
    hint: /llama-gguf-split --merge/,
  },
  {
    what: "a model that Ollama's engine alone can load",
    layers: [weights("oss", { architecture: "gptoss" })],
    reason: /^only Ollama's own engine can load this file: its architecture is called gptoss/,
    hint: /ollama pull hf\.co/,
  },
  {
    what: "a model of sounds",
    layers: [weights("sound", { architecture: "wavtokenizer-dec" })],
    reason: /an encoder or audio model \(wavtokenizer-dec\)/,
    hint: /language model/,
  },
  {
    what: "a manifest that is no JSON",
    harm: ({ manifest }) => writeFile(manifest, '{"layers": ['),
    reason: /^its manifest is no JSON$/,
    hint: AGAIN,
  },
  {
    what: "an empty manifest",
    harm: ({ manifest }) => writeFile(manifest, ""),
    reason: /^its manifest is empty$/,
    hint: AGAIN,
  },
  {
    what: "a manifest with a wrong digest",
    harm: ({ manifest }) => writeFile(manifest, '{"layers":[{"mediaType":"a","digest":"../x","size":1}]}'),
    reason: /^its manifest is damaged at layers\.0\.digest/,
    hint: AGAIN,
  },
  {
    what: "a manifest of absurd size",
    harm: ({ manifest }) => truncate(manifest, 17 * 1024 ** 2),
    reason: /^its manifest is larger than 16 MiB$/,
    hint: AGAIN,
  },
  { what: "a manifest without a model", layers: [text("license", "MIT")], reason: /names no model layer/, hint: AGAIN },
  { what: "two model layers", layers: [weights("a"), weights("b")], reason: /names 2 model layers/, hint: /merge/ },
  {
    what: "a safetensors model",
    layers: [{ kind: "tensor", content: "t", name: "model.norm.weight" }],
    config: { model_format: "safetensors" },
    reason: /safetensors/,
    hint: /ollama pull hf\.co/,
  },
  {
    what: "a model that runs elsewhere",
    layers: [],
    config: { remote_host: "https://ollama.com:443", remote_model: "m" },
    reason: /^it runs on https:\/\/ollama\.com:443/,
    hint: /pull a model that runs locally/,
  },
  {
    what: "a folder in a blob's place",
    harm: async ({ blob }) => [await unlink(blob), await mkdir(blob)],
    reason: /^the blob of its weights is no file/,
    hint: AGAIN,
  },
];

describe("damage", () => {
  test.each(DAMAGES)("$what is listed with its reason and with what to do, beside a sound model", async (damage) => {
    const { layers = [weights()], config, harm, reason, hint } = damage;
    await store.put(`${LIBRARY}/sound/latest`, [weights("sound")]);
    const { manifest, blobs } = await store.put(`${LIBRARY}/m/latest`, layers, ...(config ? [config] : []));
    await harm?.({ manifest, blob: blobs[0] ?? "" });
    const { models, problems } = await list();
    expect(problems).toEqual([]);
    expect(models.map(({ id, defect }) => [id, defect === null])).toEqual([
      ["m:latest", false],
      ["sound:latest", true],
    ]);
    expect(models[0]?.defect?.reason).toMatch(reason);
    expect(models[0]?.defect?.hint).toMatch(hint);
  });

  test.each(["projector", "adapter"])("a %s that is missing is named", async (kind) => {
    const layer = kind === "projector" ? projector() : adapter();
    await store.put(`${LIBRARY}/m/latest`, [weights(), layer]);
    await unlink(store.blobPath(layer.content));
    expect((await only()).defect?.reason).toStartWith(`the blob of its ${kind} is missing`);
  });

  test("params and a config that are damaged or missing keep no model from being used", async () => {
    const layers = [weights(), text("params", "{"), text("template", "t")];
    await store.put(`${LIBRARY}/m/latest`, layers, {});
    let model = await only();
    expect([model.defect, model.notes.join()]).toEqual([null, expect.stringContaining("params layer is no JSON")]);
    await unlink(store.blobPath("{"));
    await unlink(store.blobPath(JSON.stringify({})));
    model = await only();
    expect([model.defect, model.notes.join()]).toEqual([null, expect.stringContaining("params layer is missing")]);
  });

  test("a template of Ollama's own is noted, and so is a file that has none of its kind", async () => {
    const template = { keys: { "tokenizer.chat_template": meta.string("{{ messages }}") } };
    await store.put(`${LIBRARY}/m/latest`, [weights(), text("template", "t")]);
    expect((await only()).notes.join()).toContain("ChatML");
    await store.put(`${LIBRARY}/m/latest`, [weights("own", template), text("template", "t")]);
    expect((await only()).notes).toEqual([expect.stringContaining("not Ollama's own template")]);
    await store.put(`${LIBRARY}/m/latest`, [weights()]);
    expect((await only()).notes).toEqual([]);
  });

  test("a path that is no name is listed by its path", async () => {
    await store.putManifest("registry.ollama.ai/library/m/a tag", "{}");
    const { id, defect } = await only();
    expect(id).toBe("registry.ollama.ai/library/m/a tag");
    expect(defect?.reason).toStartWith("its path is no name of a model");
  });

  test("a store whose path has a comma cannot give adapters to llama-server", async () => {
    root = join(root, "a,b");
    store = await openStore(root);
    await store.put(`${LIBRARY}/m/latest`, [weights(), adapter()]);
    expect((await only()).defect?.reason).toContain("has a comma");
  });
});

describe("permissions", () => {
  const listAsOther = () => asOrdinaryUser(() => list());

  test("a home that its owner alone may enter: which folder, and how to open it", async () => {
    root = join(root, "usr/share/ollama/.ollama/models");
    await openStore(root);
    const home = join(root, "../..");
    await chmod(home, 0o000);
    const { models, problems } = await listAsOther();
    expect(models).toEqual([]);
    expect(problems).toHaveLength(1);
    expect(problems[0]?.reason).toBe(`Cannot read the Ollama store ${root}: this user may not read ${home}`);
    expect(problems[0]?.hint).toMatch(
      /its group may not either: `sudo chmod g\+rx .*` and `sudo usermod -aG ollama \$USER`/,
    );
    await chmod(home, 0o755);
  });

  test("a home that its group may enter: join the group", async () => {
    root = join(root, "var/lib/ollama");
    await openStore(root);
    // Of a group that this test is not in, and closed to its owner, who it is unless it runs as root.
    if (process.getuid?.() === 0) await chown(root, 0, 54_321);
    await chmod(root, 0o050);
    expect((await listAsOther()).problems[0]?.hint).toBe("`sudo usermod -aG ollama $USER`, then log in again");
    await chmod(root, 0o755);
  });

  test("a folder among the manifests hides its own models only", async () => {
    await store.put(`${LIBRARY}/m/latest`, [weights()]);
    await store.put("hf.co/org/r/Q4", [weights()]);
    for (const mode of [0o000, 0o444]) {
      await chmod(join(root, "manifests/hf.co"), mode);
      const { models, problems } = await listAsOther();
      expect(models.map(({ id }) => id)).toEqual(["m:latest"]);
      expect(problems.map(({ reason }) => reason).join()).toContain(
        `this user may not read ${join(root, "manifests/hf.co")}`,
      );
    }
    await chmod(join(root, "manifests/hf.co"), 0o755);
  });

  test("a manifest, a blob and the folder of blobs: the model says which", async () => {
    const { manifest, blobs } = await store.put(`${LIBRARY}/m/latest`, [weights()]);
    for (const path of [manifest, blobs[0] ?? "", join(root, "blobs")]) {
      await chmod(path, 0o000);
      const { models } = await listAsOther();
      expect(models[0]?.defect?.reason).toBe(`this user may not read ${path}`);
      expect(models[0]?.defect?.hint).toContain("sudo usermod -aG ollama $USER");
      await chmod(path, 0o755);
    }
    expect((await listAsOther()).models[0]?.defect).toBeNull();
  });
});

describe("places", () => {
  const idsIn = async (place: string, platform: NodeJS.Platform = "linux") => {
    const other = await openStore(join(root, place));
    await other.put(`${LIBRARY}/m/latest`, [weights()]);
    return (await lister(platform)(null, { signal })).models.map(({ id }) => id);
  };

  test.each([
    "home/.ollama/models",
    "usr/share/ollama/.ollama/models",
    "var/lib/ollama/.ollama/models",
    "var/lib/ollama",
    "var/snap/ollama/common/models",
  ])("finds %s on Linux", async (place) => {
    expect(await idsIn(place)).toEqual(["m:latest"]);
  });

  test("looks into the home alone on macOS and Windows", async () => {
    expect(await idsIn("usr/share/ollama/.ollama/models", "darwin")).toEqual([]);
    expect(await idsIn("home/.ollama/models", "darwin")).toEqual(["m:latest"]);
    expect(await idsIn("home/.ollama/models", "win32")).toEqual(["m:latest"]);
  });

  test("finds the store that a systemd drop-in names", async () => {
    const dropIn = join(root, "etc/systemd/system/ollama.service.d/override.conf");
    await mkdir(join(dropIn, ".."), { recursive: true });
    await writeFile(
      dropIn,
      `[Service]\nEnvironment="OLLAMA_HOST=0.0.0.0" "OLLAMA_MODELS=${join(root, "data/ollama")}"\n`,
    );
    expect(await idsIn("data/ollama")).toEqual(["m:latest"]);
  });

  test("joins several stores; a name belongs to the first, and a store is read once however many links lead to it", async () => {
    const [own, system] = [join(root, "home/.ollama/models"), join(root, "usr/share/ollama/.ollama/models")];
    const [first, second] = [await openStore(own), await openStore(system)];
    await first.put(`${LIBRARY}/both/latest`, [weights()]);
    await second.put(`${LIBRARY}/both/latest`, [weights()]);
    await second.put(`${LIBRARY}/theirs/latest`, [weights()]);
    await mkdir(join(root, "var/lib/ollama/.ollama"), { recursive: true });
    await symlink(system, join(root, "var/lib/ollama/.ollama/models"));
    const { models, problems } = await list(null);
    expect(models.map(({ id, store: where }) => [id, where])).toEqual([
      ["both:latest", own],
      ["theirs:latest", system],
    ]);
    expect(problems).toEqual([]);
  });

  test("has nothing to say where there is no Ollama, but of a store that was named", async () => {
    expect(await list(null)).toEqual({ models: [], problems: [] });
    const { problems } = await list(join(root, "nowhere"));
    expect(problems[0]?.reason).toBe(
      `Cannot read the Ollama store ${join(root, "nowhere")}: it has no folder manifests`,
    );
    expect(problems[0]?.hint).toContain("OLLAMA_MODELS");
  });
});

describe("again", () => {
  test("sees what was pulled, finished, damaged and removed since", async () => {
    const again = lister();
    const states = async () =>
      (await again(root, { signal })).models.map(({ id, defect }) => `${id} ${defect === null ? "sound" : "damaged"}`);
    expect(await states()).toEqual([]);
    const { manifest, blobs } = await store.put(`${LIBRARY}/m/latest`, [weights()]);
    const [blob = ""] = blobs;
    expect(await states()).toEqual(["m:latest sound"]);
    await rename(blob, `${blob}-partial`);
    expect(await states()).toEqual(["m:latest damaged"]);
    await rename(`${blob}-partial`, blob);
    expect(await states()).toEqual(["m:latest sound"]);
    await unlink(manifest);
    expect(await states()).toEqual([]);
  });

  test("reads each header once, and does not wait for one that takes too long", async () => {
    await store.put(`${LIBRARY}/m/latest`, [weights()]);
    const release = Promise.withResolvers<never>();
    let asked = 0;
    const reader = {
      glance: (_: string, timeUp: Promise<null>) => {
        asked++;
        return Promise.race([release.promise, timeUp]);
      },
    };
    const machine = { platform: "linux", home: root, root } as const;
    const impatient = createStoreLister({ machine, reader, patienceMs: 1 });
    expect((await impatient(root, { signal })).models[0]?.defect).toBeNull();
    expect(asked).toBe(1);
  });
});
