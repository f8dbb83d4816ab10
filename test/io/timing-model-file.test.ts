/** The timing model's file: made when needed, made again when cut, explained when it cannot be. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { timingModelBytes } from "../../src/core/timing-model.ts";
import { readModel } from "../../src/io/model-files.ts";
import { createTimingModel } from "../../src/io/timing-model-file.ts";

const { signal } = new AbortController();
const folder = mkdtempSync(join(tmpdir(), "synaptic-timing-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("the timing model's file", () => {
  test("is written to the cache once, and is a model", async () => {
    const give = createTimingModel({ XDG_CACHE_HOME: folder });
    const path = await give(signal);
    expect(path).toBe(join(folder, "synaptic", "timing-1.gguf"));
    const { facts } = await readModel(path, { signal });
    expect([facts.architecture, facts.layers.length, facts.fileBytes]).toEqual(["llama", 3, timingModelBytes()]);
    const { mtimeMs } = statSync(path);
    expect(await give(signal)).toBe(path);
    expect(statSync(path).mtimeMs).toBe(mtimeMs);
  });

  test("is written again when it is not whole, and leaves no parts", async () => {
    const give = createTimingModel({ XDG_CACHE_HOME: folder });
    const path = await give(signal);
    truncateSync(path, 1_000);
    await give(signal);
    expect(statSync(path).size).toBe(timingModelBytes());
    expect(readdirSync(dirname(path))).toEqual(["timing-1.gguf"]);
  });

  test("is given up with the signal, and no part of it stays", async () => {
    const cache = join(folder, "left");
    const parts = join(cache, "synaptic");
    mkdirSync(parts, { recursive: true });
    const leaving = new AbortController();
    const given = createTimingModel({ XDG_CACHE_HOME: cache })(leaving.signal);
    while (readdirSync(parts).length === 0) await new Promise(setImmediate);
    leaving.abort(new Error("left"));
    await expect(given).rejects.toThrow("left");
    // The writer goes on until its next megabyte.
    while (readdirSync(parts).length > 0) await new Promise(setImmediate);
  });

  test("that cannot be written says where, why and what to do", async () => {
    const file = join(folder, "file");
    mkdirSync(folder, { recursive: true });
    writeFileSync(file, "");
    const given = createTimingModel({ XDG_CACHE_HOME: file })(signal);
    await expect(given).rejects.toMatchObject({
      code: "coordinator_failed",
      message: expect.stringMatching(/^Cannot write the timing model to \S+timing-1\.gguf: ENOTDIR/),
      hint: expect.stringContaining("XDG_CACHE_HOME"),
    });
  });
});
