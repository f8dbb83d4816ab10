/** lessLoading(): what loads under way leave of the cards that other backends share. */
import { expect, test } from "bun:test";
import { lessLoading } from "../../src/core/plan-loading.ts";
import type { BackendFacts } from "../../src/core/plan-types.ts";
import type { Endpoint } from "../../src/core/units.ts";
import { GIB } from "../../src/core/units.ts";
import { modelOf, planned } from "../fixtures/model-facts.ts";

function onCard(endpoint: Endpoint, freeBytes: number, totalBytes = 8 * GIB): BackendFacts {
  return { endpoint, machine: "10.0.0.1", devices: [{ index: 0, kind: "accelerator", freeBytes, totalBytes }] };
}

const HOLDER = onCard("10.0.0.1:50052", 8 * GIB);
const PLAN = planned({ facts: modelOf(), backends: [HOLDER] });
const TAKES = PLAN.backends.reduce(
  (sum, { modelBytes, kvBytes, computeBytes }) => sum + modelBytes + kvBytes + computeBytes,
  0,
);

function freeOn(...others: readonly BackendFacts[]): readonly (number | undefined)[] {
  return lessLoading(others, [PLAN], [HOLDER]).map(({ devices }) => devices[0]?.freeBytes);
}

test("a load's bytes are taken off its card before it has allocated them, and not twice once it has", () => {
  expect(freeOn(onCard("10.0.0.1:50053", 8 * GIB))).toEqual([8 * GIB - TAKES]);
  expect(freeOn(onCard("10.0.0.1:50053", 8 * GIB - TAKES))).toEqual([8 * GIB - TAKES]);
  expect(freeOn(onCard("10.0.0.1:50053", GIB))).toEqual([GIB]);
});

test("another card is free as it says: of another size, of another machine, or by the owner's word", () => {
  const larger = onCard("10.0.0.1:50053", 16 * GIB, 16 * GIB);
  const elsewhere = { ...onCard("10.0.0.2:50052", 8 * GIB), machine: "10.0.0.2" };
  const own = { ...onCard("10.0.0.1:50054", 8 * GIB), ownDevice: true };
  expect(freeOn(larger, elsewhere, own)).toEqual([16 * GIB, 8 * GIB, 8 * GIB]);
});

test("without a load nothing changes", () => {
  const backends = [HOLDER];
  expect(lessLoading(backends, [], [])).toBe(backends);
});
