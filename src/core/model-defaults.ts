/** What a model of Ollama's says by itself where a request does not: its system text and its stop words. Pure. */
import { isObject, type JsonObject } from "./translate/json.ts";

export interface ModelDefaults {
  readonly system: string | null;
  readonly stop: readonly string[];
}

export const NO_DEFAULTS: ModelDefaults = { system: null, stop: [] };

/** A request for a coordinator with these in the places that it leaves open, as Ollama itself fills them (server/prompt.go,
 *  server/routes.go); the very same object where nothing is to be filled. A prompt by itself gets no system text. */
export function withDefaults(
  dialect: "chat" | "completion",
  fields: JsonObject,
  { system, stop }: ModelDefaults,
): JsonObject {
  const messages: unknown = fields.messages;
  const isOpen = dialect === "chat" && system !== null && Array.isArray(messages) && !messages.some(isSystem);
  const addsStop = stop.length > 0 && (fields.stop === undefined || fields.stop === null);
  if (!isOpen && !addsStop) return fields;
  return {
    ...fields,
    ...(isOpen && { messages: [{ role: "system", content: system }, ...messages] }),
    ...(addsStop && { stop }),
  };
}

function isSystem(message: unknown): boolean {
  return isObject(message) && (message.role === "system" || message.role === "developer");
}
