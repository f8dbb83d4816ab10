/** Writes a GGUF file beside its final name and renames it, so that nobody reads half a model. */
import { open, rename, rm } from "node:fs/promises";
import { type GgufFile, ggufChunks } from "../core/gguf-encode.ts";

const WRITE_BYTES = 1024 ** 2;

/**
 * Writes all of the file's bytes.
 * @returns how many
 * @throws what the file system says; then nothing is left behind
 */
export async function writeGguf(path: string, file: GgufFile, signal?: AbortSignal): Promise<number> {
  const part = `${path}.${process.pid}.part`;
  const handle = await open(part, "w");
  try {
    const buffer = new Uint8Array(WRITE_BYTES);
    let [used, total] = [0, 0];
    for (const chunk of ggufChunks(file)) {
      for (let at = 0; at < chunk.length; ) {
        const taken = Math.min(chunk.length - at, WRITE_BYTES - used);
        buffer.set(chunk.subarray(at, at + taken), used);
        [at, used, total] = [at + taken, used + taken, total + taken];
        if (used < WRITE_BYTES) continue;
        signal?.throwIfAborted();
        await handle.writeFile(buffer);
        used = 0;
      }
    }
    await handle.writeFile(buffer.subarray(0, used));
    await handle.close();
    await rename(part, path);
    return total;
  } catch (error) {
    await handle.close();
    await rm(part, { force: true });
    throw error;
  }
}
