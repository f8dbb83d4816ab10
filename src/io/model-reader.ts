/** Reads models, and remembers what their headers said. */
import { basename } from "node:path";
import { partOf } from "../core/gguf-split.ts";
import { HeaderMemory } from "./header-memory.ts";
import { type ModelOnDisk, readModel } from "./model-files.ts";

/** Without the header itself, which may take megabytes. */
export type KnownModel = Omit<ModelOnDisk, "header">;

export interface ModelReader {
  /** As readModel(). */
  read(path: string, options: { readonly signal: AbortSignal }): Promise<KnownModel>;
  /** The same, or null when `timeUp` settles before the header is known; it goes on being read. */
  glance(path: string, timeUp: Promise<null>): Promise<KnownModel | null>;
}

const NEVER = new AbortController().signal;

export function createModelReader(): ModelReader {
  const memory = new HeaderMemory(async (path): Promise<KnownModel> => {
    const { header: _, ...model } = await readModel(path, { signal: NEVER });
    return model;
  });
  return {
    async read(path, { signal }) {
      // Any of a split model's files may have changed.
      if (partOf(basename(path))) return await readModel(path, { signal });
      signal.throwIfAborted();
      const { promise: aborted, reject } = Promise.withResolvers<never>();
      const stop = () => reject(signal.reason);
      signal.addEventListener("abort", stop, { once: true });
      return await memory.ask(path, aborted).finally(() => signal.removeEventListener("abort", stop));
    },
    glance: (path, timeUp) => memory.ask(path, timeUp),
  };
}
