/** What Prometheus reads: counters of requests, and gauges taken from the snapshot at each scrape. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Snapshot } from "../core/snapshot.ts";

export interface RequestRecord {
  readonly model: string;
  readonly route: string;
  readonly status: number;
  readonly firstByteMs: number | null;
  readonly totalMs: number;
  /** For its slot; null when it got none. */
  readonly waitedMs: number | null;
  /** Why it got no slot: nobody else could wait, or it waited for too long; null when that was not the reason. */
  readonly rejected: "queue_full" | "waited" | null;
}

/** `resumed`: it goes on; `rerun`: whole answers; `refused`: its class cannot; `failed`: no coordinator in time. */
export type ResumeOutcome = "resumed" | "rerun" | "refused" | "failed";

export interface Metrics {
  record(request: RequestRecord): void;
  /** One more that the whole server was too full for; its model is not known yet. */
  turnAway(): void;
  /** One more answer of which a part was lost with its coordinator. */
  resume(model: string, outcome: ResumeOutcome): void;
  /** The text format; the media type to send it with. */
  render(snapshot: Snapshot): Promise<{ readonly text: string; readonly contentType: string }>;
}

const SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** Counters start at zero; they live as long as what this returns. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const requests = new Counter({
    name: "synaptic_requests_total",
    help: "Answered requests",
    labelNames: ["model", "route", "status"],
    registers,
  });
  const firstByte = new Histogram({
    name: "synaptic_first_byte_seconds",
    help: "From a request to the first byte of its answer",
    labelNames: ["model", "route"],
    buckets: SECONDS,
    registers,
  });
  const total = new Histogram({
    name: "synaptic_request_seconds",
    help: "From a request to the end of its answer",
    labelNames: ["model", "route"],
    buckets: SECONDS,
    registers,
  });
  const waits = new Histogram({
    name: "synaptic_queue_wait_seconds",
    help: "From asking for a slot, or for a load, to getting the slot",
    labelNames: ["model"],
    buckets: SECONDS,
    registers,
  });
  const rejected = new Counter({
    name: "synaptic_requests_rejected_total",
    help: "Requests that got 429 instead of a slot: queue_full, waited, or in_flight (the whole server is full)",
    labelNames: ["model", "reason"],
    registers,
  });
  const resumes = new Counter({
    name: "synaptic_resumes_total",
    help: "Answers whose coordinator died after their first byte: resumed, rerun (whole ones), refused or failed",
    labelNames: ["model", "outcome"],
    registers,
  });
  const gauge = (name: string, help: string, labelNames: string[]) => new Gauge({ name, help, labelNames, registers });
  const backends = gauge("synaptic_backend_state", "1 for the state that a backend is in", ["endpoint", "state"]);
  const layers = gauge("synaptic_backend_layers", "Layers seen on a backend", ["endpoint", "model"]);
  const bytes = gauge("synaptic_backend_bytes", "Bytes seen on a backend", ["endpoint", "model", "what"]);
  const coordinators = gauge("synaptic_coordinator_state", "1 for the state that a coordinator is in", [
    "model",
    "state",
  ]);
  const busy = gauge("synaptic_slots_busy", "Slots that serve a request", ["model"]);
  const queued = gauge("synaptic_queue_length", "Requests that wait for a slot or a load", ["model"]);
  const inFlight = gauge("synaptic_requests_in_flight", "Requests that are answered or wait, of all models", []);
  const restarts = gauge("synaptic_coordinator_restarts", "Starts of a coordinator after its first", ["model"]);

  return {
    record({ model, route, status, firstByteMs, totalMs, waitedMs, rejected: reason }) {
      requests.inc({ model, route, status: String(status) });
      if (firstByteMs !== null) firstByte.observe({ model, route }, firstByteMs / 1000);
      total.observe({ model, route }, totalMs / 1000);
      if (waitedMs !== null) waits.observe({ model }, waitedMs / 1000);
      if (reason !== null) rejected.inc({ model, reason });
    },
    turnAway: () => rejected.inc({ model: "", reason: "in_flight" }),
    resume: (model, outcome) => resumes.inc({ model, outcome }),
    async render(snapshot) {
      for (const each of [backends, layers, bytes, coordinators, busy, queued, restarts]) each.reset();
      inFlight.set(snapshot.requests.inFlight);
      for (const { endpoint, state } of snapshot.backends) backends.set({ endpoint, state }, 1);
      for (const { model, state, slots, queue, proof, restarts: count } of snapshot.coordinators) {
        coordinators.set({ model, state }, 1);
        busy.set({ model }, slots.busy);
        queued.set({ model }, queue.length);
        restarts.set({ model }, count);
        for (const seen of proof?.backends ?? []) {
          const { endpoint } = seen;
          layers.set({ endpoint, model }, seen.layers);
          bytes.set({ endpoint, model, what: "model" }, seen.modelBytes);
          bytes.set({ endpoint, model, what: "kv" }, seen.kvBytes);
          bytes.set({ endpoint, model, what: "compute" }, seen.computeBytes);
        }
      }
      return { text: await registry.metrics(), contentType: registry.contentType };
    },
  };
}
