/** Reading the configuration from disk, with real files. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeError, SynapticError } from "../../src/core/errors.ts";
import { configPath, type LoadOptions, loadConfig } from "../../src/io/config-file.ts";
import { asOrdinaryUser } from "../fakes/ordinary-user.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "synaptic-config-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

function load(options: Partial<LoadOptions>) {
  return loadConfig({ flags: {}, env: {}, home: folder, cwd: folder, serving: true, ...options });
}

async function refusal(options: Partial<LoadOptions>): Promise<SynapticError> {
  const outcome = await load(options).then(
    () => new Error("accepted, though a refusal was expected"),
    (thrown: unknown) => thrown,
  );
  if (outcome instanceof SynapticError) return outcome;
  throw outcome;
}

describe("loadConfig() refuses", () => {
  test("a file that was asked for and is not there", async () => {
    const error = await refusal({ path: "nowhere.json" });
    expect(error.code).toBe("config_missing");
    expect(error.message).toBe(`Cannot read ${join(folder, "nowhere.json")}: it does not exist`);
    expect(error.hint).toContain("config.example.json");
  });

  const contents: readonly (readonly [name: string, content: string | Uint8Array, said: string])[] = [
    ["an empty file", "", "the file is empty"],
    ["a blank file", "\uFEFF \n\n", "the file is empty"],
    ["a comment", '{\n  "model": "x",\n  // ours\n}', "line 3, column 3: comments are not allowed in JSON"],
    ["a block comment", "/* x */ {}", "line 1, column 1: comments are not allowed in JSON"],
    ["a # comment", "{\n\t# x\n}", "line 2, column 2: comments are not allowed in JSON"],
    [
      "a trailing comma",
      '{\r\n  "model": "x",\r\n}',
      "line 2, column 15: the comma before the closing } is not allowed in JSON",
    ],
    ["a missing comma", '{"a": 1\n "b": 2}', "line 2, column 2: a comma is expected"],
    ["single quotes", "{'a': 1}", "line 1, column 2: this is no JSON value"],
    ["a Python word", '{"a": True}', "line 1, column 7: this is no JSON value"],
    ["an early end", '{"a": [1, 2', "line 1, column 12: the file ends too early"],
    ["a second value", "{}\n{}", "line 2, column 1: nothing may follow the end of the value"],
    ["a key given twice", '{"model": "a",\n "model": "b"}', 'line 2, column 2: the key "model" is given twice'],
    ["nesting without end", "[".repeat(500_000), "line 1, column 65: nesting is deeper than 64 levels"],
    ["bytes that are no UTF-8", new Uint8Array([0x7b, 0xff, 0x7d]), "it is not UTF-8 text"],
    ["more than 1 MiB", `{"model": "${"x".repeat(1024 * 1024)}"}`, "it is larger than 1 MiB"],
  ];
  for (const [index, [name, content, said]] of contents.entries()) {
    test(name, async () => {
      const path = await file(`refused-${index}.json`, content);
      const error = await refusal({ path });
      expect(error.code).toBe("config_invalid");
      expect(error.message).toStartWith(`Cannot read ${path}: ${said}`);
    });
  }

  test("a directory", async () => {
    expect((await refusal({ path: folder })).message).toBe(`Cannot read ${folder}: it is a directory`);
  });

  test("a device that never ends", async () => {
    expect((await refusal({ path: "/dev/zero" })).message).toBe("Cannot read /dev/zero: it is not a regular file");
  });

  test("a path through a file", async () => {
    const path = join(await file("plain", "{}"), "x.json");
    expect((await refusal({ path })).message).toContain("a part of the path is no directory");
  });

  test("a file it may not read", async () => {
    const path = await file("locked.json", "{}");
    await chmod(path, 0o000);
    await chmod(folder, 0o755);
    const { message } = await asOrdinaryUser(() => refusal({ path }));
    expect(message).toBe(`Cannot read ${path}: permission denied`);
  });

  test("a wrong value, with file, key, expectation and finding", async () => {
    const path = await file("wrong.json", '{"rpc_backends": [{"host": "10.0.0.1", "port": "50052"}]}');
    expect(describeError(await refusal({ path }))).toBe(
      `Cannot use ${path}: rpc_backends[0].port: expected a whole number from 1 to 65535, found "50052"\n  write 50052 without quotes`,
    );
  });
});

