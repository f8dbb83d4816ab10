/** OpenAI's clients in front of Ollama nodes: translated, and another node tried before the first byte. */
import { afterEach, describe, expect, test } from "bun:test";
import { clearPools, first, setPool } from "./pool-stage.ts";

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
    const { nodes, client } = await setPool(2);
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
    expect(asked).toBe(3);
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
});
