/** Reports that cannot be written. */
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { saveReport } from "../../src/io/report-file.ts";

test("saveReport() makes the folders on the way, and says why a path cannot be written", async () => {
  const folder = mkdtempSync(join(tmpdir(), "synaptic-report-"));
  try {
    const path = join(folder, "a", "b.md");
    await saveReport(path, "# Proof\n");
    expect(readFileSync(path, "utf8")).toBe("# Proof\n");
    const wrong = { code: "usage", message: expect.stringContaining(`Cannot write the report to ${folder}: `) };
    await expect(saveReport(folder, "")).rejects.toMatchObject(wrong);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
