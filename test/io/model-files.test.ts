/** readModel() and listModelFiles() on real files. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SynapticError } from "../../src/core/errors.ts";
import { encodeHeader, meta } from "../../src/core/gguf-encode.ts";
import { listModelFiles, readModel } from "../../src/io/model-files.ts";
import { asOrdinaryUser } from "../fakes/ordinary-user.ts";
import { bytesOf, rawFile, tinyModel, zeros } from "../fixtures/gguf-model.ts";

const { signal } = new AbortController();
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "synaptic-models-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function put(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name);
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, bytes);
  return path;
}

async function failure(path: string): Promise<SynapticError> {
  try {
    await readModel(path, { signal });
  } catch (thrown) {
    if (thrown instanceof SynapticError) return thrown;
    throw thrown;
  }
  throw new Error("readModel() did not fail");
}

/** A split model's parts: the first with the metadata, each with its tensors. */
async function putSplit(base: string, count = 3): Promise<string[]> {
  const model = tinyModel({ layers: 4 });
  const each = Math.ceil(model.tensors.length / count);
  return Promise.all(
    Array.from({ length: count }, (_, i) => {
      const keys = { no: meta.u16(i), count: meta.u16(count), "tensors.count": meta.i32(model.tensors.length) };
      const own = Object.entries(keys).map(([key, value]) => [`split.${key}`, value] as const);
      const metadata = i === 0 ? [...model.metadata, ...own] : own;
      const number = (n: number) => String(n).padStart(5, "0");
      const tensors = model.tensors.slice(i * each, (i + 1) * each);
      return put(`${base}-${number(i + 1)}-of-${number(count)}.gguf`, bytesOf({ metadata, tensors }));
    }),
  );
}

