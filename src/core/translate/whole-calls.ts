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
  const calls: Collected[] = [];
  // The last call of each index: some servers give all calls the same, and only the id tells them apart.
  const byIndex = new Map<number, Collected>();
  let characters = 0;

  const callOf = ({ index, id }: ToolCallPart): Collected => {
    const known = byIndex.get(index);
    if (known && (id === null || known.id === null || known.id === id)) return known;
    const call = { id, name: "", texts: [] };
    byIndex.set(index, call);
    calls.push(call);
    return call;
  };

  return {
    add(parts) {
      for (const part of parts) {
        const { id, name, argumentsText } = part;
        const call = callOf(part);
        call.id ??= id;
        call.name += name ?? "";
        if (argumentsText !== "") call.texts.push(argumentsText);
        characters += argumentsText.length + (name?.length ?? 0);
      }
      return calls.length <= MOST_CALLS && characters <= MOST_CHARACTERS;
    },
    finish() {
      const whole: WholeCall[] = [];
      const broken: string[] = [];
      for (const [index, { id, name, texts }] of calls.entries()) {
        const text = texts.join("");
        const value = text.trim() === "" ? {} : readJson(text);
        if (isObject(value) && !isDeeper(value)) whole.push({ index, id, name, arguments: value });
        else broken.push(name);
      }
      calls.length = 0;
      byIndex.clear();
      return { calls: whole, broken };
    },
  };
}
