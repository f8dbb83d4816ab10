/** Which Ollama nodes there are: by source, in every form, and never synaptic itself. */
import { describe, expect, test } from "bun:test";
import { wantsNodesFile } from "../../src/core/config-nodes.ts";
import type { ConfigInput } from "../../src/core/config-sources.ts";
import { accepted, refusal } from "./config-support.ts";

const SIDE = "/home/u/.synapticllamas_nodes.json";
/** As SynapticLlamas writes it (facts/replaced-system.md section 1.3). */
const THEIRS = { nodes: [{ url: "http://10.9.66.154:11434", name: "machine-1", priority: 0 }] };

const own = (nodes: unknown, more: object = {}) => ({ synaptic: { ollama: { nodes } }, ...more });
const side = (value: unknown): Partial<ConfigInput> => ({ sideFiles: { nodes: { path: SIDE, value } } });

function nodesOf(file: unknown, more: Partial<ConfigInput> = {}) {
  const { ollama, sources } = accepted(file, more);
  return { urls: ollama.nodes.map(({ url }) => url), source: sources["ollama.nodes"], nodes: ollama.nodes };
}

describe("the nodes come from the first source that names any", () => {
  test("variables, the config, SynapticLlamas' list, and else this machine, if Ollama answers there", () => {
    const file = own(["10.0.0.1"]);
    const env = { SYNAPTIC_OLLAMA_NODES: "a, b:1", OLLAMA_NODES: "c", OLLAMA_HOST: "d" };
    expect(nodesOf(file, { env })).toMatchObject({
      urls: ["http://a:11434", "http://b:1"],
      source: "SYNAPTIC_OLLAMA_NODES",
    });
    expect(nodesOf(file, { env: { ...env, SYNAPTIC_OLLAMA_NODES: "" } }).source).toBe("OLLAMA_NODES");
    expect(nodesOf(file, { env: { OLLAMA_HOST: "0.0.0.0" } }).urls).toEqual(["http://127.0.0.1:11434"]);
    expect(nodesOf(file, side(THEIRS))).toMatchObject({
      urls: ["http://10.0.0.1:11434"],
      source: "/home/u/.synapticllamas.json: synaptic.ollama.nodes",
    });
    expect(nodesOf({}, side(THEIRS))).toMatchObject({ urls: ["http://10.9.66.154:11434"], source: SIDE });
    expect(nodesOf({})).toMatchObject({ nodes: [{ url: "http://127.0.0.1:11434", implied: true }], source: "default" });
  });

  test("an empty list is a choice: none", () => {
    expect(nodesOf(own([]), side(THEIRS)).urls).toEqual([]);
  });

  test("without the pool only those count that somebody names for synaptic", () => {
    const off = { rpc_backends: [{ host: "10.0.0.1" }], task_distribution_enabled: false };
    expect(nodesOf(off, side(THEIRS)).urls).toEqual([]);
    expect(nodesOf(own(["10.0.0.5"], off)).urls).toEqual(["http://10.0.0.5:11434"]);
  });

  test("OLLAMA_HOST, which many set for Ollama itself, is spoken of when it hides a list", () => {
    const { warnings } = accepted(own(["10.0.0.1", "10.0.0.2"]), { env: { OLLAMA_HOST: "0.0.0.0" } });
    expect(warnings).toContainEqual(expect.stringMatching(/^OLLAMA_HOST is set and comes before .* the 2 named there/));
  });
});

test("wantsNodesFile() reads SynapticLlamas' list only where it may count", () => {
  expect([{}, null, { synaptic: { ollama: {} } }, { synaptic: 7 }].map(wantsNodesFile)).toEqual([
    true,
    true,
    true,
    true,
  ]);
  expect([own([]), own("x"), { task_distribution_enabled: false }].map(wantsNodesFile)).toEqual([false, false, false]);
});

describe("a node", () => {
  test("may have a weight, a priority and a memory", () => {
    const node = { url: "10.0.0.5", weight: 2.5, priority: -1, memory: "24GiB" };
    expect(nodesOf(own([node])).nodes).toEqual([
      { url: "http://10.0.0.5:11434", weight: 2.5, priority: -1, memoryBytes: 24 * 1024 ** 3 },
    ]);
    expect(nodesOf({}, side({ nodes: [{ url: "10.0.0.5", priority: 3 }] })).nodes).toEqual([
      { url: "http://10.0.0.5:11434", priority: 3 },
    ]);
  });

  test("is never synaptic itself: OLLAMA_HOST may name it, so that the ollama command asks synaptic", () => {
    const env = { OLLAMA_HOST: "127.0.0.1:11400" };
    expect(nodesOf(own(["10.0.0.5"]), { env }).urls).toEqual(["http://10.0.0.5:11434"]);
    const named = accepted(own(["http://localhost:11400", "10.0.0.5"]));
    expect(named.ollama.nodes).toHaveLength(1);
    expect(named.warnings).toContainEqual(expect.stringContaining("synaptic itself listens there"));
    expect(nodesOf({ synaptic: { listen: { port: 11_434 } } }).urls).toEqual([]);
  });

  test("counts once, however it is spelled", () => {
    const { ollama, warnings } = accepted(own(["localhost", "127.0.0.1:11434", "10.0.0.5"]));
    expect(ollama.nodes).toHaveLength(2);
    expect(warnings).toContainEqual(expect.stringContaining("is named twice among the Ollama nodes"));
  });

  const wrong: [nodes: unknown, key: string][] = [
    ["10.0.0.5", "synaptic.ollama.nodes: expected a list of addresses"],
    [[7], "synaptic.ollama.nodes[0]: expected an address such as"],
    [
      ["a b"],
      'synaptic.ollama.nodes[0]: expected the address of an Ollama, such as "http://10.0.0.5:11434", found "a b"',
    ],
    [["10.0.0.1", "10.0.0"], "synaptic.ollama.nodes[1]"],
    [[{ url: "ftp://x" }], "write http:// or https://"],
    [[{ url: "10.0.0.5", weight: 0 }], "synaptic.ollama.nodes[0]"],
    [[{ url: "10.0.0.5", memory: "0GiB" }], "synaptic.ollama.nodes[0].memory"],
  ];
  test.each(wrong)("%p is refused by its key", (nodes, expected) => {
    expect(refusal(own(nodes))).toContain(expected);
  });

  test("with a password in it is refused without showing it", () => {
    const text = refusal(own(["http://ann:s3cr3t@10.0.0.5"]));
    expect(text).toContain("leave user name and password out");
    expect(text).not.toContain("s3cr3t");
  });

  test("that a variable or SynapticLlamas' list has wrong is refused with its place", () => {
    expect(refusal({}, { env: { OLLAMA_HOST: "a b" } })).toContain("OLLAMA_HOST");
    expect(refusal({}, side({ nodes: [{ name: "x" }] }))).toContain(`${SIDE}: nodes[0]`);
    expect(refusal({}, side({ nodes: 7 }))).toContain(SIDE);
  });

  test("has its unknown keys named", () => {
    const { warnings } = accepted(own([{ url: "10.0.0.5", wieght: 2 }]));
    expect(warnings).toContainEqual(expect.stringContaining("synaptic.ollama.nodes[0].wieght (did you mean weight?)"));
  });
});

test("unloadIdle is on unless the config says otherwise", () => {
  expect(accepted({}).ollama.unloadIdle).toBe(true);
  expect(accepted({ synaptic: { ollama: { unloadIdle: false } } }).ollama.unloadIdle).toBe(false);
});
