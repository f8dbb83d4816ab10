/** An answer as Anthropic's stream of events: blocks one after the other, each closed before the next. Pure. */
import type { AnswerReader, ToolCallPart } from "./answer-events.ts";
import type { AnswerIdentity } from "./answer-identity.ts";
import { anthropicErrorEvent } from "./anthropic-error.ts";
import { stopOf, usageOf } from "./anthropic-usage.ts";
import { createCallSequence } from "./call-sequence.ts";
import { namedEvent } from "./event-stream.ts";
import type { JsonObject } from "./json.ts";
import { createMessageTranslator } from "./message-translator.ts";
import { unreadable } from "./openai-events.ts";
import type { StreamTranslator } from "./types.ts";

/** Anthropic's own keep-alive, taken by its SDK and the AI SDK (facts/clients.md 1b). */
export const ANTHROPIC_PING = namedEvent({ type: "ping" });

/** Writes what `reader` makes of the upstream's bytes. */
export function createAnthropicStream(reader: AnswerReader, identity: AnswerIdentity): StreamTranslator {
  const blocks = createBlocks(identity.id);
  return createMessageTranslator(reader, {
    start: () => messageStart(identity),
    delta({ reasoning, text, toolCalls }) {
      let said = blocks.thinking(reasoning) + blocks.text(text);
      for (const part of toolCalls) {
        const call = blocks.call(part);
        if (call === null) return unreadable("its tool calls are mixed up");
        said += call;
      }
      return said;
    },
    complete(finish, counts) {
      if (blocks.hasHalfCall()) return unreadable("a tool call has no name");
      const delta = stopOf(finish, blocks.hasCalls());
      const end = namedEvent({ type: "message_delta", delta, usage: usageOf(counts) });
      return blocks.close() + end + namedEvent({ type: "message_stop" });
    },
    error: anthropicErrorEvent,
    keepAlive: () => ANTHROPIC_PING,
  });
}

/** Usage is not known yet: the SDKs take it from `message_delta`. */
function messageStart({ id, model }: AnswerIdentity): string {
  const message = {
    id: `msg_${id}`,
    type: "message",
    role: "assistant",
    model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: usageOf(null),
  };
  return namedEvent({ type: "message_start", message });
}

type BlockKind = "thinking" | "text" | "tool_use";

interface Blocks {
  thinking(text: string): string;
  text(text: string): string;
  /** Null when nobody can tell which call a piece belongs to. */
  call(part: ToolCallPart): string | null;
  close(): string;
  hasCalls(): boolean;
  hasHalfCall(): boolean;
}

/** llama-server's own endpoint closes all blocks at the end, and the SDK then reports the last one for each of them. */
function createBlocks(id: string): Blocks {
  const calls = createCallSequence();
  let index = -1;
  let open: BlockKind | null = null;
  let callCount = 0;

  const delta = (fields: JsonObject): string => namedEvent({ type: "content_block_delta", index, delta: fields });
  const close = (): string => {
    if (open === null) return "";
    // A thinking block is signed before it ends; without Anthropic's key the signature is empty, as llama-server has it.
    const signature = open === "thinking" ? delta({ type: "signature_delta", signature: "" }) : "";
    open = null;
    return signature + namedEvent({ type: "content_block_stop", index });
  };
  const begin = (kind: BlockKind, fields: JsonObject): string => {
    const closed = close();
    open = kind;
    index += 1;
    return closed + namedEvent({ type: "content_block_start", index, content_block: { type: kind, ...fields } });
  };
  const beginCall = (callId: string | null, name: string): string => {
    callCount += 1;
    return begin("tool_use", { id: callId ?? `toolu_${id}_${callCount}`, name, input: {} });
  };
  return {
    thinking(text) {
      if (text === "") return "";
      const begun = open === "thinking" ? "" : begin("thinking", { thinking: "", signature: "" });
      return begun + delta({ type: "thinking_delta", thinking: text });
    },
    text(text) {
      if (text === "") return "";
      return (open === "text" ? "" : begin("text", { text: "" })) + delta({ type: "text_delta", text });
    },
    call(part) {
      let said = "";
      for (const step of calls.take(part) ?? [null]) {
        if (step === null) return null;
        if (step.tag === "open") said += beginCall(step.id, step.name);
        // Its block is closed: something else was said in between.
        else if (open !== "tool_use") return null;
        else said += delta({ type: "input_json_delta", partial_json: step.text });
      }
      return said;
    },
    close,
    hasCalls: () => callCount > 0,
    hasHalfCall: () => calls.isIncomplete(),
  };
}
