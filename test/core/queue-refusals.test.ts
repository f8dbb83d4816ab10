/** Each 429 of the queue in the form that clients understand: OpenAI's body, and when to try again. */
import { describe, expect, test } from "bun:test";
import { type SynapticError, toOpenAi } from "../../src/core/errors.ts";
import { queueFull, serverFull, stillQueued, waitedTooLong } from "../../src/core/queue-refusals.ts";

const ALL: readonly (readonly [string, SynapticError])[] = [
  ["a full queue", queueFull({ model: "m", full: "model", bound: 256, estimateMs: 12_400 })],
  ["a full queue of one key", queueFull({ model: "m", full: "key", bound: 128, estimateMs: null })],
  ["a wait that was too long", waitedTooLong("m", 600_000, 700_000)],
  ["a whole answer that is held no longer", stillQueued("m", { position: 3, estimateMs: 1 })],
  ["a full server", serverFull(1_024)],
];

describe("a refusal", () => {
  test.each(ALL)("for %s is a 429 that clients retry, all four fields set", (_, error) => {
    const { status, headers, body } = toOpenAi(error);
    expect(status).toBe(429);
    expect(body.error).toMatchObject({ type: "rate_limit_error", code: "rate_limit_exceeded", param: null });
    // 60 and more is ignored by the AI SDK; without it LangChain does not retry.
    expect(Number(headers["retry-after"])).toBeWithin(1, 60);
    expect(headers["x-should-retry"]).toBeUndefined();
  });

  test("says when to come again in words that Codex reads, and the same in Retry-After", () => {
    const { headers, body } = toOpenAi(queueFull({ model: "m", full: "model", bound: 256, estimateMs: 12_400 }));
    expect(body.error.message).toBe(
      "Cannot take the request: the queue for the model 'm' is full (256 of 256) (try again in 13s; synaptic.queue.perModel sets how many may wait)",
    );
    expect(headers["retry-after"]).toBe("13");
  });

  test("keeps to 1..59 s in both, however long or short the wait", () => {
    expect(waitedTooLong("m", 600_000, 700_000).hint).toStartWith("try again in 59s; ");
    expect(stillQueued("m", { position: 3, estimateMs: 1 }).hint).toStartWith("try again in 1s; ");
  });

  test("says nothing of a time that is unknown", () => {
    expect(serverFull(1_024).hint).toStartWith("try again later; ");
  });
});
