/** Writes a report that the user asked for. */
import { SynapticError } from "../core/errors.ts";

/** @throws SynapticError `usage` when the file cannot be written. */
export async function saveReport(path: string, text: string): Promise<void> {
  try {
    await Bun.write(path, text);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new SynapticError("usage", `Cannot write the report to ${path}: ${detail}`, { cause: error });
  }
}
