/** Ollama nodes beside a running synaptic: shown, asked by `check`, and their models listed with what to do. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type FakeOllamaNode, startOllamaNode } from "../fakes/ollama-node.ts";
import { type Lab, openLab } from "./lab.ts";
import type { Synaptic } from "./synaptic.ts";

setDefaultTimeout(60_000);

let lab: Lab;
let node: FakeOllamaNode;
let gone: FakeOllamaNode;
let config: string;
let synaptic: Synaptic;

beforeAll(async () => {
  lab = await openLab();
  node = startOllamaNode([{ name: "Far:8b", bytes: 4_700_000_000 }]);
  gone = startOllamaNode();
  await gone.stop();
  lab.write("models/torn.gguf", "GGUF, or what is left of it");
  config = lab.config([], {
    models: { dirs: [`${lab.folder}/models`] },
    ollama: { nodes: [node.url, { url: gone.url, priority: 1 }] },
    probe: { intervalMs: 100 },
  });
  synaptic = await lab.serve({ config });
});

afterAll(async () => {
  await lab[Symbol.asyncDispose]();
  await node.stop();
});

test("the status has the nodes, what they have, and what they hold as it changes", async () => {
  const { nodes } = await synaptic.untilStatus("both polled", (snapshot) =>
    snapshot.nodes.every(({ state }) => state !== "unknown") ? snapshot : null,
  );
  expect(nodes).toMatchObject([
    { url: node.url, machine: "127.0.0.1", state: "up", version: "0.33.0", models: [{ name: "Far:8b" }], inFlight: 0 },
    { url: gone.url, state: "down", reason: expect.stringContaining("connection refused"), models: [] },
  ]);
  node.load("Far:8b", { vramBytes: 1_000_000_000 });
  const loaded = await synaptic.untilStatus("it is loaded", ({ nodes: [first] }) => first?.loaded[0]);
  expect(loaded).toMatchObject({ name: "Far:8b", bytes: 4_700_000_000, vramBytes: 1_000_000_000, contextSize: 4096 });
  const { code, stdout } = await lab.run(["status", ...synaptic.portFlag], { config });
  expect(code).toBe(0);
  expect(stdout).toMatch(new RegExp(`^${node.url} +up +0\\.33\\.0 +\\d+\\.\\d ms +1 +Far:8b$`, "m"));
  expect(stdout).toMatch(new RegExp(`^${gone.url} +down .*connection refused`, "m"));
});

test("`check` says which nodes answer, and fails when one does not", async () => {
  const { code, stdout } = await lab.run(["check"], { config });
  expect(code).toBe(1);
  expect(stdout).toMatch(new RegExp(`ollama\\.nodes +${node.url} +file: synaptic\\.ollama\\.nodes`));
  expect(stdout).toMatch(new RegExp(`${gone.url} \\(priority 1\\)`));
  expect(stdout).toMatch(new RegExp(`^${gone.url} +down .*connection refused`, "m"));
  const json = await lab.run(["check", "--json"], { config: lab.config([], { ollama: { nodes: [node.url] } }) });
  expect(json.code).toBe(0);
  expect(JSON.parse(json.stdout).nodes).toMatchObject([{ url: node.url, state: "up" }]);
});

test("a model that only a node has runs there, and is listed there with what sharding it would need", async () => {
  const response = await synaptic.post("/v1/completions", { model: "far:8B", prompt: "Hi" });
  expect(response.headers.get("x-synaptic-route")).toBe("pool");
  expect(response.headers.get("x-synaptic-reason")).toContain(`${node.url}: the one node with it`);
  expect(await response.json()).toMatchObject({ model: "far:8B", choices: [{ text: "All is well ✓" }] });
  const listed = (await (await synaptic.get("/v1/models")).json()) as { data: readonly { id: string }[] };
  expect(listed.data.map(({ id }) => id)).toEqual(["Far:8b"]);
  expect(await (await synaptic.get("/v1/models/far:8B")).json()).toMatchObject({ id: "Far:8b", object: "model" });
  const runs = [[...synaptic.portFlag], ["--port", "0"]];
  for (const flags of runs) {
    const { stdout } = await lab.run(["models", ...flags], { config });
    expect(stdout).toMatch(new RegExp(`^Far:8b +4\\.4 GiB +- +Q4_K_M +- +${node.url} \\(pool\\) +\\S`, "m"));
    expect(stdout).toContain("Not on this machine: Far:8b\n");
  }
});

test("`explain` says where it would run and why nowhere else, beside a server and by itself", async () => {
  for (const flags of [[...synaptic.portFlag], ["--port", "0"]]) {
    const { code, stdout } = await lab.run(["explain", "far:8b", ...flags], { config });
    expect(code).toBe(0);
    expect(stdout).toStartWith("far:8b runs on the pool: ");
    expect(stdout).toMatch(new RegExp(`^${node.url} +yes +`, "m"));
    expect(stdout).toMatch(new RegExp(`^${gone.url} +no +is down: .*connection refused`, "m"));
    expect(stdout).toMatch(/^shards +no +no file of it is on the head node$/m);
  }
  const unknown = await lab.run(["explain", "nowhere", ...synaptic.portFlag], { config });
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining("does not exist")]);
  const off = lab.config([], { ollama: { nodes: [node.url] }, models: { settings: { "Far:8b": { route: "shard" } } } });
  const refused = await lab.run(["explain", "Far:8b", "--port", "0", "--json"], { config: off });
  expect([refused.code, JSON.parse(refused.stdout)]).toEqual([1, expect.objectContaining({ route: "refused" })]);
});

test("`pull` has a node fetch a model, and tells how far it is", async () => {
  for (const [name, flags] of [
    ["new:1b", synaptic.portFlag],
    ["other:1b", ["--port", "0"]],
  ] as const) {
    const { code, stdout, stderr } = await lab.run(["pull", name, ...flags], { config });
    expect([code, stdout]).toEqual([0, `${name} is on ${node.url}\n`]);
    expect(stderr).toContain("pulling abc: 50 % of 100 B\nsuccess\n");
  }
  node.pullBreaks = true;
  const { code, stdout, stderr } = await lab.run(["pull", "third:1b", ...synaptic.portFlag], { config });
  node.pullBreaks = false;
  expect([code, stdout, stderr]).toEqual([1, "", expect.stringContaining("stopped in the middle")]);
});

test("a damaged file of a folder is listed with what is wrong, and not offered to clients", async () => {
  const { data } = (await (await synaptic.get("/v1/models")).json()) as { data: readonly { id: string }[] };
  expect(data.map(({ id }) => id)).not.toContain("torn");
  const { code, stdout } = await lab.run(["models", ...synaptic.portFlag], { config });
  expect([code, stdout]).toEqual([1, expect.stringContaining("torn cannot be used: ")]);
  const response = await synaptic.post("/v1/completions", { model: "torn", prompt: "Hi" });
  expect([response.status, await response.text()]).toEqual([500, expect.stringContaining("Cannot load torn")]);
});
