/** A supervisor with everything around it faked, and its main story. */
import { SynapticError } from "../../src/core/errors.ts";
import type { Cause } from "../../src/core/llama-failure.ts";
import type { Endpoint } from "../../src/core/units.ts";
import type { Prepared } from "../../src/engine/child.ts";
import type { Lease, LossListener } from "../../src/engine/lease.ts";
import { createLoadHistory } from "../../src/engine/load-history.ts";
import type { Ports } from "../../src/engine/ports.ts";
import { Supervisor } from "../../src/engine/supervisor.ts";
import { createFakeClock } from "../fakes/clock.ts";
import { type FakeChild, FakeLlama } from "../fakes/llama-port.ts";
import { createRecordedLog } from "../fakes/log.ts";
import { ScriptedRpc } from "../fakes/rpc-port.ts";
import { createFakeState } from "../fakes/state.ts";
import { logOfPlan } from "../fixtures/engine-log.ts";
import { planned, R24 } from "../fixtures/model-facts.ts";

export const NEVER = new AbortController().signal;
export const PLAN = planned({ facts: R24 });
/** What a child prints that loads as planned. */
export const GOOD_LOG = logOfPlan(PLAN);

export interface FakeLease extends Lease {
  released: number;
  /** A backend is lost, as its sentinel sees it. */
  lose(reason: string): void;
  guarded: boolean;
}

export function createFakeLease(endpoints: readonly Endpoint[]): FakeLease {
  let listener: LossListener = () => {};
  const lease: FakeLease = {
    endpoints,
    holder: PLAN.model,
    released: 0,
    guarded: false,
    async guard(onLost) {
      lease.guarded = true;
      listener = onLost;
    },
    release: () => void lease.released++,
    lose: (reason) => listener(endpoints[0] ?? "10.0.0.1:50052", reason),
  };
  return lease;
}

const unused = () => Promise.reject(new Error("unused"));

/** Nothing is prepared, loaded or said before the test says so, unless `prepare` is given. */
export function setUp(prepare?: (signal: AbortSignal) => Promise<Prepared | null>) {
  const llama = new FakeLlama();
  const clock = createFakeClock();
  const log = createRecordedLog();
  const leases: FakeLease[] = [];
  const failures: Cause[] = [];
  const rpc = new ScriptedRpc();
  const ports: Ports = {
    clock,
    log,
    llama,
    http: llama,
    rpc: { probe: rpc.probe.bind(rpc), openSentinel: rpc.openSentinel.bind(rpc) },
    models: { read: unused, examine: unused, projector: unused, list: unused, stored: unused },
    ollama: { poll: unused, unload: unused },
    random: { token: () => "secret" },
    machine: { memory: () => ({ freeBytes: 64 * 1024 ** 3, totalBytes: 64 * 1024 ** 3 }) },
    state: createFakeState(),
    timingModel: unused,
  };
  const prepareNow = async (): Promise<Prepared> => {
    const lease = createFakeLease(PLAN.backends.map(({ endpoint }) => endpoint));
    leases.push(lease);
    return { plan: PLAN, facts: R24, lease, enginePath: "/usr/bin/llama-server", env: {} };
  };
  const supervisor: Supervisor = new Supervisor(ports, {
    model: PLAN.model,
    queue: { perModel: 256, perKey: 128, longestWaitMs: 600_000 },
    prepare: prepare ?? prepareNow,
    onFailure: (cause) => failures.push(cause),
    history: createLoadHistory(ports.state),
    pinned: false,
    keepMs: Number.POSITIVE_INFINITY,
    // Nobody else is there: it is always its turn.
    onChange: () => supervisor.takeTurn(),
  });
  const state = () => supervisor.snapshot().state;
  /** To ready, with one grant that is given back. */
  const makeReady = async (): Promise<void> => {
    const grant = supervisor.acquire(NEVER);
    await clock.advance(0);
    llama.child.load(GOOD_LOG);
    await clock.advance(100);
    (await grant).release();
  };
  return { llama, clock, log, leases, failures, ports, supervisor, state, prepareNow, makeReady };
}

/** Last lines of an engine that lost a backend: before and after the connection stood. */
export const DEAD = "./src/ggml-rpc/ggml-rpc.cpp:650: Failed to connect to 10.0.0.2:50052";
export const GONE = "ggml-rpc.cpp:682: Remote RPC server crashed or returned malformed response";

/** The errors that these promises were rejected with. */
export async function errorsOf(promises: readonly Promise<unknown>[]): Promise<readonly SynapticError[]> {
  const settled = await Promise.allSettled(promises);
  return settled.flatMap((each) =>
    each.status === "rejected" && each.reason instanceof SynapticError ? [each.reason] : [],
  );
}

export function dying(child: FakeChild, line: string): void {
  child.say(line);
  child.exit(134);
}
