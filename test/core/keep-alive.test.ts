/** readKeepAlive(): Ollama's `keep_alive`, and what the config takes. */
import { expect, test } from "bun:test";
import { settingsFor } from "../../src/core/config-models.ts";
import { readKeepAlive } from "../../src/core/keep-alive.ts";
import { accepted, refusal } from "./config-support.ts";

const FOR_EVER = Number.POSITIVE_INFINITY;

test.each([
  [300, 300_000],
  [0.5, 500],
  [0, 0],
  [-1, FOR_EVER],
  ["10m", 600_000],
  ["1h30m", 5_400_000],
  ["1.5s", 1_500],
  ["250ms", 250],
  ["300", 300_000],
  ["0", 0],
  ["-1", FOR_EVER],
  ["-5m", FOR_EVER],
  ["99999999h", FOR_EVER],
  [1e300, FOR_EVER],
])("%p is %p ms", (value, ms) => {
  expect(readKeepAlive(value)).toBe(ms);
});

test.each(["", "m", "10 m", "ten", "10m5", "1d", "--1", " 5m", Number.NaN, null, undefined, true, {}])(
  "%p is no duration",
  (value) => {
    expect(readKeepAlive(value)).toBeNull();
  },
);

test("the config takes it for all models and for one, and refuses what is none", () => {
  const settings = { a: { keepAlive: 0, pin: true }, b: {} };
  const config = accepted({ synaptic: { keepAlive: "10m", models: { settings } } });
  expect(config.keepAliveMs).toBe(600_000);
  expect(settingsFor(config, "a")).toMatchObject({ keepAliveMs: 0, pin: true });
  expect(settingsFor(config, "b")).toMatchObject({ keepAliveMs: 600_000, pin: false });
  expect(accepted({}).keepAliveMs).toBe(FOR_EVER);
  expect(refusal({ synaptic: { keepAlive: "soon" } })).toContain(
    'synaptic.keepAlive: expected a duration such as "10m", a number of seconds, or -1 for ever, found "soon"',
  );
});

test("the config says when models in use make room", () => {
  expect(accepted({}).swap).toEqual({ longestWaitMs: 10_000, leastResidencyMs: 30_000 });
  const { swap, sources } = accepted({ synaptic: { swap: { longestWaitMs: 0 } } });
  expect(swap).toEqual({ longestWaitMs: 0, leastResidencyMs: 30_000 });
  expect(sources["swap.longestWaitMs"]).toEndWith("synaptic.swap.longestWaitMs");
});
