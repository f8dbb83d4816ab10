/** Asking one Ollama: what it has and holds, and everything odd that may answer in its place. */
import { afterEach, describe, expect, test } from "bun:test";
import { pollNode, unloadFromNode } from "../../src/io/ollama-client.ts";
import { type FakeModel, type FakeOllamaNode, startOllamaNode } from "../fakes/ollama-node.ts";

const open: FakeOllamaNode[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((node) => node.stop()));
});

function start(...models: FakeModel[]): FakeOllamaNode {
  const node = startOllamaNode(models);
  open.push(node);
  return node;
}

const NEVER = new AbortController().signal;
const IN_TIME = { timeoutMs: 5_000, signal: NEVER };
const LLAMA = { name: "llama3.1:8b", bytes: 4_700_000_000 };

describe("pollNode()", () => {
  test("tells version, models and loaded models, and where it was reached", async () => {
    const node = start(LLAMA, { name: "big:cloud", bytes: 300, remoteHost: "https://ollama.com" });
    node.load("llama3.1:8b", { vramBytes: 3_000_000_000 });
    const poll = await pollNode(node.url.replace("127.0.0.1", "localhost"), IN_TIME);
    expect(poll).toMatchObject({
      tag: "up",
      version: "0.33.0",
      models: [
        { name: "llama3.1:8b", digest: "d".repeat(64), bytes: 4_700_000_000, quantization: "Q4_K_M", remoteHost: null },
        { name: "big:cloud", remoteHost: "https://ollama.com" },
      ],
      loaded: [{ name: "llama3.1:8b", bytes: 4_700_000_000, vramBytes: 3_000_000_000, contextSize: 4096 }],
      address: "127.0.0.1",
    });
  });

  const odd: [what: string, answer: (path: string) => Response | null, expected: object][] = [
    ["a web page", () => new Response("<html>"), { tag: "alien", detail: "/api/version gives no JSON" }],
    [
      "a redirect",
      () => Response.redirect("http://127.0.0.1:1/", 302),
      { tag: "alien", detail: "/api/version gives 302" },
    ],
    [
      "no such page",
      () => new Response("404 page not found", { status: 404 }),
      { tag: "alien", detail: "/api/version gives 404" },
    ],
    [
      "another program's JSON",
      () => Response.json({ name: "x" }),
      { tag: "alien", detail: "/api/version names no version" },
    ],
    [
      "an escape sequence for a version",
      () => Response.json({ version: "\u001b[2J" }),
      { tag: "alien", detail: "/api/version names no version" },
    ],
    [
      "an error",
      (path) => (path === "/api/tags" ? Response.json({ error: "disk\u001b full" }, { status: 500 }) : null),
      { tag: "failing", detail: "/api/tags gives 500: disk\\u001b full" },
    ],
    [
      "a list that is none",
      (path) => (path === "/api/ps" ? Response.json({ models: "none" }) : null),
      { tag: "alien", detail: "/api/ps holds no list of models" },
    ],
    [
      "more than anybody needs",
      (path) => (path === "/api/tags" ? endless() : null),
      { tag: "alien", detail: "/api/tags gives more than 8 MiB" },
    ],
  ];
  test.each(odd)("calls %s what it is", async (_, answer, expected) => {
    const node = start(LLAMA);
    node.fault = answer;
    expect(await pollNode(node.url, IN_TIME)).toEqual(expected as never);
  });

  test("gives up in time on one that is silent, and on one that drips", async () => {
    const node = start(LLAMA);
    for (const slow of [() => new Promise<Response>(() => {}), () => dripping()]) {
      node.fault = slow;
      expect(await pollNode(node.url, { timeoutMs: 50, signal: NEVER })).toEqual({ tag: "timeout", timeoutMs: 50 });
    }
  });

  test("says refused, unresolved and cancelled apart", async () => {
    const node = start();
    const { url } = node;
    await node.stop();
    expect(await pollNode(url, IN_TIME)).toEqual({ tag: "refused" });
    expect(await pollNode("http://nowhere.invalid:11434", IN_TIME)).toMatchObject({ tag: "unresolved" });
    expect(await pollNode(url, { ...IN_TIME, signal: AbortSignal.abort() })).toEqual({ tag: "cancelled" });
  });
});

function endless(): Response {
  const chunk = new Uint8Array(1024 ** 2).fill(32);
  return new Response(new ReadableStream({ pull: (controller) => controller.enqueue(chunk) }));
}

function dripping(): Response {
  return new Response(
    new ReadableStream({
      async pull(controller) {
        controller.enqueue(new TextEncoder().encode(" "));
        await Bun.sleep(10);
      },
    }),
  );
}

describe("unloadFromNode()", () => {
  test("unloads, and a poll shows it gone", async () => {
    const node = start(LLAMA);
    node.load("llama3.1:8b");
    await unloadFromNode(node.url, { ...IN_TIME, model: "llama3.1:8b" });
    expect(await pollNode(node.url, IN_TIME)).toMatchObject({ tag: "up", loaded: [] });
  });

  test("lets a request that runs end first", async () => {
    const node = start(LLAMA);
    node.load("llama3.1:8b");
    const end = node.request("llama3.1:8b");
    await unloadFromNode(node.url, { ...IN_TIME, model: "llama3.1:8b" });
    expect(node.loaded()).toEqual(["llama3.1:8b"]);
    end();
    expect(node.loaded()).toEqual([]);
  });

  test("says what the node says when it cannot", async () => {
    const node = start(LLAMA);
    await expect(unloadFromNode(node.url, { ...IN_TIME, model: "x" })).rejects.toMatchObject({
      code: "upstream_error",
      message: `Cannot unload x from ${node.url}: /api/generate gives 404: model 'x' not found`,
    });
    node.fault = () => new Promise<Response>(() => {});
    await expect(unloadFromNode(node.url, { model: "x", timeoutMs: 50, signal: NEVER })).rejects.toMatchObject({
      code: "upstream_timeout",
    });
  });
});
