/** Plans against llama.cpp's own planner, for published models of every class at three contexts and two KV types. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { compareAll, oracleTable } from "../../scripts/oracle.ts";
import { faultsOf } from "../../scripts/oracle-fit.ts";
import { ORACLE_MODELS } from "../../scripts/oracle-shapes.ts";
import { openSandbox } from "../../scripts/sandbox.ts";

setDefaultTimeout(60_000);

test("weights and cache are equal to the last MiB; compute is reserved from above, and below thrice what is taken", async () => {
  await using sandbox = openSandbox("synaptic-oracle-test");
  const comparisons = await compareAll(sandbox);
  expect(comparisons.flatMap(faultsOf)).toEqual([]);
  const names = new Set(comparisons.map(({ model }) => model.name));
  expect([...names]).toEqual(ORACLE_MODELS.map(({ name }) => name));
  expect(oracleTable(comparisons).split("\n")).toHaveLength(2 + 2 * ORACLE_MODELS.length);
});
