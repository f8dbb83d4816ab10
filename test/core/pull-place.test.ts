/** Where a model is pulled to. */
import { describe, expect, test } from "bun:test";
import { bytesByName, type PullNode, pullPlace } from "../../src/core/pull-place.ts";

const node = (url: string, more: Partial<PullNode> = {}): PullNode => ({
  ...{ url, machine: url, hasIt: false, fit: "unknown", why: `is ${more.fit ?? "unknown"}`, priority: 0 },
  ...more,
});
const HEAD = node("head", { machine: "127.0.0.1", fit: "no" });
const input = { model: "m", wish: null, pool: true, sharding: true } as const;
const urlOf = (nodes: readonly PullNode[], more: object = {}) => {
  const place = pullPlace({ ...input, nodes, ...more });
  return place.ok ? place.url : place.error.code;
};

describe("a model that is pulled goes", () => {
  test("to the node that has it, whatever else has room", () => {
    expect(urlOf([node("a", { fit: "fast" }), node("b", { hasIt: true, fit: "no" })])).toBe("b");
  });

  test("to the node of the highest priority with room", () => {
    expect(urlOf([HEAD, node("a", { fit: "fast" }), node("b", { fit: "fast", priority: 1 })])).toBe("b");
  });

  test("to the head node's own Ollama where no node is known to have room", () => {
    expect(urlOf([node("a", { fit: "slow" }), node("b"), HEAD])).toBe("head");
  });

  test("to a node of which nothing is known, then to one that holds it in RAM", () => {
    expect(urlOf([node("a", { fit: "slow" }), node("b")])).toBe("b");
    expect(urlOf([node("a", { fit: "slow" }), node("b", { fit: "no" })])).toBe("a");
  });

  test("nowhere with the reasons and what to do", () => {
    const place = pullPlace({ ...input, nodes: [node("a", { fit: "no", why: "is too small" })] });
    expect(place).toMatchObject({ ok: false, error: { code: "no_backends" } });
    expect(!place.ok && [place.error.message, place.error.hint]).toEqual([
      expect.stringContaining("a is too small"),
      expect.stringContaining("ollama serve"),
    ]);
    expect(urlOf([])).toBe("no_backends");
  });

  test("by the owner's word and switches", () => {
    const both = [node("a", { fit: "fast" }), HEAD];
    expect(urlOf(both, { wish: "shard" })).toBe("head");
    expect(urlOf(both, { pool: false })).toBe("head");
    expect(urlOf([node("b"), HEAD], { wish: "pool" })).toBe("b");
    expect(urlOf([node("b"), HEAD], { sharding: false })).toBe("b");
  });
});

describe("bytesByName()", () => {
  const gb = (name: string) => Math.round((bytesByName(name) ?? 0) / 1e8) / 10;
  test("reads the size, the experts and the quantisation", () => {
    expect(gb("llama3.1:70b")).toBe(42.4);
    expect(gb("llama3.2:1b-instruct-q8_0")).toBe(1.1);
    expect(gb("qwen2.5:0.5b-fp16")).toBe(1);
    expect(gb("mixtral:8x7b")).toBe(34);
    expect(gb("hf.co/u/Some-Model-7B-GGUF:Q4_K_M")).toBe(3.9);
    expect(gb("all-minilm:33m")).toBe(0);
  });
  test("knows nothing of a name without a number", () => {
    for (const name of ["mistral", "phi3:latest", "gemma2"]) expect(bytesByName(name)).toBeNull();
  });
});
