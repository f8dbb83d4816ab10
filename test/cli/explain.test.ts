/** Why a model runs where it runs, in words. */
import { expect, test } from "bun:test";
import { renderExplanation } from "../../src/cli/explain.ts";
import { SynapticError } from "../../src/core/errors.ts";
import { explanationOf } from "../../src/core/explanation.ts";

test("names the place, the reason, and every other place with why not", () => {
  const text = renderExplanation(
    explanationOf("m", {
      decision: { kind: "pool", urls: ["http://a"], reserve: [], reason: "fits one node: a has room" },
      alternatives: [
        { target: "http://a", chosen: true, why: "has room" },
        { target: "shards", chosen: false, why: "no file of it is on the head node" },
      ],
    }),
  );
  expect(text).toStartWith("m runs on the pool: fits one node: a has room\n\n");
  expect(text).toMatch(/^http:\/\/a +yes +has room$/m);
  expect(text).toMatch(/^shards +no +no file of it is on the head node$/m);
});

test("says why nothing can run it, and what to do", () => {
  const error = new SynapticError("does_not_fit", "Cannot place m: needs 2 GiB", { hint: "add a backend" });
  const explained = explanationOf("m", {
    decision: { kind: "refused", error, reason: error.message },
    alternatives: [],
  });
  expect(explained).toMatchObject({ route: "refused", code: "does_not_fit", hint: "add a backend" });
  expect(renderExplanation(explained)).toStartWith(
    "m runs nowhere now: Cannot place m: needs 2 GiB\n  add a backend\n",
  );
});
