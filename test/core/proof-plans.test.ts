/** proveLoad() for other plans than the real log's: each is proven by a log as it says itself, and not by another. */
import { describe, expect, test } from "bun:test";
import type { ModelFacts } from "../../src/core/model.ts";
import type { BackendFacts, LocalDevice, Plan } from "../../src/core/plan-types.ts";
import { type Proof, proveLoad } from "../../src/core/proof.ts";
import { GIB, MIB } from "../../src/core/units.ts";
import { halved, LOG_ENDPOINTS, bufferLine as line, logOfPlan, seenIn } from "../fixtures/engine-log.ts";
import { cpu, gpu, modelOf, planned } from "../fixtures/model-facts.ts";

const [A] = LOG_ENDPOINTS;
const BACKENDS: readonly BackendFacts[] = LOG_ENDPOINTS.map((endpoint) => ({ endpoint, devices: [cpu(24 * GIB)] }));

function prove(plan: Plan, facts: ModelFacts, lines: readonly string[] = logOfPlan(plan)): Proof {
  return proveLoad(plan, facts, seenIn(lines));
}

const LOCAL: LocalDevice = { name: "MTL0", description: "", freeBytes: 8 * GIB, totalBytes: 8 * GIB };

describe("other plans", () => {
  test("one that the head node holds alone", () => {
    const facts = modelOf();
    const plan = planned({ facts, backends: [], localDevices: [LOCAL] });
    const proof = prove(plan, facts);
    expect(proof.problems).toEqual([]);
    expect(proof.head.devices).toMatchObject([{ name: "MTL0", layers: 25 }]);
    expect(
      prove(
        plan,
        facts,
        logOfPlan(plan).filter((text) => !text.includes("MTL0")),
      ).problems,
    ).toContain("MTL0 holds nothing, planned 25 layers (2.4 GiB)");
  });

  test("one whose local device maps the file: a range that spans more is no problem", () => {
    const facts = modelOf();
    const plan = planned({ facts, localDevices: [LOCAL] });
    const mapped = logOfPlan(plan).map((text) => (/MTL0 model/.test(text) ? line("MTL0_Mapped", "model", 2400) : text));
    const proof = prove(plan, facts, mapped);
    expect(proof.problems).toEqual([]);
    expect(proof.head.devices[0]?.layers).toBe(plan.head.devices[0]?.layers ?? -1);
  });

  test("one with several devices on a backend, each named in a problem", () => {
    const facts = modelOf();
    const backends = [{ endpoint: A, devices: [gpu(4 * GIB, 0), gpu(8 * GIB, 1)] }];
    const plan = planned({ facts, backends });
    expect(prove(plan, facts).backends).toMatchObject([{ layers: 25, devices: [{ layers: 9 }, { layers: 16 }] }]);
    const swapped = logOfPlan(plan).map((text) => text.replace(/RPC([01])/, (_, index) => `RPC${1 - Number(index)}`));
    expect(prove(plan, facts, swapped).problems[0]).toStartWith(`${A} device 0 holds`);
  });

  test("one whose last backend holds the output head alone", () => {
    const facts = modelOf();
    const backends = BACKENDS.slice(0, 2).map((backend, i) => ({ ...backend, layers: i === 0 ? 24 : 1 }));
    const plan = planned({ facts, backends, options: { placement: "pinned" } });
    expect(prove(plan, facts)).toMatchObject({ proven: true, backends: [{ layers: 24 }, { layers: 1 }] });
  });

  test("one with a copy of small tensors on each device", () => {
    const facts = modelOf({}, { perDeviceBytes: 30 * MIB, kvInexact: "some layers see a window" });
    expect(prove(planned({ facts }), facts)).toMatchObject({ proven: true, backends: [{ layers: 9 }, {}, {}] });
  });

  test("one of uneven layers, counted by weight where the cache is only an upper bound", () => {
    const uneven = modelOf({}, { kvInexact: "some layers see a window" });
    const layers = uneven.layers.map((layer, i) => ({ ...layer, weightBytes: (60 + 7 * (i % 5)) * MIB }));
    const facts = { ...uneven, layers };
    const plan = planned({ facts });
    const less = logOfPlan(plan).map((text) => (/ KV /.test(text) ? halved(text) : text));
    expect(prove(plan, facts, less)).toMatchObject({ proven: true, backends: [{ layers: 9 }, { layers: 8 }, {}] });
    const more = logOfPlan(plan).map((text) => text.replace(/KV buffer size = \d+/, "KV buffer size = 900"));
    expect(prove(plan, facts, more).problems[0]).toContain("of KV cache, planned");
  });

  test("one counted by weight: a layer that moved is seen on both sides", () => {
    const facts = modelOf({}, { kvInexact: "some layers see a window" });
    const moved = logOfPlan(planned({ facts })).map((text) =>
      text.replace(" 900.00 MiB", " 800.00 MiB").replace(/(0\.2:50052\] model .*) 800\.00 MiB/, "$1 900.00 MiB"),
    );
    const { problems } = prove(planned({ facts }), facts, moved);
    expect(problems).toContain("10.0.0.1:50052 holds 8 layers, planned 9");
    expect(problems).toContain("10.0.0.2:50052 holds 9 layers, planned 8");
  });

  test("one whose recurrent layers keep a state: with the cache it takes what was planned", () => {
    const whole = modelOf();
    const layers = whole.layers.map((layer, i) =>
      i % 4 === 3 ? layer : { ...layer, keyElements: 0, valueElements: 0, stateBytes: MIB },
    );
    const facts = { ...whole, layers };
    const plan = planned({ facts });
    const lines = logOfPlan(plan).flatMap((text) =>
      / KV /.test(text) ? [halved(text), halved(text).replace("KV", "RS")] : text,
    );
    expect(prove(plan, facts, lines)).toMatchObject({
      proven: true,
      backends: plan.backends.map(({ layers }) => ({ layers })),
    });
    const without = lines.filter((text) => !/ RS /.test(text));
    expect(prove(plan, facts, without).problems).toContain(
      "10.0.0.1:50052 holds 30.0 MiB of KV cache, planned 60.0 MiB",
    );
  });

  test("a state on a device that no plan names is a problem", () => {
    const facts = modelOf();
    const plan = planned({ facts });
    const stray = line(`RPC0[${A}]`, "RS", 40);
    expect(prove(plan, facts, [...logOfPlan(plan), stray]).problems).toEqual([`${A}/0 holds 40.0 MiB, planned none`]);
  });

  test("one whose last layers are skipped and leave no trace", () => {
    const whole = modelOf({ layers: 26 });
    const facts = {
      ...whole,
      layers: whole.layers.map((layer, i) =>
        i < 24 ? layer : { ...layer, weightBytes: 0, keyElements: 0, valueElements: 0 },
      ),
    };
    const layers = [9, 9, 9];
    const backends = BACKENDS.map((backend, i) => ({ ...backend, layers: layers[i] ?? 0 }));
    expect(prove(planned({ facts, backends, options: { placement: "pinned" } }), facts).problems).toEqual([]);
    const tail = [24, 1, 2];
    const split = BACKENDS.map((backend, i) => ({ ...backend, layers: tail[i] ?? 0 }));
    const plan = planned({ facts, backends: split, options: { placement: "pinned" } });
    expect(prove(plan, facts).problems).toEqual([]);
  });
});
