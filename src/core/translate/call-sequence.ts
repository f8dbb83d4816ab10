/** The pieces of an answer's tool calls as calls that follow each other, which is all that a stream of blocks can say. Pure. */
import type { ToolCallPart } from "./answer-events.ts";

export type CallStep =
  | { readonly tag: "open"; readonly id: string | null; readonly name: string }
  | { readonly tag: "arguments"; readonly text: string };

export interface CallSequence {
  /** What a piece means; null when the calls are mixed up or too many: nobody could tell them apart. */
  take(part: ToolCallPart): readonly CallStep[] | null;
  /** Whether the last call lacks its name. */
  isIncomplete(): boolean;
}

const MOST_CALLS = 1024;
const MOST_HELD_CHARACTERS = 8 * 1024 ** 2;

interface Current {
  readonly index: number;
  id: string | null;
  isOpen: boolean;
  /** Arguments that came before the name. */
  held: string;
}

/** A call begins with a new index, or with another id for servers that number all calls alike; it opens with its name. */
export function createCallSequence(): CallSequence {
  const seen = new Set<number>();
  let count = 0;
  let current: Current | null = null;
  const begin = ({ index, id }: ToolCallPart): Current | null => {
    const isOther = current?.index === index;
    count += 1;
    if (count > MOST_CALLS || current?.isOpen === false || (seen.has(index) && !isOther)) return null;
    seen.add(index);
    return { index, id, isOpen: false, held: "" };
  };
  const isNew = ({ index, id }: ToolCallPart): boolean =>
    current?.index !== index || (id !== null && current.id !== null && id !== current.id);
  return {
    take(part) {
      const call = isNew(part) ? begin(part) : current;
      if (call === null) return null;
      current = call;
      call.id ??= part.id;
      if (call.isOpen) return part.argumentsText === "" ? [] : [{ tag: "arguments", text: part.argumentsText }];
      call.held += part.argumentsText;
      if (call.held.length > MOST_HELD_CHARACTERS) return null;
      if (!part.name) return [];
      call.isOpen = true;
      const { held } = call;
      call.held = "";
      const open = { tag: "open", id: call.id, name: part.name } as const;
      return held === "" ? [open] : [open, { tag: "arguments", text: held }];
    },
    isIncomplete: () => current?.isOpen === false,
  };
}
