/** A projector (mmproj) on disk: whether llama-server would take it, and how large it is. */
import { stat } from "node:fs/promises";
import { projectorDefect } from "../core/loadable.ts";
import type { SideFile } from "../core/plan-types.ts";
import { withinDeadline } from "./disk-deadline.ts";
import { readGgufHeader, unreadable } from "./gguf-file.ts";

/** @throws SynapticError `model_unreadable`; the signal's reason when it was aborted */
export async function readProjector(path: string, { signal }: { readonly signal: AbortSignal }): Promise<SideFile> {
  return await withinDeadline(path, () => read(path), { signal });
}

async function read(path: string): Promise<SideFile> {
  const defect = projectorDefect(await readGgufHeader(path));
  if (defect !== null) throw unreadable(path, defect, "name the mmproj file that comes with the model");
  return { path, bytes: (await stat(path)).size };
}
