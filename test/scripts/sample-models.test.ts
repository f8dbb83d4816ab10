/** Sample models: the same bytes each time, and one of each class whose plan is exact. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SAMPLES, type SampleName, writeHollowModel, writeSampleModel } from "../../scripts/sample-models.ts";
import type { SampleShape } from "../../scripts/sample-shape.ts";
import { MIB } from "../../src/core/units.ts";
import { readModel } from "../../src/io/model-files.ts";

const folder = mkdtempSync(join(tmpdir(), "synaptic-sample-models-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function factsOf(path: string) {
  return (await readModel(path, { signal: AbortSignal.timeout(10_000) })).facts;
}

describe.each(Object.keys(SAMPLES) as SampleName[])("the sample %s", (name) => {
  const shape: SampleShape = SAMPLES[name];

  test("is small, the same each time, and planned exactly", async () => {
    const [first, second] = [join(folder, `${name}-1.gguf`), join(folder, `${name}-2.gguf`)];
    const bytes = await writeSampleModel(first, shape);
    expect(bytes).toBeLessThan(24 * MIB);
    expect(bytes).toBe(await writeSampleModel(second, shape));
    expect(readFileSync(first).equals(readFileSync(second))).toBe(true);
    const facts = await factsOf(first);
    expect(facts).toMatchObject({ architecture: shape.architecture, kvInexact: null, tiedOutput: shape.tied ?? false });
    expect(facts.layers).toHaveLength(shape.layers);
    expect(facts.vocabularySize).toBe(shape.vocabulary);
  });

  test("is the same to a planner as a header and a hole", async () => {
    const [whole, hollow] = [join(folder, `${name}-1.gguf`), join(folder, `${name}-hollow.gguf`)];
    await writeHollowModel(hollow, shape);
    expect(statSync(hollow).blocks * 512).toBeLessThan(MIB);
    const { fileBytes: _, ...facts } = await factsOf(hollow);
    expect(await factsOf(whole)).toMatchObject(facts);
  });
});
