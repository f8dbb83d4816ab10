/** `synaptic.queue` and `synaptic.limits`: sound without being set, taken as they are, rejected with what was expected. */
import { describe, expect, test } from "bun:test";
import { accepted, FILE, FOUR, refusal } from "./config-support.ts";

const own = (synaptic: object) => ({ rpc_backends: FOUR, synaptic });

describe("without them", () => {
  test("256 wait for one model, half of one key, ten minutes at most; 1024 are in flight", () => {
    const { queue, limits, sources } = accepted(own({}));
    expect(queue).toEqual({ perModel: 256, perKey: 128, longestWaitMs: 600_000 });
    expect(limits).toEqual({ inFlight: 1_024 });
    expect([sources["queue.perModel"], sources["limits.inFlight"]]).toEqual(["default", "default"]);
  });
});

describe("with them", () => {
  test("a key gets half of what a model may have, rounded up, unless told otherwise", () => {
    expect(accepted(own({ queue: { perModel: 5 } })).queue.perKey).toBe(3);
    expect(accepted(own({ queue: { perModel: 5, perKey: 1 } })).queue).toMatchObject({ perModel: 5, perKey: 1 });
  });

  test("they are taken, and where from is known", () => {
    const { queue, limits, sources, warnings } = accepted(
      own({ queue: { longestWaitMs: 30_000 }, limits: { inFlight: 10 } }),
    );
    expect([queue.longestWaitMs, limits.inFlight]).toEqual([30_000, 10]);
    expect(sources["queue.longestWaitMs"]).toBe(`${FILE}: synaptic.queue.longestWaitMs`);
    expect(warnings.join()).not.toContain("queue");
  });

  test.each([
    [{ queue: { perModel: 0 } }, "synaptic.queue.perModel: expected a whole number from 1 to 100000, found 0"],
    [{ queue: { longestWaitMs: 5 } }, "synaptic.queue.longestWaitMs: expected a whole number of milliseconds"],
    [{ queue: 5 }, "synaptic.queue: expected an object with perModel, perKey and longestWaitMs"],
    [{ limits: { inFlight: "many" } }, "synaptic.limits.inFlight: expected a whole number from 1 to 100000"],
  ])("%j is refused", (value, message) => {
    expect(refusal(own(value))).toContain(message);
  });

  test("a mistyped key is named with the nearest one", () => {
    const { warnings } = accepted(own({ queue: { permodel: 5 } }));
    expect(warnings.join()).toContain("synaptic.queue.permodel (did you mean perModel?)");
  });
});
