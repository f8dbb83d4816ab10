/** JSON of others: read and written without throwing. Pure. */

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value that a text stands for; undefined when it is no JSON. */
export function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What llama-server 0.7.0 still takes: more ends it, and far more ends us (core/openai-request.ts has the same limit). */
export const MAX_DEPTH = 128;

/** Whether lists and objects lie in each other more than `levels` deep. */
export function isDeeper(value: unknown, levels = MAX_DEPTH): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1));
}

/** The text of a value that was JSON once; null when it is nested too deeply. */
export function writeJson(value: unknown): string | null {
  return isDeeper(value) ? null : JSON.stringify(value);
}

/** The same object without fields that are undefined. */
export function defined(fields: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
