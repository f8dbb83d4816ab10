/** Tells damaged model files from sound ones by their headers, within a time that a listing can wait. */
import { SynapticError } from "../core/errors.ts";
import type { Defect } from "../core/loadable.ts";
import type { ModelReader } from "./model-reader.ts";

export interface ExaminerOptions {
  readonly reader: Pick<ModelReader, "glance">;
  /** How long one listing waits for headers; models whose header comes later count as sound meanwhile. */
  readonly patienceMs?: number;
}

export type Examine = (
  paths: readonly string[],
  options: { readonly signal: AbortSignal },
) => Promise<readonly (Defect | null)[]>;

const PATIENCE_MS = 4_000;
const AT_ONCE = 8;

/** Makes the examiner: what headers say is remembered for as long as their files stay the same, so that looking again
 *  costs one `stat` a file. */
export function createExaminer({ reader, patienceMs = PATIENCE_MS }: ExaminerOptions): Examine {
  return async (paths, { signal }) => {
    const { promise: timeUp, resolve } = Promise.withResolvers<null>();
    const timer = setTimeout(resolve, patienceMs, null);
    const stop = () => resolve(null);
    signal.addEventListener("abort", stop, { once: true });
    const defects: (Defect | null)[] = paths.map(() => null);
    let next = 0;
    const work = async (): Promise<void> => {
      for (let at = next++; at < paths.length; at = next++) {
        defects[at] = await examine(paths[at] ?? "", { reader, timeUp });
      }
    };
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, work));
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
    signal.throwIfAborted();
    return defects;
  };
}

interface Look {
  readonly reader: Pick<ModelReader, "glance">;
  readonly timeUp: Promise<null>;
}

/** Null when it is sound as far as its header tells, or that is not known yet. */
async function examine(path: string, { reader, timeUp }: Look): Promise<Defect | null> {
  try {
    await reader.glance(path, timeUp);
    return null;
  } catch (error) {
    const { message, hint } = error instanceof SynapticError ? error : { message: String(error), hint: undefined };
    return { reason: message.replace(`Cannot read model ${path}: `, ""), hint: hint ?? `see ${path}` };
  }
}
