/** The report of `prove` and the tables: what they say when all is well, and when it is not. */
import { describe, expect, test } from "bun:test";
import { table } from "../../src/cli/render.ts";
import { renderReport } from "../../src/cli/report.ts";
import type { Plan } from "../../src/core/plan-types.ts";
import type { Proof } from "../../src/core/proof.ts";
import type { CoordinatorSnapshot, Snapshot } from "../../src/core/snapshot.ts";

const AT = new Date("2026-11-24T18:00:00Z");
const SPEECH = { model: "m", text: "All is well", promptPerSecond: 10, tokensPerSecond: null };
const SNAPSHOT: Snapshot = {
  version: "0.1.0",
  startedAt: AT.toISOString(),
  ready: true,
  engine: null,
  engineFailure: null,
  head: { freeBytes: 0, totalBytes: 0 },
  backends: [],
  nodes: [],
  coordinators: [],
  requests: { inFlight: 0, limit: 1024 },
};
const SHARE = { layers: 3, modelBytes: 1024, kvBytes: 0, computeBytes: 10 };
const BACKEND = { endpoint: "a:1", ...SHARE, devices: [{ index: 0, kind: "cpu", ...SHARE }] } as const;
const HEAD = { modelBytes: 5, computeBytes: 0, devices: [] };
const PROOF: Proof = {
  proven: true,
  problems: [],
  totalLayers: 3,
  offloadedLayers: 3,
  backends: [BACKEND],
  head: HEAD,
};

function coordinator(proof: Proof | null): CoordinatorSnapshot {
  // The report reads no more of the plan than this.
  const seen = { contextPerSlot: { alone: 4096, even: 1024 }, backends: [BACKEND], head: HEAD };
  const plan = { model: "m", ...seen, reasons: ["spread"], command: ["llama-server"] } as never;
  return {
    model: "m",
    state: "ready",
    since: AT.toISOString(),
    phase: null,
    drainingFor: null,
    pinned: false,
    keepUntil: null,
    pid: 1,
    progress: null,
    etaMs: null,
    slots: { total: 1, busy: 0 },
    queue: { length: 0, oldestMs: null },
    tokensPerSecond: null,
    restarts: 0,
    lastFailure: null,
    plan: plan as Plan & { command: string[] },
    proof,
  };
}

function report(proof: Proof | null, speech = SPEECH) {
  return renderReport({ snapshot: SNAPSHOT, coordinator: coordinator(proof), speech, at: AT });
}

describe("renderReport()", () => {
  test("says PROVEN when every backend holds layers and the model spoke", () => {
    const { proven, text } = report(PROOF);
    expect(proven).toBe(true);
    expect(text).toContain("PROVEN: 3 of 3 layers of m lie on 1 RPC backend, as planned");
    expect(text).toContain("Prompt 10.0 tokens/s, eval not measured");
  });

  const doubts = [
    {
      what: "the head node alone holds the model",
      proof: { ...PROOF, backends: [] },
      says: "no RPC backend takes part",
    },
    {
      what: "a backend holds nothing",
      proof: { ...PROOF, backends: [{ ...BACKEND, layers: 0 }] },
      says: "a:1 holds nothing",
    },
    {
      what: "the proof has a problem",
      proof: { ...PROOF, problems: ["a:1 holds 2 layers"] },
      says: "a:1 holds 2 layers",
    },
    { what: "there is no proof", proof: null, says: "the coordinator has no proof" },
  ];
  test.each(doubts)("says NOT PROVEN when $what", ({ proof, says }) => {
    const { proven, text } = report(proof);
    expect(proven).toBe(false);
    expect(text).toContain(`NOT PROVEN: ${says}`);
  });

  test("says NOT PROVEN when the model said nothing", () => {
    expect(report(PROOF, { ...SPEECH, text: " \n" }).proven).toBe(false);
  });

  test("keeps a text with backticks inside its fence", () => {
    expect(report(PROOF, { ...SPEECH, text: "```\n# Title\n```" }).text).toContain("\n````\n```\n# Title\n```\n````\n");
  });
});

test("table() aligns quantities to the right, dashes among them, and words to the left", () => {
  const rows = [
    ["a", "9", "1.0 KiB", "-"],
    ["longer", "-", "12.0 MiB", "-"],
  ];
  expect(table(["WHERE", "LAYERS", "MODEL", "LEASE"], rows)).toBe(
    `WHERE   LAYERS     MODEL  LEASE\na            9   1.0 KiB  -\nlonger       -  12.0 MiB  -\n`,
  );
});
