import { describe, expect, test } from "bun:test";
import { fromErrorFrame, fromUpstream } from "../../src/core/upstream-error.ts";

function said(code: number, message: string, more: object = {}): string {
  return JSON.stringify({ error: { code, message, type: "x", ...more } });
}

describe("fromUpstream()", () => {
  test.each<[number, string, string]>([
    [400, "'messages' is required", "bad_request"],
    [404, "File Not Found", "bad_request"],
    [413, "too large", "body_too_large"],
    [501, "This server does not support embeddings", "unsupported_parameter"],
    [503, "Loading model", "model_loading"],
    // Ours, not the client's: the key is between us and llama-server.
    [401, "Invalid API Key", "upstream_error"],
    [403, "no", "upstream_error"],
    [500, "Something broke", "upstream_error"],
    [502, "x", "upstream_error"],
    [302, "", "upstream_error"],
    // As 0.7.0 answers clients' faults.
    [
      500,
      "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
      "bad_request",
    ],
    [500, "Failed to parse tools: Expected 'tools' to be an array", "bad_request"],
    [500, "Failed to parse messages: Missing 'role' in message", "bad_request"],
    [500, "Unknown reasoning format: x", "bad_request"],
    [500, "Context size has been exceeded.", "too_busy"],
  ])("%d %j is %s", (status, message, code) => {
    expect(fromUpstream(status, said(status, message)).code).toBe(code as ReturnType<typeof fromUpstream>["code"]);
  });

  test.each<[string, string]>([
    ["Field 'temperature': [json.exception.type_error.302] type must be number, but is string", "temperature"],
    ["Field 'n': Value must be between 1 <= value <= 2, but got 3", "n"],
    ["'messages' is required", "messages"],
    ['"prompt" must not be empty', "prompt"],
  ])("names the field of %j", (message, param) => {
    expect(fromUpstream(400, said(400, message))).toMatchObject({ param, detail: "invalid_value" });
  });

  test("names no field where none is named", () => {
    expect(fromUpstream(400, said(400, "All non-assistant messages must contain 'content'")).param).toBeUndefined();
  });

  test("speaks of the context in the words that clients look for", () => {
    const more = { type: "exceed_context_size_error", n_prompt_tokens: 2820, n_ctx: 512 };
    const error = fromUpstream(400, said(400, "request exceeds", more));
    expect(error).toMatchObject({ code: "context_length_exceeded", param: "messages" });
    expect(error.message).toBe(
      "The prompt is too long: this model's maximum context length is 512 tokens, the request has 2820",
    );
    expect(fromUpstream(400, said(400, "too long", { type: more.type })).message).toBe("too long");
  });

  test("a text that an embedding model cannot read in one piece is too long", () => {
    const message =
      "input (302 tokens) is too large to process. increase the physical batch size (current batch size: 256)";
    const error = fromUpstream(500, said(500, message));
    expect(error).toMatchObject({ code: "context_length_exceeded", param: "input" });
    expect(error.message).toContain("maximum context length is 256 tokens");
  });

  test.each(["", "<html>", "null", "[]", '{"error":"text"}', '{"error":null}', '{"error":{"message":5}}'])(
    "makes something of a body like %j",
    (text) => {
      const error = fromUpstream(500, text);
      expect(error.code).toBe("upstream_error");
      expect(error.message).toContain(text || "status 500");
    },
  );

  test("shows no more than a piece of a long body", () => {
    expect(fromUpstream(500, "x".repeat(10_000)).message.length).toBeLessThan(400);
  });
});

describe("fromErrorFrame()", () => {
  test("reads an error within a stream by its own code", () => {
    expect(fromErrorFrame(`data: ${said(500, "Something broke")}\n\n`)?.code).toBe("upstream_error");
    expect(fromErrorFrame(`data: ${said(400, "'n' is wrong")}\n\n`)).toMatchObject({ code: "bad_request", param: "n" });
    expect(fromErrorFrame('data: {"error":{}}')?.message).toBe("llama-server failed: no reason given");
  });

  test.each(['data: {"error":{"mess', "data: [DONE]", ""])("finds none in %j", (text) => {
    expect(fromErrorFrame(text)).toBeNull();
  });
});
