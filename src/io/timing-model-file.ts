/** The timing model's file in the user's cache: written when it is first needed, and again when it is not whole. */
import { mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { SynapticError } from "../core/errors.ts";
import { TIMING_MODEL_NAME, timingModelBytes, timingModelFile } from "../core/timing-model.ts";
import { withinDeadline } from "./disk-deadline.ts";
import { writeGguf } from "./gguf-write.ts";
import { cacheFolder, type Environment } from "./llama-files.ts";

/** Returns what gives the path of a whole file. Rejects with `coordinator_failed` when it cannot be written. */
export function createTimingModel(env: Environment): (signal: AbortSignal) => Promise<string> {
  const path = join(cacheFolder(env), TIMING_MODEL_NAME);
  return (signal) => withinDeadline(path, (either) => ensure(path, either), { signal });
}

async function ensure(path: string, signal: AbortSignal): Promise<string> {
  if (await isWhole(path)) return path;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeGguf(path, timingModelFile(), signal);
    return path;
  } catch (error) {
    signal.throwIfAborted();
    const detail = error instanceof Error ? error.message : String(error);
    throw new SynapticError("coordinator_failed", `Cannot write the timing model to ${path}: ${detail}`, {
      hint: "it takes 110 MiB; set XDG_CACHE_HOME to a folder that can be written",
      cause: error,
    });
  }
}

async function isWhole(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() === true && found.size === timingModelBytes();
}