describe("loadConfig() reads", () => {
  test("a byte order mark and __proto__ without harm", async () => {
    const path = await file("bom.json", '\uFEFF{"model": "x", "__proto__": {"sharding": 1}}');
    expect((await load({ path })).preload).toEqual(["x"]);
  });

  test("rpc_backends.conf beside the file, only when the file names no backends", async () => {
    const beside = join(folder, "beside");
    await mkdir(beside);
    await writeFile(join(beside, "rpc_backends.conf"), "10.0.0.1:50053\n");
    await writeFile(join(beside, "without.json"), "{}");
    await writeFile(join(beside, "with.json"), '{"rpc_backends": [{"host": "10.0.0.2"}]}');
    const without = await load({ path: join(beside, "without.json") });
    expect(without.backends.map((backend) => backend.endpoint as string)).toEqual(["10.0.0.1:50053"]);
    const named = await load({ path: join(beside, "with.json") });
    expect(named.backends.map((backend) => backend.endpoint as string)).toEqual(["10.0.0.2:50052"]);
  });

  test("nothing when the default file is missing and nobody asked for it", async () => {
    const config = await load({});
    expect(config.file).toBeNull();
    expect(config.warnings).toEqual([`${join(folder, ".synapticllamas.json")} does not exist: defaults apply`]);
  });

  test("and writes nothing", async () => {
    const quiet = await mkdtemp(join(folder, "quiet-"));
    const path = join(quiet, "c.json");
    const text = '{"distributed_inference_enabled": true, "rpc_backends": [{"host": "localhost"}]}';
    await writeFile(path, text);
    await chmod(path, 0o444);
    await load({ path, home: quiet });
    expect(await readdir(quiet)).toEqual(["c.json"]);
    expect(await readFile(path, "utf8")).toBe(text);
  });
});

describe("configPath()", () => {
  const at = { home: "/home/u", cwd: "/cwd", env: {} };
  const env = { SYNAPTIC_CONFIG: "~/env.json" };

  test("--config FILE over SYNAPTIC_CONFIG over the default path", () => {
    expect(configPath({ ...at, env, path: "x.json" })).toEqual({ path: "/cwd/x.json", required: true });
    expect(configPath({ ...at, env })).toEqual({ path: "/home/u/env.json", required: true });
    expect(configPath(at)).toEqual({ path: "/home/u/.synapticllamas.json", required: false });
    expect(configPath({ ...at, env: { SYNAPTIC_CONFIG: "" } }).required).toBe(false);
  });

  test("--config alone asks for the default path, even beside SYNAPTIC_CONFIG", () => {
    expect(configPath({ ...at, env, path: true })).toEqual({ path: "/home/u/.synapticllamas.json", required: true });
  });
});

describe("SynapticLlamas' list of Ollama nodes in the home folder", () => {
  const NODES = ".synapticllamas_nodes.json";
  const urls = async (config: string): Promise<readonly string[]> =>
    (await load({ path: await file("nodes-config.json", config) })).ollama.nodes.map(({ url }) => url);

  test("is read where the config names no nodes itself", async () => {
    await file(NODES, '{"nodes": [{"url": "http://10.0.0.5:11434", "name": "a", "priority": 0}]}');
    expect(await urls("{}")).toEqual(["http://10.0.0.5:11434"]);
    expect(await urls('{"synaptic": {"ollama": {"nodes": []}}}')).toEqual([]);
  });

  test("is refused with its place when it is damaged, unless nothing depends on it, and may be empty", async () => {
    await file(NODES, '{"nodes": [');
    const path = await file("nodes-config.json", "{}");
    expect(describeError(await refusal({ path }))).toContain(`${NODES}: line 1, column 12`);
    expect(await urls('{"synaptic": {"ollama": {"nodes": []}}}')).toEqual([]);
    await file(NODES, "");
    expect(await urls("{}")).toEqual(["http://127.0.0.1:11434"]);
    await rm(join(folder, NODES));
  });
});
