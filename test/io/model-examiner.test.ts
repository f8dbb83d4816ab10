/** Damaged files told from sound ones: by their headers, once per file, and never longer than a listing can wait. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createExaminer } from "../../src/io/model-examiner.ts";
import { createModelReader } from "../../src/io/model-reader.ts";
import { readProjector } from "../../src/io/projector-file.ts";
import { bytesOf, tinyModel } from "../fixtures/gguf-model.ts";
import { tinyProjector } from "../fixtures/projector.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "synaptic-examiner-"));
  folders.push(made);
  return made;
}

const NEVER = { signal: new AbortController().signal };

test("createExaminer() names what is wrong with each file, in their order", async () => {
  const dir = folder();
  const paths = ["sound", "cut", "text", "projector", "gone"].map((name) => join(dir, `${name}.gguf`));
  const [sound = "", cut = "", text = "", projector = ""] = paths;
  for (const path of [sound, cut]) writeFileSync(path, bytesOf(tinyModel()));
  truncateSync(cut, 200);
  writeFileSync(text, "hello");
  writeFileSync(projector, bytesOf(tinyProjector(64)));
  const examine = createExaminer({ reader: createModelReader() });
  const defects = await examine(paths, NEVER);
  expect(defects.map((defect) => defect?.reason.split(":")[0] ?? null)).toEqual([
    null,
    expect.stringMatching(/truncated|ends/),
    expect.stringMatching(/^(?:magic|file)/),
    expect.stringContaining("projector"),
    "it does not exist",
  ]);
  expect(defects.every((defect) => defect === null || (defect.hint !== "" && !defect.reason.includes(dir)))).toBe(true);
});

test("createExaminer() does not wait for a slow disk, and knows more the next time", async () => {
  const slow = Promise.withResolvers<never>();
  let looks = 0;
  const reader = {
    glance: (_: string, timeUp: Promise<null>) => {
      looks++;
      return Promise.race([slow.promise, timeUp]);
    },
  };
  const examine = createExaminer({ reader, patienceMs: 5 });
  const many = Array.from({ length: 100 }, (_, index) => `/m/${index}`);
  expect(await examine(many, NEVER)).toEqual(many.map(() => null));
  slow.reject(new Error("disk on fire"));
  expect((await examine(["/m/0"], NEVER))[0]).toEqual({ reason: "Error: disk on fire", hint: "see /m/0" });
  expect(looks).toBe(101);
});

test("createExaminer() ends with the signal's reason", async () => {
  const late = new AbortController();
  const reader = { glance: (_: string, timeUp: Promise<null>) => timeUp };
  const examining = createExaminer({ reader })(["/m/0"], { signal: late.signal });
  late.abort(new Error("late"));
  await expect(examining).rejects.toThrow("late");
});

test("readProjector() takes a projector, and nothing else", async () => {
  const dir = folder();
  const [vision, model] = [join(dir, "v.gguf"), join(dir, "m.gguf")];
  const bytes = bytesOf(tinyProjector(64));
  writeFileSync(vision, bytes);
  writeFileSync(model, bytesOf(tinyModel()));
  expect(await readProjector(vision, NEVER)).toEqual({ path: vision, bytes: bytes.length });
  for (const path of [model, join(dir, "gone.gguf")]) {
    await expect(readProjector(path, NEVER)).rejects.toMatchObject({ code: "model_unreadable" });
  }
});
