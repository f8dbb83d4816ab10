/** Reads Anthropic's stream of events as strictly as its documentation has it, and gathers the message. */
import { readJson } from "../../../src/core/translate/json.ts";
import type { NamedEvent } from "./recorded.ts";

type Fields = Record<string, unknown>;

export interface ReadMessage {
  readonly message: Fields;
  /** The type of each block as it was closed: what the SDK's `contentBlock` event would report. */
  readonly closed: readonly string[];
  readonly error: Fields | null;
}

function fields(value: unknown): Fields {
  if (typeof value !== "object" || value === null) throw new Error(`no object: ${JSON.stringify(value)}`);
  return { ...value };
}

/** Throws when a block begins before the one before it has ended, or anything else is out of order. */
export function readMessage(events: readonly NamedEvent[]): ReadMessage {
  let message: Fields | null = null;
  const content: Fields[] = [];
  const closed: string[] = [];
  let isOpen = false;
  let json = "";
  let isOver = false;
  const expect = (condition: boolean, what: string): void => {
    if (!condition) throw new Error(what);
  };
  for (const { name, data } of events) {
    expect(name === data.type, `event ${name} has type ${data.type}`);
    expect(!isOver, `${name} after the end`);
    if (name === "ping") continue;
    if (name === "error") return { message: { ...message, content }, closed, error: fields(data.error) };
    if (name === "message_start") {
      expect(message === null, "a second message_start");
      message = fields(data.message);
      continue;
    }
    expect(message !== null, `${name} before message_start`);
    const block = content.at(-1) ?? {};
    switch (name) {
      case "content_block_start":
        expect(!isOpen && data.index === content.length, `block ${data.index} begins out of turn`);
        isOpen = true;
        json = "";
        content.push(fields(data.content_block));
        break;
      case "content_block_delta": {
        expect(isOpen && data.index === content.length - 1, `a delta of block ${data.index}, which is not open`);
        const delta = fields(data.delta);
        if (delta.type === "input_json_delta") json += delta.partial_json;
        else if (delta.type === "signature_delta") block.signature = delta.signature;
        else {
          const kind = String(delta.type).replace("_delta", "");
          expect(block.type === kind, `a ${delta.type} in a block of type ${block.type}`);
          block[kind] = `${block[kind]}${delta[kind]}`;
        }
        break;
      }
      case "content_block_stop":
        expect(isOpen && data.index === content.length - 1, `block ${data.index} ends out of turn`);
        isOpen = false;
        if (json !== "") block.input = readJson(json) ?? json;
        closed.push(String(block.type));
        break;
      case "message_delta":
        expect(!isOpen, "message_delta within a block");
        message = { ...message, ...fields(data.delta), usage: { ...fields(message?.usage), ...fields(data.usage) } };
        break;
      case "message_stop":
        isOver = true;
        break;
      default:
        throw new Error(`unknown event ${name}`);
    }
  }
  expect(isOver, "the stream ended silently");
  return { message: { ...message, content }, closed, error: null };
}
