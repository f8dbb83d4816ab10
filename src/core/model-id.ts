/** Ids of models that are named by their files. Pure. */

/** A comma would be two aliases to llama-server, and control characters never arrive in a request as typed. */
const NOT_IN_IDS = /[\p{Cc},]/gu;

export function isModelId(name: string): boolean {
  return name !== "" && name.trim() === name && name.search(NOT_IN_IDS) === -1;
}

/** The id that a file name or path gives, without `.gguf`; what an id may not have becomes `_`. */
export function toModelId(name: string): string {
  return name
    .replace(/\.gguf$/i, "")
    .replace(NOT_IN_IDS, "_")
    .trim();
}
