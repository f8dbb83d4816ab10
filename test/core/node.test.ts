/** A node's state: up and down by several polls, what is quiet there, and how long to leave a dead one alone. */
import { describe, expect, test } from "bun:test";
import {
  applyPoll,
  isSuspectNode,
  machineOfNode,
  type NodeHealth,
  type NodePoll,
  pauseAfter,
  unknownNode,
  viewNode,
} from "../../src/core/node.ts";
import { answers, loadedModel, nodeModel } from "../fakes/ollama-port.ts";

const REFUSED: NodePoll = { tag: "refused" };

/** Polls 5 s apart. */
function after(...polls: readonly NodePoll[]): NodeHealth {
  return polls.reduce(
    (health, poll, index) => applyPoll(health, poll, { nowMs: 1_000 + index * 5_000, failures: 3, successes: 2 }),
    unknownNode(0),
  );
}

describe("applyPoll()", () => {
  test("brings a node up with its first answer, and down with its first failure when it never answered", () => {
    expect(viewNode("http://n:1", after(answers({ models: [nodeModel("a:latest")] })))).toMatchObject({
      ...{ state: "up", since: "1970-01-01T00:00:01.000Z", reason: "", version: "0.33.0", machine: "10.0.0.5" },
      ...{ models: [{ name: "a:latest" }], loaded: [], inFlight: 0 },
    });
    expect(viewNode("http://n:1", after(REFUSED))).toMatchObject({ state: "down", version: null, machine: "n" });
  });

  test("takes an answering one down after three failures in a row, and up again after two answers", () => {
    const up = answers();
    expect(after(up, REFUSED, REFUSED).tag).toBe("up");
    expect(isSuspectNode(after(up, REFUSED))).toBe(true);
    expect(after(up, REFUSED, REFUSED, up, REFUSED, REFUSED).tag).toBe("up");
    expect(after(up, REFUSED, REFUSED, REFUSED).tag).toBe("down");
    const back = after(up, REFUSED, REFUSED, REFUSED, up);
    expect(viewNode("http://n:1", back)).toMatchObject({
      state: "down",
      reason: "answers again, 1 of 2 times in a row",
    });
    expect(after(up, REFUSED, REFUSED, REFUSED, up, up).tag).toBe("up");
  });

  test("keeps what a node has while it is down, and forgets what it holds", () => {
    const up = answers({ models: [nodeModel("a:latest")], loaded: [loadedModel("a:latest")] });
    const view = viewNode("http://n:1", after(up, REFUSED, REFUSED, REFUSED));
    expect(view).toMatchObject({ state: "down", models: [{ name: "a:latest" }], loaded: [], version: "0.33.0" });
    expect(viewNode("http://n:1", after(up, REFUSED)).loaded).toHaveLength(1);
  });

  const reasons: [poll: NodePoll, reason: string][] = [
    [{ tag: "unresolved", detail: "ENOTFOUND" }, "cannot resolve its name: ENOTFOUND"],
    [REFUSED, "connection refused: does Ollama run there"],
    [{ tag: "unreachable", detail: "EHOSTUNREACH" }, "cannot be reached: EHOSTUNREACH"],
    [{ tag: "timeout", timeoutMs: 2000 }, "no answer within 2000 ms"],
    [{ tag: "failing", detail: "/api/ps gives 500" }, "answers with an error: /api/ps gives 500"],
    [{ tag: "alien", detail: "/api/version gives 404" }, "answers, but not as an Ollama (/api/version gives 404)"],
  ];
  test.each(reasons)("says why in a sentence: %p", (poll, reason) => {
    expect(viewNode("http://n:1", after(poll)).reason).toStartWith(reason);
  });

  test("a poll that we gave up changes nothing", () => {
    const health = after(answers());
    expect(applyPoll(health, { tag: "cancelled" }, { nowMs: 9, failures: 1, successes: 1 })).toBe(health);
  });
});

describe("a loaded model is quiet since its expiry last moved", () => {
  const at = (expiresAt: string | null, digest: string | null = null) =>
    answers({ loaded: [loadedModel("a:latest", { expiresAt, digest })] });
  const quietSince = (...polls: readonly NodePoll[]) => viewNode("http://n:1", after(...polls)).loaded[0]?.quietSince;

  test("also over polls that failed meanwhile", () => {
    expect(quietSince(at("x"), at("x"), REFUSED, at("x"))).toBe("1970-01-01T00:00:01.000Z");
    expect(quietSince(at("x"), at("y"), at("y"))).toBe("1970-01-01T00:00:06.000Z");
  });

  test("never when it moves with each poll, as while it loads, or is not told", () => {
    expect(quietSince(at("x"), at("y"), at("z"))).toBe("1970-01-01T00:00:11.000Z");
    expect(quietSince(at(null), at(null), at(null))).toBe("1970-01-01T00:00:11.000Z");
  });

  test("and not from before another model of that name, or a while when nobody looked", () => {
    expect(quietSince(at("x", "d1"), at("x", "d2"))).toBe("1970-01-01T00:00:06.000Z");
    expect(quietSince(at("x"), REFUSED, REFUSED, REFUSED, at("x"))).toBe("1970-01-01T00:00:21.000Z");
  });
});

test("pauseAfter() asks a dead node less and less often, once a minute at least", () => {
  const rules = { intervalMs: 5_000, failures: 3 };
  const pauses = [0, 1, 2, 3, 4, 5, 6, 7, 40].map((more) =>
    pauseAfter(after(answers(), ...Array.from({ length: 3 + more }, () => REFUSED)), rules),
  );
  expect(pauses).toEqual([5, 10, 20, 40, 60, 60, 60, 60, 60].map((seconds) => seconds * 1000));
  expect(pauseAfter(after(answers()), rules)).toBe(5_000);
  expect(pauseAfter(after(REFUSED), rules)).toBe(5_000);
  expect(pauseAfter(after(...Array.from({ length: 9 }, () => REFUSED)), { ...rules, intervalMs: 90_000 })).toBe(90_000);
});

test("machineOfNode() is what the backends of that host have", () => {
  expect(machineOfNode("http://gpu:11434", "10.0.0.5")).toBe("10.0.0.5");
  expect(machineOfNode("http://localhost:11434", null)).toBe("127.0.0.1");
  for (const address of ["::1", "127.0.1.1", "::ffff:127.0.0.1"]) {
    expect(machineOfNode("http://here:11434", address)).toBe("127.0.0.1");
  }
});
