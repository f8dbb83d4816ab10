/** Ollama's clients in front of Ollama nodes: bytes as they are, but for the context; and what the nodes' stores are asked. */
import { afterEach, describe, expect, test } from "bun:test";
import { post } from "../fakes/runtime.ts";
import { linesOf, ollamaErrorOf, said } from "./ollama-lines.ts";
import { clearPools, first, MODEL, setPool } from "./pool-stage.ts";

afterEach(clearPools);

const CHAT = { model: "M", messages: [{ role: "user", content: "Is all well?" }] };
const ask = (more: object = {}) => post(JSON.stringify({ ...CHAT, ...more }));

describe("answers", () => {
  test("pass as the node wrote them, line for line", async () => {
    const { nodes, url } = await setPool(1);
    const direct = await (await fetch(`${first(nodes).url}/api/chat`, ask())).text();
    const response = await fetch(`${url}/api/chat`, ask());
    expect(response.headers.get("x-synaptic-route")).toBe("pool");
    expect(await response.text()).toBe(direct);
    const whole = await fetch(`${url}/api/chat`, ask({ stream: false }));
    expect(await whole.json()).toMatchObject({ model: "M", message: { content: "All is well ✓" }, done: true });
  });

  test("are asked for with everything that the client said, and one context for all", async () => {
    const { nodes, url, runtime } = await setPool(1);
    const said = { options: { num_ctx: 32_768, seed: 7 }, keep_alive: "10m", think: false, format: "" };
    await (await fetch(`${url}/api/chat`, ask(said))).text();
    // Nothing is loaded: the client's own wish counts. From then on what is loaded does.
    first(nodes).load("m:latest");
    await runtime.nodes.refresh();
    await (await fetch(`${url}/api/chat`, ask(said))).text();
    const [before, after] = first(nodes).bodies;
    expect(before).toEqual({ ...CHAT, ...said });
    expect(after).toEqual({ ...CHAT, ...said, options: { num_ctx: 4_096, seed: 7 } });
  });

  test("that a node ends without done get an error line", async () => {
    const { nodes, url } = await setPool(1);
    first(nodes).manner = { withoutEnd: true };
    const lines = linesOf(await (await fetch(`${url}/api/chat`, ask())).text());
    expect(said(lines)).toBe("All is well ✓");
    expect(lines.at(-1)).toEqual({ error: expect.stringContaining("broke") });
  });

  test("that end within a line have it ended first", async () => {
    const { nodes, url } = await setPool(1);
    first(nodes).fault = (path) => (path === "/api/chat" ? new Response('{"message":{"content":"a"}}\n{"mess') : null);
    const text = await (await fetch(`${url}/api/chat`, ask())).text();
    expect(text.split("\n")).toEqual([
      '{"message":{"content":"a"}}',
      '{"mess',
      expect.stringMatching(/^\{"error":"/),
      "",
    ]);
  });

  test("that a node ends with an error pass with that one error", async () => {
    const { nodes, url, runtime } = await setPool(1);
    const text = '{"message":{"content":"a"},"done":false}\n{"error":"an error was encountered"}\n';
    first(nodes).fault = (path) => (path === "/api/chat" ? new Response(text) : null);
    expect(await (await fetch(`${url}/api/chat`, ask())).text()).toBe(text);
    // It is the node's failure all the same.
    expect((await runtime.metrics.render(runtime.snapshot())).text).toMatch(
      /synaptic_requests_total\{[^}]*status="502"/,
    );
  });

  test("of a node that refuses come from another one; of a full one too", async () => {
    const { nodes, url } = await setPool(2);
    first(nodes).fault = (path) => (path === "/api/chat" ? Response.json({ error: "boom" }, { status: 500 }) : null);
    for (let round = 0; round < 3; round++) {
      expect(said(linesOf(await (await fetch(`${url}/api/chat`, ask())).text()))).toBe("All is well ✓");
    }
  });

  test("of /api/embed and /api/embeddings are the node's", async () => {
    const { url } = await setPool(1);
    const embed = await fetch(`${url}/api/embed`, post('{"model":"m","input":["a","b"]}'));
    expect(await embed.json()).toMatchObject({
      model: "m",
      embeddings: [
        [0.6, 0.8],
        [0.6, 0.8],
      ],
    });
    const old = await fetch(`${url}/api/embeddings`, post('{"model":"m","prompt":"a"}'));
    expect(await old.json()).toEqual({ embedding: [0.6, 0.8] });
  });

  test("of an empty prompt: loaded by a node, and unloaded from all that hold it", async () => {
    const { nodes, url, runtime } = await setPool(2);
    const load = await fetch(`${url}/api/generate`, post('{"model":"m"}'));
    expect(await load.json()).toMatchObject({ done: true, done_reason: "load" });
    for (const node of nodes) node.load("m:latest");
    await runtime.nodes.refresh();
    const unload = await fetch(`${url}/api/generate`, post('{"model":"m","keep_alive":0}'));
    expect(await unload.json()).toMatchObject({ model: "m", response: "", done_reason: "unload" });
    expect(nodes.map((node) => node.loaded())).toEqual([[], []]);
  });

  test("that unloads reaches a node that has loaded the model since it was last looked at", async () => {
    const { nodes, url } = await setPool(1, { own: { probe: { intervalMs: 60_000 } } });
    await fetch(`${url}/api/generate`, post('{"model":"m"}'));
    expect(first(nodes).loaded()).toEqual(["m:latest"]);
    await fetch(`${url}/api/generate`, post('{"model":"m","keep_alive":0}'));
    expect(first(nodes).loaded()).toEqual([]);
  });
});

describe("lists", () => {
  test("tags have each name once, with what nodes say of it; they ask no node", async () => {
    const { nodes, url } = await setPool(2, { models: [MODEL, { name: "b:1b", bytes: 7, digest: "b".repeat(64) }] });
    const asked = nodes.map((node) => node.asked.length);
    const { models } = (await (await fetch(`${url}/api/tags`)).json()) as { models: readonly object[] };
    expect(nodes.map((node) => node.asked.length)).toEqual(asked);
    expect(models).toHaveLength(2);
    expect(models).toContainEqual({
      ...{ name: "b:1b", model: "b:1b", size: 7, digest: "b".repeat(64), modified_at: "2026-11-20T10:00:00.123Z" },
      details: expect.objectContaining({ family: "llama", parameter_size: "8.0B", quantization_level: "Q4_K_M" }),
      capabilities: ["completion"],
    });
  });

  test("ps has what nodes hold, show is the node's own, and both are 404 or empty without it", async () => {
    const { nodes, url, runtime } = await setPool(1);
    first(nodes).load("m:latest", { vramBytes: 5 });
    await runtime.nodes.refresh();
    const { models } = (await (await fetch(`${url}/api/ps`)).json()) as { models: readonly object[] };
    expect(models).toMatchObject([
      { name: "m:latest", size: 1_000_000_000, size_vram: 5, context_length: 4096, details: { family: "llama" } },
    ]);
    const show = await fetch(`${url}/api/show`, post('{"name":"m"}'));
    expect(await show.json()).toMatchObject({ template: "{{ .Prompt }}", capabilities: ["completion", "tools"] });
    const none = await fetch(`${url}/api/show`, post('{"model":"x"}'));
    expect([none.status, await ollamaErrorOf(none)]).toEqual([404, "model 'x' not found"]);
  });
});

describe("stores", () => {
  const names = (nodes: readonly { readonly models: readonly { readonly name: string }[] }[]) =>
    nodes.map((node) => node.models.map(({ name }) => name));

  test("a pull goes to a node with room, with the node's own lines, and shows at once", async () => {
    const { nodes, url } = await setPool(1, { node: { memory: "8GiB" } });
    const response = await fetch(`${url}/api/pull`, post('{"name":"new:1b"}'));
    expect(response.headers.get("x-synaptic-reason")).toContain(`${first(nodes).url}: has room`);
    // As ollama-js: nothing is read after the line of success.
    const reader = response.body?.getReader();
    let text = "";
    while (!text.includes("success")) text += new TextDecoder().decode((await reader?.read())?.value);
    expect(linesOf(text).map(({ status }) => status)).toEqual(["pulling manifest", "pulling abc", "success"]);
    expect(first(nodes).errands).toEqual([["POST /api/pull", { name: "new:1b" }]]);
    const { models } = (await (await fetch(`${url}/api/tags`)).json()) as { models: readonly { name: string }[] };
    expect(models.map(({ name }) => name)).toContain("new:1b");
  });

  test("a pull whose node breaks off ends with an error; one without a stream is one object", async () => {
    const { nodes, url } = await setPool(1);
    const whole = await fetch(`${url}/api/pull`, post('{"model":"a:1b","stream":false}'));
    expect(await whole.json()).toEqual({ status: "success" });
    first(nodes).pullBreaks = true;
    const lines = linesOf(await (await fetch(`${url}/api/pull`, post('{"model":"b:1b"}'))).text());
    expect(lines.at(-1)).toEqual({ error: expect.stringContaining("stopped in the middle") });
  });

  test("a pull that nobody can do says what to do", async () => {
    const { nodes, url, runtime } = await setPool(1);
    await first(nodes).stop();
    await runtime.nodes.refresh();
    const response = await fetch(`${url}/api/pull`, post('{"model":"a:1b"}'));
    expect([response.status, await ollamaErrorOf(response)]).toEqual([503, expect.stringContaining("ollama serve")]);
  });

  test("copy and delete reach every node that has the model; others are left alone", async () => {
    const { nodes, url } = await setPool(2);
    first(nodes).models = [...first(nodes).models, { name: "own:latest", bytes: 1 }];
    const copied = await fetch(`${url}/api/copy`, post('{"source":"m","destination":"n"}'));
    expect([copied.status, await copied.text()]).toEqual([200, ""]);
    expect(names(nodes)).toEqual([
      ["m:latest", "own:latest", "n:latest"],
      ["m:latest", "n:latest"],
    ]);
    const gone = await fetch(`${url}/api/delete`, { ...post('{"model":"m"}'), method: "DELETE" });
    expect(gone.status).toBe(200);
    expect(names(nodes)).toEqual([["own:latest", "n:latest"], ["n:latest"]]);
    const again = await fetch(`${url}/api/delete`, { ...post('{"model":"m"}'), method: "DELETE" });
    expect([again.status, await ollamaErrorOf(again)]).toEqual([404, "model 'm' not found"]);
  });

  test("create and push go to one node that has what they need", async () => {
    const { nodes, url } = await setPool(2);
    const created = await fetch(`${url}/api/create`, post('{"model":"n","from":"m","system":"Be brief."}'));
    expect(linesOf(await created.text()).at(-1)).toEqual({ status: "success" });
    const pushed = await fetch(`${url}/api/push`, post('{"model":"m"}'));
    expect(linesOf(await pushed.text()).at(-1)).toEqual({ status: "success" });
    expect(nodes.map(({ errands }) => errands.map(([route]) => route))).toEqual([
      ["POST /api/create", "POST /api/push"],
      [],
    ]);
    const blob = await fetch(`${url}/api/blobs/sha256:00`, { method: "HEAD" });
    expect(blob.status).toBe(400);
  });
});

test("what the command line asks beside: version, who is signed in, and the cloud", async () => {
  const { url } = await setPool(1);
  expect(await (await fetch(`${url}/api/version`)).json()).toEqual({
    version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
  });
  expect((await fetch(`${url}/api/me`, { method: "POST" })).status).toBe(401);
  expect(await (await fetch(`${url}/api/status`)).json()).toMatchObject({ cloud: { disabled: true } });
  for (const path of ["/", "/api/tags", "/api/version", "/api/ps"]) {
    expect((await fetch(`${url}${path}`, { method: "HEAD" })).status).toBe(200);
  }
});
