/** Health of one backend: the table of transitions, and its laws over random histories. */
import { describe, expect, test } from "bun:test";
import { isNews, viewBackend } from "../../src/core/backend-view.ts";
import {
  applyEngine,
  applyLease,
  applyLoss,
  applyProbe,
  applyRelease,
  type Health,
  type HealthRules,
  isSuspect,
  machineOf,
  type ProbeResult,
  probeFor,
  reasonOf,
  unknownHealth,
} from "../../src/core/health.ts";

const RULES: HealthRules = { nowMs: 100, failures: 3, successes: 2, engine: null, endpoint: "10.0.0.3:50052" };
const ENGINE_8 = { major: 8, minor: 0 };

function up(major = 8): ProbeResult {
  return {
    tag: "up",
    protocol: { major, minor: 0, patch: 0 },
    devices: [{ index: 0, kind: "cpu", freeBytes: 1, totalBytes: 1 }],
    rttMs: 1,
    address: "10.0.0.3:50052",
  };
}

const REFUSED: ProbeResult = { tag: "refused" };
const SILENT: ProbeResult = { tag: "silent" };
const TIMEOUT: ProbeResult = { tag: "connect-timeout", timeoutMs: 2000 };
const FAILURES: readonly ProbeResult[] = [
  REFUSED,
  { tag: "unreachable", detail: "EHOSTUNREACH" },
  TIMEOUT,
  { tag: "unresolved", detail: "ENOTFOUND" },
  { tag: "broken", detail: "closed the connection" },
  { tag: "alien", detail: "looks like HTTP" },
];

/** Applies results one after another, beginning with a backend nobody has probed. */
function after(results: readonly ProbeResult[], rules: HealthRules = RULES): Health {
  return results.reduce((health, result) => applyProbe(health, result, rules), unknownHealth(0));
}

function leasedHealth(): Health {
  const health = applyLease(after([up()]), "tiny", 200);
  if (!health) throw new Error("an up backend could not be leased");
  return health;
}

describe("applyProbe()", () => {
  test("lets the very first probe decide at once", () => {
    expect(after([up()]).tag).toBe("up");
    expect(after([SILENT]).tag).toBe("busy");
    for (const failure of FAILURES) expect(after([failure]).tag).toBe("down");
  });

  test("takes an up backend down only after three failures in a row", () => {
    for (const failure of FAILURES) {
      expect(after([up(), failure, failure]).tag).toBe("up");
      expect(after([up(), failure, failure, failure]).tag).toBe("down");
      expect(after([up(), failure, failure, up(), failure, failure]).tag).toBe("up");
    }
  });

  test("takes a down backend up only after two answers in a row", () => {
    expect(after([REFUSED, up()]).tag).toBe("down");
    expect(after([REFUSED, up(), REFUSED, up()]).tag).toBe("down");
    expect(after([REFUSED, up(), up()]).tag).toBe("up");
  });

  test("takes a silent HELLO for busy from any state, and an answer for the end of it", () => {
    expect(after([up(), SILENT]).tag).toBe("busy");
    expect(after([REFUSED, SILENT]).tag).toBe("busy");
    expect(after([SILENT, up()]).tag).toBe("up");
  });

  test("keeps a busy backend busy through any number of connect time-outs (facts k)", () => {
    expect(after([SILENT, ...Array<ProbeResult>(50).fill(TIMEOUT)]).tag).toBe("busy");
    expect(after([SILENT, REFUSED, REFUSED, REFUSED]).tag).toBe("down");
  });

  test("says who holds a busy backend, less surely when it has never answered", () => {
    expect(reasonOf(after([up(), SILENT]))).toBe("held by another client");
    expect(reasonOf(after([SILENT]))).toContain("or not an rpc-server");
  });

  test("takes a duplicate down at once, naming the other", () => {
    const health = after([up(), { tag: "duplicate", of: "gpu-box:50052" }]);
    expect(health.tag).toBe("down");
    expect(reasonOf(health)).toContain("gpu-box:50052");
  });

  test("keeps everything when the probe was given up", () => {
    const health = after([up()]);
    expect(applyProbe(health, { tag: "cancelled" }, RULES)).toBe(health);
  });

  test("calls another RPC major incompatible, with both versions in the reason", () => {
    const health = after([up(7)], { ...RULES, engine: { ...ENGINE_8, release: "0.7.0" } });
    expect(health.tag).toBe("incompatible");
    expect(reasonOf(health)).toBe(
      "10.0.0.3:50052 speaks RPC 7.0, this llama-server 8.0: install llama.cpp 0.7.0 on it or run without it",
    );
  });

  test("takes an upgraded server up at once", () => {
    const rules = { ...RULES, engine: ENGINE_8 };
    expect(after([up(7), up(8)], rules).tag).toBe("up");
  });

  test.each([
    [REFUSED, "connection refused: is rpc-server running there?"],
    [{ tag: "alien", detail: "looks like HTTP" }, "answers, but not as an rpc-server (looks like HTTP)"],
    [TIMEOUT, "no connection within 2000 ms: is the machine on, and does its firewall let us in?"],
    [{ tag: "unresolved", detail: "ENOTFOUND" }, "cannot resolve its name: ENOTFOUND"],
  ] satisfies [ProbeResult, string][])("explains %j", (result, reason) => {
    expect(reasonOf(after([result]))).toBe(reason);
  });

  test("moves `sinceMs` with the state only, and keeps what was seen", () => {
    const first = after([up()]);
    const later = applyProbe(first, up(), { ...RULES, nowMs: 900 });
    expect(later.sinceMs).toBe(100);
    const down = applyProbe(first, SILENT, { ...RULES, nowMs: 900 });
    expect(down.sinceMs).toBe(900);
    expect(down.seen?.rttMs).toBe(1);
  });
});

