import { describe, expect, test } from "bun:test";
import {
  describeError,
  type ErrorCode,
  exitCode,
  fromUnknown,
  SynapticError,
  toOpenAi,
  wrapError,
} from "../../src/core/errors.ts";

/** design.md section 6, as clients see it. */
const ROWS: readonly (readonly [ErrorCode, number, string, string | null, "no" | "after" | "none"])[] = [
  ["bad_request", 400, "invalid_request_error", null, "no"],
  ["context_length_exceeded", 400, "invalid_request_error", "context_length_exceeded", "no"],
  ["unsupported_parameter", 400, "invalid_request_error", "unsupported_parameter", "no"],
  ["unauthorized", 401, "invalid_request_error", "invalid_api_key", "no"],
  ["forbidden", 403, "invalid_request_error", "forbidden", "no"],
  ["model_not_found", 404, "invalid_request_error", "model_not_found", "no"],
  ["unknown_url", 404, "invalid_request_error", "unknown_url", "no"],
  ["method_not_allowed", 405, "invalid_request_error", "unknown_url", "no"],
  ["body_too_large", 413, "invalid_request_error", "request_too_large", "no"],
  ["too_busy", 429, "rate_limit_error", "rate_limit_exceeded", "after"],
  ["internal", 500, "server_error", null, "no"],
  ["model_unreadable", 500, "server_error", "model_unreadable", "no"],
  ["coordinator_failed", 502, "server_error", "upstream_error", "none"],
  ["upstream_error", 502, "server_error", "upstream_error", "no"],
  ["does_not_fit", 503, "server_error", "does_not_fit", "no"],
  ["no_backends", 503, "server_error", "no_backends", "after"],
  ["model_loading", 503, "server_error", "model_loading", "after"],
  ["shutting_down", 503, "server_error", "shutting_down", "after"],
  ["coordinator_timeout", 504, "server_error", "upstream_timeout", "no"],
  ["upstream_timeout", 504, "server_error", "upstream_timeout", "no"],
];

describe("toOpenAi()", () => {
  test.each(ROWS)("%s is %d %s %s, retry: %s", (code, status, type, openAiCode, retry) => {
    const answer = toOpenAi(new SynapticError(code, "Something"));
    expect(answer.status).toBe(status);
    expect(answer.body).toEqual({ error: { message: "Something", type, param: null, code: openAiCode } });
    expect(answer.headers["x-should-retry"]).toBe(retry === "no" ? "false" : undefined);
    expect(answer.headers["retry-after"]).toBe(retry === "after" ? "5" : undefined);
  });

  test("puts the hint behind the message, and the field and OpenAI's own code where they belong", () => {
    const error = new SynapticError("bad_request", "Wrong", { hint: "do right", param: "n", detail: "invalid_type" });
    expect(toOpenAi(error).body.error).toEqual({
      message: "Wrong (do right)",
      type: "invalid_request_error",
      param: "n",
      code: "invalid_type",
    });
  });

  test.each([
    [0, "1"],
    [1, "1"],
    [1_001, "2"],
    [59_000, "59"],
    [3_600_000, "59"],
  ])("asks to try again after %d ms with retry-after %s: what all clients obey", (retryAfterMs, seconds) => {
    expect(toOpenAi(new SynapticError("too_busy", "x", { retryAfterMs })).headers["retry-after"]).toBe(seconds);
  });

  test("says how to authenticate", () => {
    expect(toOpenAi(new SynapticError("unauthorized", "x")).headers["www-authenticate"]).toBe("Bearer");
  });
});

describe("wrapError()", () => {
  test("leaves one of ours as it is", () => {
    const error = new SynapticError("too_busy", "Full");
    expect(wrapError("internal", "Cannot go on", error)).toBe(error);
    expect(fromUnknown(error)).toBe(error);
  });

  test.each([
    ["an error", new Error("broken"), "broken"],
    ["a text", "text", "text"],
    ["nothing", undefined, "undefined"],
    ["null", null, "null"],
  ])("says what failed and keeps the cause: %s", (_, thrown, words) => {
    const error = wrapError("upstream_error", "Cannot ask", thrown);
    expect(error.message).toBe(`Cannot ask: ${words}`);
    expect(error.cause).toBe(thrown);
    expect(fromUnknown(thrown)).toMatchObject({ code: "internal", message: `Cannot go on: ${words}` });
  });
});

test("exitCode() is 2 for misuse and a bad config, 1 for trouble", () => {
  const codes = (["usage", "config_invalid", "config_missing", "internal", "no_backends"] as const).map((code) =>
    exitCode(new SynapticError(code, "x")),
  );
  expect(codes).toEqual([2, 2, 2, 1, 1]);
});

test("describeError() puts the hint on its own line", () => {
  expect(describeError(new SynapticError("usage", "Wrong", { hint: "do right" }))).toBe("Wrong\n  do right");
  expect(describeError(new SynapticError("usage", "Wrong"))).toBe("Wrong");
});