describe("readModel()", () => {
  test("reads header and facts of one file", async () => {
    const bytes = bytesOf(tinyModel());
    const path = await put("tiny.gguf", bytes);
    const model = await readModel(path, { signal });
    expect(model).toMatchObject({ path, files: [path], facts: { architecture: "llama", fileBytes: bytes.length } });
    expect(model.facts.layers).toHaveLength(2);
  });

  test("reads a header of many megabytes", async () => {
    const words = Array.from({ length: 200_000 }, (_, i) => `a rather long word that stands for token ${i}`);
    const file = tinyModel({ keys: { "tokenizer.ggml.tokens": meta.strings(words) } });
    expect(encodeHeader(file).length).toBeGreaterThan(8 * 1024 ** 2);
    const path = await put("large-header.gguf", bytesOf(file));
    expect((await readModel(path, { signal })).facts.vocabularySize).toBe(200_000);
  });

  test("finds all parts of a split model from any of them, and starts with the first", async () => {
    const files = await putSplit("split/m");
    for (const file of files) {
      const model = await readModel(file, { signal });
      expect(model.path).toBe(files[0] ?? "");
      expect(model.files).toEqual(files);
      expect(model.facts.layers).toHaveLength(4);
    }
    const whole = await readModel(await put("whole.gguf", bytesOf(tinyModel({ layers: 4 }))), { signal });
    const split = await readModel(files[1] ?? "", { signal });
    expect(split.facts.layers).toEqual(whole.facts.layers);
    expect(split.facts.fileBytes).toBeGreaterThan(whole.facts.fileBytes);
  });

  test("names the parts that are missing", async () => {
    const files = await putSplit("gap/m");
    await rm(files[1] ?? "");
    const error = await failure(files[2] ?? "");
    expect(error.code).toBe("model_unreadable");
    expect(error.message).toEndWith("1 of 3 parts missing: m-00002-of-00003.gguf");
    expect(error.hint).toBe(`put all parts into ${join(folder, "gap")}`);
  });

  test("refuses a part that is damaged, and names it", async () => {
    const files = await putSplit("cut/m");
    await writeFile(files[2] ?? "", new Uint8Array(100));
    expect((await failure(files[0] ?? "")).message).toContain(`${files[2]}: magic is 0x00000000`);
  });

  test("refuses a renamed part", async () => {
    const [, second] = await putSplit("renamed/m");
    const path = join(folder, "renamed/other.gguf");
    await writeFile(path, await Bun.file(second ?? "").bytes());
    expect((await failure(path)).message).toContain(
      "file is part 2 of 3, expected a name such as NAME-00002-of-00003.gguf",
    );
  });

  test("says in one message what is wrong, and what to do", async () => {
    const path = join(folder, "absent.gguf");
    const error = await failure(path);
    expect(error.message).toBe(`Cannot read model ${path}: it does not exist`);
    expect(error.hint).toBe("check the path");
    expect((await failure(folder)).message).toEndWith("it is a directory");
    expect((await failure(await put("empty.gguf", new Uint8Array(0)))).message).toEndWith("file is empty");
    expect((await failure(await put("x.gguf", rawFile({ magic: "ABCD" })))).message).toEndWith(
      'magic is "ABCD", expected "GGUF"',
    );
    expect((await failure(join(await put("file", new Uint8Array(1)), "x.gguf"))).message).toContain("is no directory");
    expect((await failure("nul\0byte.gguf")).code).toBe("model_unreadable");
  });

  test("refuses what is no regular file without waiting for it", async () => {
    const pipe = join(folder, "pipe.gguf");
    expect(await Bun.spawn(["mkfifo", pipe]).exited).toBe(0);
    expect((await failure(pipe)).message).toEndWith("it is no regular file");
    expect((await failure("/dev/zero")).message).toEndWith("it is no regular file");
  });

  test("follows links, and names a circle of them", async () => {
    const target = await put("linked/target.gguf", bytesOf(tinyModel()));
    await symlink(target, join(folder, "link.gguf"));
    expect((await readModel(join(folder, "link.gguf"), { signal })).facts.layers).toHaveLength(2);
    await symlink(join(folder, "circle.gguf"), join(folder, "circle.gguf"));
    expect((await failure(join(folder, "circle.gguf"))).message).toContain("symbolic links lead in a circle");
  });

  test("names a missing permission", async () => {
    const path = await put("secret.gguf", bytesOf(tinyModel()));
    await chmod(path, 0);
    await chmod(folder, 0o755);
    expect((await asOrdinaryUser(() => failure(path))).message).toEndWith("permission denied");
  });

  test("refuses a truncated file and one that is no language model", async () => {
    const whole = bytesOf(tinyModel());
    const cut = await failure(await put("cut.gguf", whole.subarray(0, whole.length - 64)));
    expect(cut.message).toContain(`file is truncated: needs ${whole.length} bytes, has ${whole.length - 64}`);
    expect(cut.hint).toBe("download or copy the model again");
    const clip = await failure(await put("clip.gguf", bytesOf(tinyModel({ architecture: "clip" }))));
    expect(clip.message).toContain("file holds a vision or audio projector (mmproj)");
  });

  test("ends with the signal's reason when it is aborted", async () => {
    const path = await put("aborted.gguf", bytesOf(tinyModel()));
    const reason = new Error("client left");
    expect(readModel(path, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe("listModelFiles()", () => {
  const one = bytesOf({ metadata: [], tensors: [zeros("a", [32])] });
  const list = (dir: string, limits = {}) => listModelFiles(join(folder, dir), { signal, ...limits });

  test("lists models below a folder, split ones once, projectors not at all", async () => {
    const names = ["b.gguf", "sub/a.gguf", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "mmproj-b-f16.gguf"];
    for (const name of [...names, "readme.txt", ".hidden.gguf", "x.gguf.part"]) await put(`list/${name}`, one);
    const { models, incomplete } = await list("list");
    expect(models).toEqual([
      { id: "b", path: join(folder, "list/b.gguf") },
      { id: "m", path: join(folder, "list/m-00001-of-00002.gguf") },
      { id: "a", path: join(folder, "list/sub/a.gguf") },
    ]);
    expect(incomplete).toBeNull();
  });

  test("gives every model its own id", async () => {
    for (const name of ["m.gguf", "one/m.gguf", "two/m.gguf", "m-00001-of-00002.gguf"]) await put(`same/${name}`, one);
    const { models } = await list("same");
    expect(models.map((model) => model.id)).toEqual(["m-00001-of-00002", "m", "one/m", "two/m"]);
  });

  test("follows links to files, not to folders, and skips those that lead nowhere", async () => {
    const target = await put("blobs/0123", one);
    await mkdir(join(folder, "links"));
    await symlink(target, join(folder, "links/model.gguf"));
    await symlink(join(folder, "links"), join(folder, "links/again"));
    await symlink(join(folder, "nowhere"), join(folder, "links/dead.gguf"));
    expect((await list("links")).models.map((model) => model.id)).toEqual(["model"]);
  });

  test("says when a limit left models out", async () => {
    for (const name of ["a", "b", "c", "d1/d2/e"]) await put(`many/${name}.gguf`, one);
    expect(await list("many", { maxModels: 2 })).toMatchObject({
      models: { length: 2 },
      incomplete: "more than 2 models",
    });
    const shallow = await list("many", { maxDepth: 1 });
    expect(shallow.models).toHaveLength(3);
    expect(shallow.incomplete).toBe("folders deeper than 1 were left out");
  });

  test("refuses a folder that is not there", async () => {
    expect(list("nowhere-at-all")).rejects.toThrow(
      `Cannot read model ${join(folder, "nowhere-at-all")}: cannot list the folder`,
    );
  });
});
