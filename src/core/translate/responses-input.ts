/** The items of a Responses request as the messages of an OpenAI chat. Pure. */
import type { SynapticError } from "../errors.ts";
import { badRequest, unsupported } from "./refusal.ts";
import { ITEM, type Item, type ItemPart, type Responses } from "./responses-shape.ts";
import { type ChatMessage, createTranscript, type Part, type Transcript } from "./transcript.ts";

/** An item of an earlier answer by its id; null when it is not known any more. */
export type Recall = (id: string) => unknown;

/** The messages, or the first item that is not known or whose image would have to be fetched (facts/clients.md 3). */
export function toMessages({ instructions, input }: Responses, recall: Recall): readonly ChatMessage[] | SynapticError {
  const transcript = createTranscript();
  transcript.system(instructions ?? "");
  for (const [at, given] of input.entries()) {
    const item = given.type === "item_reference" ? recalled(given.id, recall) : given;
    if (item === null) return forgotten(at);
    const refusal = imageRefusal(item, at);
    if (refusal) return refusal;
    addItem(transcript, item);
  }
  return transcript.finish();
}

function recalled(id: string, recall: Recall): Item | null {
  const item = ITEM.safeParse(recall(id));
  return item.success && item.data.type !== "item_reference" ? item.data : null;
}

function forgotten(at: number): SynapticError {
  return badRequest("Cannot find the item that is referred to: it is not kept any more", {
    param: `input[${at}].id`,
    hint: "send the item itself; in the AI SDK: providerOptions: { openai: { store: false } }",
  }).error;
}

function imageRefusal(item: Item, at: number): SynapticError | null {
  const [field, parts] = partsOf(item);
  const bad = parts.findIndex((part) => part.type === "input_image" && !part.image_url.startsWith("data:"));
  if (bad < 0) return null;
  const param = `input[${at}].${field}[${bad}].image_url`;
  const hint = "send it in base64, as data:image/png;base64,...";
  return unsupported("Cannot use an image by its address: only data: URLs are taken", { param, hint }).error;
}

function partsOf(item: Item): readonly [field: string, parts: readonly ItemPart[]] {
  if (item.type === "message") return ["content", item.content];
  return item.type === "function_call_output" ? ["output", item.output] : ["content", []];
}

function addItem(transcript: Transcript, item: Item): void {
  const nothing = { text: "", reasoning: "", calls: [] };
  switch (item.type) {
    case "message":
      addMessage(transcript, item);
      break;
    case "reasoning": {
      const thoughts = item.content?.length ? item.content : (item.summary ?? []);
      transcript.assistant({ ...nothing, reasoning: thoughts.map(({ text }) => text).join("\n") });
      break;
    }
    case "function_call": {
      const { call_id: id, name, arguments: text } = item;
      transcript.assistant({ ...nothing, calls: [{ id, name, arguments: text }] });
      break;
    }
    case "function_call_output": {
      const parts = item.output.map(toPart);
      const images = parts.filter(({ type }) => type === "image_url");
      transcript.result({ callId: item.call_id, text: textOf(item.output), images });
    }
  }
}

function addMessage(transcript: Transcript, { role, content }: Extract<Item, { type: "message" }>): void {
  if (role === "user") transcript.user(content.map(toPart));
  else if (role === "assistant") transcript.assistant({ text: textOf(content), reasoning: "", calls: [] });
  else transcript.system(textOf(content));
}

function textOf(parts: readonly ItemPart[]): string {
  const texts = parts.map(toPart).flatMap((part) => (part.type === "text" ? [part.text] : []));
  return texts.join("\n");
}

function toPart(part: ItemPart): Part {
  switch (part.type) {
    case "input_image":
      return { type: "image_url", image_url: { url: part.image_url } };
    case "refusal":
      return { type: "text", text: part.refusal };
    default:
      return { type: "text", text: part.text };
  }
}
