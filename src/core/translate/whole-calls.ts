/** Pieces of tool calls, joined into whole ones with an object of arguments. Pure. */
import type { ToolCallPart } from "./answer-events.ts";
import { isDeeper, isObject, type JsonObject, readJson } from "./json.ts";

export interface WholeCall {
  readonly index: number;
  readonly id: string | null;
  readonly name: string;
  readonly arguments: JsonObject;
}

export interface CallCollector {
  /** False when there are more calls, or longer ones, than any answer has. */
  add(parts: readonly ToolCallPart[]): boolean;
  /** In their order, and the names of those whose arguments are no JSON object, or one without end. */
  finish(): { readonly calls: readonly WholeCall[]; readonly broken: readonly string[] };
}

const MOST_CALLS = 1024;
const MOST_CHARACTERS = 8 * 1024 ** 2;

interface Collected {
  id: string | null;
  name: string;
  readonly texts: string[];
}

/** llama-server sends a call's arguments bit by bit; Ollama's clients take whole calls only (facts/clients.md 3). */
export function createCallCollector(): CallCollector {
  const byIndex = new Map<number, Collected>();
  let characters = 0;
  return {
    add(parts) {
      for (const { index, id, name, argumentsText } of parts) {
        const call = byIndex.get(index) ?? { id: null, name: "", texts: [] };
        byIndex.set(index, call);
        call.id ??= id;
        call.name += name ?? "";
        if (argumentsText !== "") call.texts.push(argumentsText);
        characters += argumentsText.length + (name?.length ?? 0);
      }
      return byIndex.size <= MOST_CALLS && characters <= MOST_CHARACTERS;
    },
    finish() {
      const calls: WholeCall[] = [];
      const broken: string[] = [];
      for (const [index, { id, name, texts }] of [...byIndex].toSorted(([a], [b]) => a - b)) {
        const text = texts.join("");
        const value = text.trim() === "" ? {} : readJson(text);
        if (isObject(value) && !isDeeper(value)) calls.push({ index, id, name, arguments: value });
        else broken.push(name);
      }
      byIndex.clear();
      return { calls, broken };
    },
  };
}
