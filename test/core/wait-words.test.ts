/** What those are told who wait. */
import { expect, test } from "bun:test";
import { stillWaiting, waitWords } from "../../src/core/wait-words.ts";

const LOADING = { phase: "loading", progress: 0.61, etaMs: 39_600 } as const;

test("waitWords() tells a place in the queue, else how far the load is, each with an estimate where there is one", () => {
  expect(waitWords({ position: 3, estimateMs: 12_200 }, null)).toBe("queued 3, ~12s");
  expect(waitWords({ position: 1, estimateMs: null }, LOADING)).toBe("queued 1");
  expect(waitWords(null, LOADING)).toBe("loading 61%, ~40s");
  expect(waitWords(null, { ...LOADING, etaMs: null })).toBe("loading 61%");
  expect(waitWords(null, { ...LOADING, etaMs: 3 })).toBe("loading 61%, ~1s");
  expect(waitWords(null, { ...LOADING, progress: null })).toBe("waiting for the model");
  expect(waitWords(null, { ...LOADING, phase: "queued" })).toBe("waiting for room");
  expect(waitWords(null, null)).toBe("waiting for the model");
});

test("stillWaiting() says when to come again: when the load should be over, a minute at most", () => {
  expect(stillWaiting("m", null, LOADING)).toMatchObject({
    code: "model_loading",
    message: "The model 'm' is still loading (61 %), about 40 s to go",
    retryAfterMs: 39_600,
  });
  expect(stillWaiting("m", null, { ...LOADING, etaMs: 300_000 }).retryAfterMs).toBe(59_000);
  expect(stillWaiting("m", null, { ...LOADING, etaMs: null, progress: null })).toMatchObject({
    message: "The model 'm' is still loading",
    retryAfterMs: 15_000,
  });
  expect(stillWaiting("m", null, { ...LOADING, phase: "queued" }).message).toBe(
    "The model 'm' waits for other models to make room",
  );
  expect(stillWaiting("m", { position: 2, estimateMs: null }, LOADING).code).toBe("too_busy");
});
