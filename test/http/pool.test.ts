/** OpenAI's clients in front of Ollama nodes: translated, and another node tried before the first byte. */
import { afterEach, describe, expect, test } from "bun:test";
import { APIError } from "openai";
import { clearPools, first, MODEL, setPool } from "./pool-stage.ts";

afterEach(clearPools);

const ASK = { model: "m", messages: [{ role: "user" as const, content: "Is all well?" }] };

describe("chat completions on a node", () => {
  test("whole: the answer in OpenAI's form, counted; the node was told a context and not to cut", async () => {
    const { nodes, client } = await setPool(1);
    const answer = await client.chat.completions.create({ ...ASK, temperature: 0 });
    expect(answer.choices[0]?.message.content).toBe("All is well ✓");
    expect(answer.choices[0]?.finish_reason).toBe("stop");
    expect(answer.usage).toMatchObject({ prompt_tokens: 7, completion_tokens: 4, total_tokens: 11 });
    expect(first(nodes).bodies).toMatchObject([
      { model: "m:latest", stream: false, truncate: false, options: { num_ctx: 8192, temperature: 0 } },
    ]);
  });

  test("streamed: piece by piece, with the usage that was asked for", async () => {
    const { client } = await setPool(1);
    const stream = client.chat.completions.stream({ ...ASK, stream_options: { include_usage: true } });
    const texts: string[] = [];
    stream.on("content", (piece) => texts.push(piece));
    const whole = await stream.finalChatCompletion();
    expect(texts).toEqual(["All", " is", " well", " ✓"]);
    expect(whole.usage?.total_tokens).toBe(11);
  });

  test("on a node that refuses before the first byte: another one answers, and the client does not know", async () => {
    const { nodes, client } = await setPool(2);
    first(nodes).fault = (path) => (path === "/api/chat" ? Response.json({ error: "boom" }, { status: 500 }) : null);
    for (let round = 0; round < 3; round++) {
      const answer = await client.chat.completions.create(ASK);
      expect(answer.choices[0]?.message.content).toBe("All is well ✓");
    }
  });

  test("on a node that is full: another one answers, and the full one is asked again next time", async () => {
    const { nodes, client, runtime } = await setPool(2);
    // Else the other one would be preferred from its first answer on, since it has the model loaded.
    for (const node of nodes) node.load("m:latest", { vramBytes: MODEL.bytes });
    await runtime.nodes.refresh();
    const busy = { error: "server busy, please try again. maximum pending requests exceeded" };
    let asked = 0;
    first(nodes).fault = (path) => {
      if (path !== "/api/chat") return null;
      asked++;
      return Response.json(busy, { status: 503 });
    };
    for (const content of ["a", "b", "c"]) {
      await client.chat.completions.create({ ...ASK, messages: [{ role: "user", content }] });
    }
    // Equal nodes go by their address: the other one may have been asked first, once.
    expect(asked).toBeGreaterThanOrEqual(2);
  });

  test("on a node that breaks off in the middle: the text so far, then an error that every SDK raises", async () => {
    const { nodes, client } = await setPool(1);
    const heard = Promise.withResolvers<void>();
    const node = first(nodes);
    node.manner = { before: (index) => (index === 2 ? heard.promise : undefined) };
    let text = "";
    const listening = (async () => {
      for await (const chunk of await client.chat.completions.create({ ...ASK, stream: true })) {
        text += chunk.choices[0]?.delta.content ?? "";
        if (text === "All is") void node.stop();
      }
    })();
    const error = await listening.then(
      () => null,
      (thrown: unknown) => thrown,
    );
    heard.resolve();
    expect(error).toMatchObject({ code: "upstream_error" });
    // What happened, in a word, and none of Bun's advice to whoever wrote a request.
    expect(String(error)).toMatch(/The connection to http:\/\/127\.0\.0\.1:\d+ broke \(\w+\)$/);
    expect(text).toBe("All is");
  });

  test("on a node that ends without saying so: never passed off as complete", async () => {
    const { nodes, client } = await setPool(1);
    first(nodes).manner = { withoutEnd: true };
    const stream = client.chat.completions.create({ ...ASK, stream: true });
    const drain = async () => {
      for await (const _ of await stream);
    };
    expect(
      await drain().then(
        () => null,
        (thrown: unknown) => thrown,
      ),
    ).toMatchObject({ code: "upstream_error" });
  });

  test("that nobody can do now: 502 with the reason of the last node, and what a node cannot do is 400", async () => {
    const { nodes, client } = await setPool(1);
    const refused = await client.chat.completions.create({ ...ASK, n: 2 }).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(refused).toMatchObject({ status: 400, code: "unsupported_parameter", param: "n" });
    first(nodes).fault = (path) => (path === "/api/chat" ? Response.json({ error: "boom" }, { status: 500 }) : null);
    const failed = await client.chat.completions.create(ASK).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(failed).toMatchObject({ status: 502, code: "upstream_error" });
  });

  test("on a node that has it loaded and refuses: one that would have to load it answers", async () => {
    const { nodes, client, runtime } = await setPool(2);
    const node = first(nodes);
    node.load("m:latest", { vramBytes: MODEL.bytes });
    await runtime.nodes.refresh();
    node.fault = (path) => (path === "/api/chat" ? Response.json({ error: "boom" }, { status: 500 }) : null);
    const answer = await client.chat.completions.create(ASK);
    expect(answer.choices[0]?.message.content).toBe("All is well ✓");
    expect(node.asked).toContain("/api/chat");
  });

  test("while the nodes that have the model do not answer: 503 that says which, and to come back", async () => {
    const { nodes, client, runtime } = await setPool(1);
    await first(nodes).stop();
    for (let round = 0; round < 4; round++) await runtime.nodes.refresh();
    const error = await client.chat.completions.create(ASK).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ status: 503, code: "no_backends" });
    expect(String(error)).toContain(first(nodes).url);
    expect(error instanceof APIError && error.headers?.get("retry-after")).toBe("5");
    const unknown = await client.chat.completions.create({ ...ASK, model: "x" }).catch((thrown: unknown) => thrown);
    expect(unknown).toMatchObject({ status: 404 });
  });
});

describe("the list of models", () => {
  test("has each model of a node once, under the name that the node shows, and finds it under any", async () => {
    const { client } = await setPool(2, { models: [MODEL, { name: "Far:8b", bytes: 5 }] });
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id).toSorted()).toEqual(["Far:8b", "m:latest"]);
    expect(await client.models.retrieve("far:8B")).toMatchObject({ id: "Far:8b", object: "model" });
    expect(await client.models.retrieve("m")).toMatchObject({ id: "m:latest" });
  });

  test("leaves out what only nodes have that do not answer", async () => {
    const { nodes, client, runtime } = await setPool(1);
    await first(nodes).stop();
    for (let round = 0; round < 4; round++) await runtime.nodes.refresh();
    expect((await client.models.list()).data).toEqual([]);
  });
});
