import { describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { checkOpenAiRequest, type Dialect, readOpenAiBody } from "../../src/core/openai-request.ts";

function parse(body: unknown, dialect: Dialect = "chat") {
  const read = readOpenAiBody(new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body)));
  return { model: read.model, ...checkOpenAiRequest(read.fields, dialect) };
}

const messages = [{ role: "user", content: "hi" }];

describe("readOpenAiBody() and checkOpenAiRequest()", () => {
  test("takes what it needs and lets everything else be", () => {
    expect(parse({ model: "m", messages, anything: [1e300, { n: null }] })).toEqual({ model: "m", stream: false });
    expect(parse({ model: "m", messages, stream: true })).toEqual({ model: "m", stream: true });
    expect(parse({ model: "m", prompt: "x", messages: 5 }, "completion")).toEqual({ model: "m", stream: false });
  });

  test.each([["x"], [["x", "y"]], [[1, 2]], [[[1], [2]]], [{ prompt_string: "x", multimodal_data: ["AA=="] }]])(
    "takes a prompt as %j",
    (prompt) => {
      expect(parse({ model: "m", prompt }, "completion").model).toBe("m");
    },
  );

  test("takes what tools send back: content null, parts, calls", () => {
    const spoken = [
      { role: "assistant", content: null, tool_calls: [{ id: "1", type: "function", function: { name: "f" } }] },
      { role: "tool", tool_call_id: "1", content: [{ type: "text", text: "x" }] },
      { role: "user", content: [{ type: "input_audio", input_audio: { data: "AA==", format: "wav" } }, null] },
    ];
    expect(parse({ model: "m", messages: spoken }).model).toBe("m");
  });

  test("reads text of any language, and a byte order mark", () => {
    expect(parse(`\ufeff{"model":"日本語👩🏽‍🚀","messages":[{"role":"user"}]}`).model).toBe("日本語👩🏽‍🚀");
  });

  test("is not fooled by names that objects have anyway", () => {
    const error = (body: string): unknown => {
      try {
        return parse(body);
      } catch (thrown) {
        return thrown;
      }
    };
    expect(error('{"__proto__":{"model":"m"},"messages":[{"role":"user"}]}')).toMatchObject({ model: null });
    expect(error('{"model":"m","messages":{"length":1,"0":{"role":"user"}}}')).toMatchObject({ param: "messages" });
    expect(error("null")).toBeInstanceOf(SynapticError);
  });
});
