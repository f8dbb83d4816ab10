/** The table of `synaptic measure`. */
import { expect, test } from "bun:test";
import { renderMeasured } from "../../src/cli/measure.ts";

test("renderMeasured() has a line for each, with its speed or why it has none", () => {
  const timing = {
    bytesPerSecond: 12_345_000_000,
    tokensPerSecond: 41.26,
    build: "0.7.0 (11669)",
    measuredAt: "2026-11-24T18:00:00.000Z",
  };
  const text = renderMeasured([
    { endpoint: "10.0.0.5:50052", devices: ["accelerator", "cpu"], timing, failure: null },
    {
      endpoint: "10.0.0.6:50052",
      devices: ["cpu"],
      timing: null,
      failure: { code: "too_busy", message: "held for m" },
    },
    { endpoint: "head", devices: [], timing: { ...timing, bytesPerSecond: 9e8, tokensPerSecond: 8 }, failure: null },
  ]);
  expect(text.split("\n")).toEqual([
    "BACKEND         DEVICES               SPEED  TOKENS/S  MEASURED                  LLAMA-SERVER",
    "10.0.0.5:50052  accelerator, cpu  12.3 GB/s      41.3  2026-11-24T18:00:00.000Z  0.7.0 (11669)",
    "10.0.0.6:50052  cpu                       -         -  -                         -              held for m",
    "head node       -                 0.90 GB/s       8.0  2026-11-24T18:00:00.000Z  0.7.0 (11669)",
    "",
  ]);
  expect(renderMeasured([])).toBe("No backends are configured (rpc_backends)\n");
});