describe("leases", () => {
  test("applyLease() takes an up backend, and no other", () => {
    expect(leasedHealth()).toMatchObject({ tag: "leased", holder: "tiny", sinceMs: 200 });
    for (const health of [unknownHealth(0), after([SILENT]), after([REFUSED]), leasedHealth()]) {
      expect(applyLease(health, "other", 300)).toBeNull();
    }
  });

  test("applyLease() refuses a backend whose last probe failed, though it is not down yet", () => {
    const suspect = after([up(), REFUSED]);
    expect(isSuspect(suspect)).toBe(true);
    expect(applyLease(suspect, "tiny", 300)).toBeNull();
    expect(isSuspect(after([up(), REFUSED, up()]))).toBe(false);
  });

  test("a probe result that comes during a lease changes nothing", () => {
    const health = leasedHealth();
    expect(applyProbe(health, REFUSED, RULES)).toBe(health);
    expect(applyProbe(health, SILENT, RULES)).toBe(health);
  });

  test("a lost backend is down at once, still held, and still not probed", () => {
    const lost = applyLoss(leasedHealth(), "its connection broke", 300);
    expect(lost).toMatchObject({ tag: "down", holder: "tiny", sinceMs: 300 });
    expect(probeFor(lost)).toBe("none");
    expect(applyProbe(lost, up(), RULES)).toBe(lost);
  });

  test("after release the next probe decides at once, but a lost backend needs two answers", () => {
    const released = applyRelease(leasedHealth(), 300);
    expect(released.tag).toBe("unknown");
    expect(applyProbe(released, REFUSED, RULES).tag).toBe("down");
    const lost = applyRelease(applyLoss(leasedHealth(), "gone", 300), 400);
    expect(probeFor(lost)).toBe("hello");
    const once = applyProbe(lost, up(), RULES);
    expect(once.tag).toBe("down");
    expect(reasonOf(once)).toBe("answers again, 1 of 2 times in a row");
    expect(applyProbe(once, up(), RULES).tag).toBe("up");
  });
});

describe("applyEngine()", () => {
  test("judges what was seen before the engine's protocol was known, and takes it back", () => {
    const rules = { ...RULES, engine: ENGINE_8 };
    const judged = applyEngine(after([up(7)]), rules);
    expect(judged.tag).toBe("incompatible");
    expect(applyEngine(judged, { ...RULES, engine: { major: 7, minor: 0 } }).tag).toBe("up");
  });

  test("leaves leased, busy and down backends alone", () => {
    for (const health of [leasedHealth(), after([up(7), SILENT]), after([REFUSED]), unknownHealth(0)]) {
      expect(applyEngine(health, { ...RULES, engine: { major: 1, minor: 0 } })).toBe(health);
    }
  });
});

test("machineOf() folds loopback into one machine", () => {
  expect(machineOf("localhost:50052")).toBe("127.0.0.1");
  expect(machineOf("127.0.1.1:50053")).toBe("127.0.0.1");
  expect(machineOf("10.0.0.3:50052")).toBe("10.0.0.3");
});

test("viewBackend() shows health as the read model has it, and isNews() overlooks a new round-trip time", () => {
  const view = viewBackend("gpu:50052", leasedHealth(), "10.0.0.3:50052");
  expect(view).toEqual({
    endpoint: "gpu:50052",
    machine: "10.0.0.3",
    state: "leased",
    since: "1970-01-01T00:00:00.200Z",
    reason: "",
    protocol: "8.0.0",
    rttMs: 1,
    devices: [{ index: 0, kind: "cpu", freeBytes: 1, totalBytes: 1 }],
    lease: "tiny",
  });
  const leased = leasedHealth();
  expect(isNews(leased, { ...leased, seen: leased.seen && { ...leased.seen, rttMs: 2 } })).toBe(false);
  expect(isNews(leased, applyLoss(leased, "gone", 300))).toBe(true);
});
