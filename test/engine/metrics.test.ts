/** The metrics are the snapshot in Prometheus' text format: what has gone from the one is gone from the other. */
import { describe, expect, test } from "bun:test";
import type { BackendSnapshot, CoordinatorSnapshot, Snapshot } from "../../src/core/snapshot.ts";
import { createMetrics } from "../../src/engine/metrics.ts";
import { planned, R24 } from "../fixtures/model-facts.ts";

const PLAN = planned({ facts: R24 });

const BACKEND: BackendSnapshot = {
  endpoint: "10.0.0.1:50052",
  machine: "10.0.0.1",
  state: "leased",
  since: "2026-11-24T18:00:00.000Z",
  reason: "",
  protocol: "8.0.0",
  rttMs: 0.4,
  devices: [],
  lease: "m",
};

const COORDINATOR: CoordinatorSnapshot = {
  model: "m",
  state: "ready",
  since: "2026-11-24T18:00:00.000Z",
  phase: null,
  drainingFor: null,
  pinned: false,
  keepUntil: null,
  pid: 1,
  progress: null,
  etaMs: null,
  slots: { total: 4, busy: 2 },
  queue: { length: 3, oldestMs: 10 },
  tokensPerSecond: 42,
  restarts: 1,
  lastFailure: null,
  plan: { ...PLAN, command: [] },
  proof: { ...PLAN, proven: true, problems: [] },
};

const SNAPSHOT: Snapshot = {
  version: "0.1.0",
  startedAt: "2026-11-24T18:00:00.000Z",
  ready: true,
  engine: null,
  engineFailure: null,
  head: { freeBytes: 0, totalBytes: 0 },
  backends: [BACKEND],
  nodes: [],
  coordinators: [COORDINATOR],
  requests: { inFlight: 5, limit: 1024 },
};

/** Samples, without help and types. */
async function samples(metrics: ReturnType<typeof createMetrics>, snapshot: Snapshot): Promise<readonly string[]> {
  const { text } = await metrics.render(snapshot);
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

describe("render()", () => {
  test("shows states, layers and bytes as seen, and who waits", async () => {
    const lines = await samples(createMetrics(), SNAPSHOT);
    expect(lines).toContain('synaptic_backend_state{endpoint="10.0.0.1:50052",state="leased"} 1');
    expect(lines).toContain('synaptic_backend_layers{endpoint="10.0.0.1:50052",model="m"} 9');
    expect(lines).toContain('synaptic_backend_bytes{endpoint="10.0.0.1:50052",model="m",what="kv"} 18874368');
    expect(lines).toContain('synaptic_coordinator_state{model="m",state="ready"} 1');
    expect(lines).toContain('synaptic_queue_length{model="m"} 3');
    expect(lines).toContain('synaptic_coordinator_restarts{model="m"} 1');
    expect(lines.filter((line) => /slots.*\b2$/.test(line))).toHaveLength(1);
  });

  test("forgets what the snapshot no longer has", async () => {
    const metrics = createMetrics();
    await samples(metrics, SNAPSHOT);
    const down = { ...SNAPSHOT, backends: [{ ...BACKEND, state: "down" as const }], coordinators: [] };
    const lines = await samples(metrics, down);
    expect(lines.filter((line) => line.includes("10.0.0.1"))).toEqual([
      'synaptic_backend_state{endpoint="10.0.0.1:50052",state="down"} 1',
    ]);
    expect(lines.filter((line) => line.includes('model="m"'))).toEqual([]);
  });

  test("claims no layers before they are proven", async () => {
    const lines = await samples(createMetrics(), { ...SNAPSHOT, coordinators: [{ ...COORDINATOR, proof: null }] });
    expect(lines.filter((line) => line.startsWith("synaptic_backend_layers"))).toEqual([]);
  });

  test("quotes what a model's name may hold", async () => {
    const odd = { ...COORDINATOR, model: 'a"b\\c\nd', proof: null };
    const lines = await samples(createMetrics(), { ...SNAPSHOT, coordinators: [odd] });
    expect(lines).toContain('synaptic_queue_length{model="a\\"b\\\\c\\nd"} 3');
  });
});

describe("record()", () => {
  test("counts answers by status, and their times; a first byte that never came is not timed", async () => {
    const metrics = createMetrics();
    const request = { model: "m", route: "shard", totalMs: 1_500, waitedMs: null, rejected: null };
    metrics.record({ ...request, status: 200, firstByteMs: 80 });
    metrics.record({ ...request, status: 200, firstByteMs: 80 });
    metrics.record({ ...request, status: 502, firstByteMs: null });
    const lines = await samples(metrics, { ...SNAPSHOT, coordinators: [] });
    expect(lines).toContain('synaptic_requests_total{model="m",route="shard",status="200"} 2');
    expect(lines).toContain('synaptic_requests_total{model="m",route="shard",status="502"} 1');
    expect(lines).toContain('synaptic_first_byte_seconds_count{model="m",route="shard"} 2');
    expect(lines).toContain('synaptic_request_seconds_sum{model="m",route="shard"} 4.5');
    expect(lines).toContain('synaptic_first_byte_seconds_bucket{le="0.1",model="m",route="shard"} 2');
    expect(lines.filter((line) => /queue_wait|rejected/.test(line))).toEqual([]);
  });

  test("times the waits of those that got a slot, and counts those that got none by the reason", async () => {
    const metrics = createMetrics();
    const request = { model: "m", route: "shard", firstByteMs: null, totalMs: 1_500 };
    metrics.record({ ...request, status: 200, waitedMs: 0, rejected: null });
    metrics.record({ ...request, status: 200, waitedMs: 1_200, rejected: null });
    metrics.record({ ...request, status: 429, waitedMs: null, rejected: "queue_full" });
    metrics.record({ ...request, status: 429, waitedMs: null, rejected: "waited" });
    metrics.turnAway();
    const lines = await samples(metrics, SNAPSHOT);
    expect(lines).toContain('synaptic_queue_wait_seconds_count{model="m"} 2');
    expect(lines).toContain('synaptic_queue_wait_seconds_sum{model="m"} 1.2');
    expect(lines).toContain('synaptic_requests_rejected_total{model="m",reason="queue_full"} 1');
    expect(lines).toContain('synaptic_requests_rejected_total{model="m",reason="waited"} 1');
    expect(lines).toContain('synaptic_requests_rejected_total{model="",reason="in_flight"} 1');
    expect(lines).toContain("synaptic_requests_in_flight 5");
  });
});
