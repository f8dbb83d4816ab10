/** The table of `synaptic models`, and what is said below it. */
import { expect, test } from "bun:test";
import { renderModels } from "../../src/cli/models.ts";
import type { ListedModel } from "../../src/core/model-listing.ts";
import { GIB } from "../../src/core/units.ts";

const MODEL: ListedModel = {
  ...{ id: "llama3.2:latest", aliases: [], origin: { kind: "ollama", where: "/o" }, digest: null, path: "/o/blobs/x" },
  ...{ bytes: 2 * GIB, architecture: "llama", quantization: "Q4_K_M", parameters: 3e9, trainedContext: 131_072 },
  ...{ contextSize: 8192, runs: true, where: "10.0.0.1:50052", reasons: ["fewest: 1 of 3 usable backends holds it"] },
  ...{ notes: [], defect: null },
};

test("renderModels() shows a row per model, and below it what is wrong with the others and with whole stores", () => {
  const nowhere = { ...MODEL, id: "big", runs: false, where: "needs 43.2 GiB, 31.0 GiB usable", contextSize: null };
  const damaged = { ...MODEL, id: "cut:latest", defect: { reason: "the download is not finished", hint: "pull it" } };
  const problems = [{ reason: "Cannot read the Ollama store /s", hint: "join its group" }];
  expect(renderModels({ models: [MODEL, nowhere, damaged], problems })).toBe(
    `MODEL               SIZE  ARCHITECTURE  WEIGHTS  CONTEXT  WHERE                                     WHY
llama3.2:latest  2.0 GiB  llama         Q4_K_M      8192  10.0.0.1:50052                            fewest: 1 of 3 usable backends holds it
big              2.0 GiB  llama         Q4_K_M         -  nowhere: needs 43.2 GiB, 31.0 GiB usable

cut:latest cannot be used: the download is not finished
  pull it

Cannot read the Ollama store /s
  join its group
`,
  );
});

test("renderModels() says what to do where there is nothing", () => {
  expect(renderModels({ models: [], problems: [] })).toStartWith("No models: `ollama pull` one");
});
