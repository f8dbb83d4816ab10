/** The output of a Responses stream as it grows: the events of its items, and the items so far. Pure. */
import type { SynapticError } from "../errors.ts";
import type { ToolCallPart } from "./answer-events.ts";
import { createCallSequence } from "./call-sequence.ts";
import type { JsonObject } from "./json.ts";
import type { AnswerDelta } from "./message-translator.ts";
import { unreadable } from "./openai-events.ts";
import {
  type CallNames,
  callItem,
  type ItemStatus,
  messageItem,
  reasoningItem,
  summaryPart,
  textPart,
} from "./responses-items.ts";

/** More than any model says in one answer. */
const MOST_KEPT_CHARACTERS = 32 * 1024 ** 2;

type WriteEvent = (type: string, fields: JsonObject) => string;

export interface Output {
  /** The events of a piece, or why it does not fit the others. */
  add(delta: AnswerDelta): string | SynapticError;
  /** Ends the item that is open, if any. */
  close(status: ItemStatus): string;
  items(): readonly JsonObject[];
  hasHalfCall(): boolean;
}

const MARKS = { reasoning: "rs", message: "msg" } as const;

type OpenItem =
  | { readonly kind: "reasoning" | "message"; readonly id: string; text: string }
  | { readonly kind: "call"; readonly names: CallNames; text: string };

export interface OutputOptions {
  readonly event: WriteEvent;
  readonly remember: (item: JsonObject) => void;
}

interface Items {
  /** Opens one, after the one before it has been completed. */
  begin(item: OpenItem): string;
  /** Adds to the open one; null when none of this kind is open. */
  grow(kind: OpenItem["kind"], text: string): string | null;
  close(status: ItemStatus): string;
  list(): readonly JsonObject[];
  /** Of the one that would begin now. */
  nextIndex(): number;
}

/** Whole texts are sent once more at the end of each item, so they are kept. */
function createItems({ event, remember }: OutputOptions): Items {
  const done: JsonObject[] = [];
  let open: OpenItem | null = null;
  const close = (status: ItemStatus): string => {
    if (open === null) return "";
    const index = done.length;
    const item = toItem(open, status);
    const said = closing(open, index, event) + event("response.output_item.done", { output_index: index, item });
    done.push(item);
    remember(item);
    open = null;
    return said;
  };
  return {
    begin(item) {
      const closed = close("completed");
      open = item;
      return closed + opening(item, done.length, event);
    },
    grow: (kind, text) => (open?.kind === kind ? growing(open, done.length, text, event) : null),
    close,
    list: () => (open === null ? done : [...done, toItem(open, "in_progress")]),
    nextIndex: () => done.length + (open === null ? 0 : 1),
  };
}

/** Thoughts, texts and calls become items in the order in which they come. */
export function createOutput(id: string, options: OutputOptions): Output {
  const calls = createCallSequence();
  const items = createItems(options);
  let kept = 0;

  const say = (kind: "reasoning" | "message", text: string): string => {
    if (text === "") return "";
    const grown = items.grow(kind, text);
    if (grown !== null) return grown;
    const begun = items.begin({ kind, id: `${MARKS[kind]}_${id}_${items.nextIndex()}`, text: "" });
    return begun + (items.grow(kind, text) ?? "");
  };
  const beginCall = (callId: string | null, name: string): string => {
    const mark = `${id}_${items.nextIndex()}`;
    return items.begin({ kind: "call", names: { id: `fc_${mark}`, callId: callId ?? `call_${mark}`, name }, text: "" });
  };
  const call = (part: ToolCallPart): string | null => {
    let said = "";
    for (const step of calls.take(part) ?? [null]) {
      if (step === null) return null;
      const events = step.tag === "open" ? beginCall(step.id, step.name) : items.grow("call", step.text);
      // The call's item is closed: something else was said in between.
      if (events === null) return null;
      said += events;
    }
    return said;
  };
  return {
    add({ reasoning, text, toolCalls }) {
      kept += sizeOf(reasoning, text, ...toolCalls.map(({ argumentsText }) => argumentsText));
      if (kept > MOST_KEPT_CHARACTERS) return unreadable("it has no end");
      let said = say("reasoning", reasoning) + say("message", text);
      for (const part of toolCalls) {
        const events = call(part);
        if (events === null) return unreadable("its tool calls are mixed up");
        said += events;
      }
      return said;
    },
    close: items.close,
    items: items.list,
    hasHalfCall: () => calls.isIncomplete(),
  };
}

function sizeOf(...texts: readonly string[]): number {
  return texts.reduce((sum, { length }) => sum + length, 0);
}

function toItem(item: OpenItem, status: ItemStatus): JsonObject {
  if (item.kind === "call") return callItem(item.names, item.text, status);
  return item.kind === "reasoning" ? reasoningItem(item.id, item.text) : messageItem(item.id, item.text, status);
}

function opening(item: OpenItem, index: number, event: WriteEvent): string {
  const added = (empty: JsonObject) => event("response.output_item.added", { output_index: index, item: empty });
  switch (item.kind) {
    case "call":
      return added(callItem(item.names, "", "in_progress"));
    case "reasoning":
      return (
        added(reasoningItem(item.id, null)) +
        event("response.reasoning_summary_part.added", { ...inSummary(item.id, index), part: summaryPart("") })
      );
    case "message":
      return (
        added(messageItem(item.id, null, "in_progress")) +
        event("response.content_part.added", { ...inContent(item.id, index), part: textPart("") })
      );
  }
}

function growing(item: OpenItem, index: number, delta: string, event: WriteEvent): string {
  item.text += delta;
  switch (item.kind) {
    case "call":
      return event("response.function_call_arguments.delta", { item_id: item.names.id, output_index: index, delta });
    case "reasoning":
      return event("response.reasoning_summary_text.delta", { ...inSummary(item.id, index), delta });
    case "message":
      return event("response.output_text.delta", { ...inContent(item.id, index), delta, logprobs: [] });
  }
}

function closing(item: OpenItem, index: number, event: WriteEvent): string {
  const { text } = item;
  switch (item.kind) {
    case "call": {
      const { id, name } = item.names;
      return event("response.function_call_arguments.done", {
        item_id: id,
        output_index: index,
        name,
        arguments: text,
      });
    }
    case "reasoning": {
      const place = inSummary(item.id, index);
      const whole = event("response.reasoning_summary_text.done", { ...place, text });
      return whole + event("response.reasoning_summary_part.done", { ...place, part: summaryPart(text) });
    }
    case "message": {
      const place = inContent(item.id, index);
      const whole = event("response.output_text.done", { ...place, text, logprobs: [] });
      return whole + event("response.content_part.done", { ...place, part: textPart(text) });
    }
  }
}

function inSummary(id: string, index: number): JsonObject {
  return { item_id: id, output_index: index, summary_index: 0 };
}

function inContent(id: string, index: number): JsonObject {
  return { item_id: id, output_index: index, content_index: 0 };
}
