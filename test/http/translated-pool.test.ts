/** Clients of Anthropic's and the Responses API in front of Ollama nodes. */
import { afterEach, describe, expect, test } from "bun:test";
import { readMessage } from "../core/translate/anthropic-client.ts";
import { eventsOf } from "../core/translate/recorded.ts";
import { post } from "../fakes/runtime.ts";
import { clearPools, first, setPool } from "./pool-stage.ts";

afterEach(clearPools);

const HI = [{ role: "user", content: "hi" }];

async function askMessages(url: string, more: object = {}, path = "/v1/messages"): Promise<Response> {
  return await fetch(url + path, post(JSON.stringify({ model: "m", max_tokens: 9, messages: HI, ...more })));
}

describe("Anthropic's messages on a node", () => {
  test("whole and streamed are the same message; the node was told a context and not to cut", async () => {
    const { nodes, url } = await setPool(1);
    const whole = await (await askMessages(url)).json();
    const streamed = readMessage(eventsOf(await (await askMessages(url, { stream: true })).text())).message;
    for (const message of [whole, streamed]) {
      expect(message).toMatchObject({ model: "m", content: [{ type: "text", text: "All is well ✓" }] });
      expect(message).toMatchObject({ stop_reason: "end_turn", usage: { input_tokens: 7, output_tokens: 4 } });
    }
    const told = { model: "m:latest", truncate: false, options: { num_ctx: 8192, num_predict: 9 } };
    expect(first(nodes).bodies).toMatchObject([told, told]);
  });

  test("cut off in the middle: the text so far, then the error", async () => {
    const { nodes, url } = await setPool(1);
    first(nodes).manner = { withoutEnd: true };
    const { message, error } = readMessage(eventsOf(await (await askMessages(url, { stream: true })).text()));
    expect(message.content).toMatchObject([{ text: "All is well ✓" }]);
    expect(error).toMatchObject({ type: "api_error" });
  });

  test.each([false, true])("one tool call is one, though Ollama knows no such wish (streamed: %p)", async (stream) => {
    const { nodes, url } = await setPool(1);
    const calls = ["f", "g"].map((name) => ({ function: { name, arguments: {} } }));
    const answer = { model: "m", message: { role: "assistant", content: "", tool_calls: calls }, done: true };
    first(nodes).fault = (path) => (path === "/api/chat" ? new Response(`${JSON.stringify(answer)}\n`) : null);
    const tools = ["f", "g"].map((name) => ({ name, input_schema: { type: "object" } }));
    const choice = { type: "auto", disable_parallel_tool_use: true };
    const response = await askMessages(url, { stream, tools, tool_choice: choice });
    const message = stream ? readMessage(eventsOf(await response.text())).message : await response.json();
    expect(message).toMatchObject({ content: [{ type: "tool_use", name: "f" }], stop_reason: "tool_use" });
  });

  test("are not counted there: 404, which clients know to do without", async () => {
    const { url, runtime } = await setPool(1);
    const response = await askMessages(url, {}, "/v1/messages/count_tokens");
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ type: "error", error: { type: "not_found_error" } });
    // What no node can do holds no place on one.
    expect(runtime.nodes.snapshot().map(({ inFlight }) => inFlight)).toEqual([0]);
  });
});

describe("the Responses API on a node", () => {
  test("whole and streamed give the same text", async () => {
    const { client } = await setPool(1);
    const whole = await client.responses.create({ model: "m", input: "hi" });
    const streamed = await client.responses.stream({ model: "m", input: "hi" }).finalResponse();
    expect(whole.output_text).toBe("All is well ✓");
    expect(streamed.output).toMatchObject([{ type: "message", content: [{ text: "All is well ✓" }] }]);
  });

  test("what a node cannot do is 400 that names the field, and another node is not asked for it", async () => {
    const { client, nodes } = await setPool(2);
    const tools = [{ type: "function" as const, name: "f", parameters: {}, strict: false }];
    const asking = client.responses.create({ model: "m", input: "hi", tools, tool_choice: "required" });
    const error = await asking.then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ status: 400, code: "unsupported_parameter", param: "tool_choice" });
    expect(nodes.flatMap(({ bodies }) => bodies)).toEqual([]);
  });
});
