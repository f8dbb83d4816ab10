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

type OpenItem =
  | { readonly kind: "reasoning" | "message"; readonly id: string; text: string }
  | { readonly kind: "call"; readonly names: CallNames; text: string };

export interface OutputOptions {
  readonly event: WriteEvent;
  readonly remember: (item: JsonObject) => void;
}

/** Whole texts are sent once more at the end of each item, so they are kept. */
export function createOutput(id: string, { event, remember }: OutputOptions): Output {
  const calls = createCallSequence();
  const done: JsonObject[] = [];
  let open: OpenItem | null = null;
  let kept = 0;

  const nextId = (): string => `${id}_${done.length + (open === null ? 0 : 1)}`;
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
  const begin = (item: OpenItem): string => {
    const closed = close("completed");
    open = item;
    return closed + opening(item, done.length, event);
  };
  const say = (kind: "reasoning" | "message", text: string): string => {
    if (text === "") return "";
    const mark = kind === "reasoning" ? "rs" : "msg";
    const begun = open?.kind === kind ? "" : begin({ kind, id: `${mark}_${nextId()}`, text: "" });
    return begun + (open ? grow(open, done.length, text, event) : "");
  };
  const call = (part: ToolCallPart): string | null => {
    let said = "";
    for (const step of calls.take(part) ?? [null]) {
      if (step === null) return null;
      if (step.tag === "open") {
        const mark = nextId();
        const names = { id: `fc_${mark}`, callId: step.id ?? `call_${mark}`, name: step.name };
        said += begin({ kind: "call", names, text: "" });
      } else if (open?.kind !== "call") return null;
      else said += grow(open, done.length, step.text, event);
    }
    return said;
  };
  return {
    add({ reasoning, text, toolCalls }) {
      const sizes = [reasoning, text, ...toolCalls.map((part) => part.argumentsText)].map(({ length }) => length);
      kept += sizes.reduce((sum, size) => sum + size, 0);
      if (kept > MOST_KEPT_CHARACTERS) return unreadable("it has no end");
      let said = say("reasoning", reasoning) + say("message", text);
      for (const part of toolCalls) {
        const events = call(part);
        if (events === null) return unreadable("its tool calls are mixed up");
        said += events;
      }
      return said;
    },
    close,
    items: () => (open === null ? done : [...done, toItem(open, "in_progress")]),
    hasHalfCall: () => calls.isIncomplete(),
  };
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

function grow(item: OpenItem, index: number, delta: string, event: WriteEvent): string {
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
