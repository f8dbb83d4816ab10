/** The reader that remembers headers: a file that stays the same is read once, a changed one again. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { meta } from "../../src/core/gguf-encode.ts";
import { createModelReader } from "../../src/io/model-reader.ts";
import { bytesOf, tinyModel } from "../fixtures/gguf-model.ts";

const { signal } = new AbortController();
const folder = mkdtempSync(join(tmpdir(), "synaptic-reader-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a header is read once for as long as the file stays the same", async () => {
  const path = join(folder, "m.gguf");
  const reader = createModelReader();
  const sameTime = () => utimesSync(path, 5, 5);
  writeFileSync(path, bytesOf(tinyModel()));
  sameTime();
  const first = await reader.read(path, { signal });
  expect(await reader.read(path, { signal })).toBe(first);
  expect(first).not.toHaveProperty("header");
  const { size } = statSync(path);
  const keys = { "llama.context_length": meta.u32(4096) };
  writeFileSync(path, bytesOf(tinyModel({ keys })));
  sameTime();
  expect(statSync(path).size).toBe(size);
  expect((await reader.read(path, { signal })).facts.trainedContext).toBe(4096);
  writeFileSync(path, bytesOf(tinyModel({ layers: 3 })));
  expect((await reader.read(path, { signal })).facts.layers).toHaveLength(3);
});

test("a damaged file is refused each time, and read again once it is another", async () => {
  const path = join(folder, "damaged.gguf");
  const reader = createModelReader();
  writeFileSync(path, "no model");
  for (let i = 0; i < 2; i++)
    await expect(reader.read(path, { signal })).rejects.toMatchObject({ code: "model_unreadable" });
  await expect(reader.read(join(folder, "absent.gguf"), { signal })).rejects.toThrow("it does not exist");
  writeFileSync(path, bytesOf(tinyModel()));
  expect((await reader.read(path, { signal })).facts.layers).toHaveLength(2);
});

test("who gives up is let go with the signal's reason", async () => {
  const path = join(folder, "m.gguf");
  const reason = new Error("client left");
  await expect(createModelReader().read(path, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const leaving = new AbortController();
  const reading = createModelReader().read(path, { signal: leaving.signal });
  leaving.abort(reason);
  await expect(reading).rejects.toBe(reason);
});

test("a glance does not wait for a header, unless it is known already", async () => {
  const path = join(folder, "m.gguf");
  const [reader, late] = [createModelReader(), Promise.resolve(null)];
  expect(await reader.glance(path, late)).toBeNull();
  const known = await reader.read(path, { signal });
  expect(await reader.glance(path, late)).toBe(known);
});
