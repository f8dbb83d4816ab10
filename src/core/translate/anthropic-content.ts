/** Anthropic's content blocks as the messages of an OpenAI chat. Pure. */
import type { SynapticError } from "../errors.ts";
import type { Block, Counted, Message, ResultBlock, SaidBlock } from "./anthropic-shape.ts";
import { writeJson } from "./json.ts";
import { unsupported } from "./refusal.ts";
import { type ChatMessage, createTranscript, type Part, type Transcript } from "./transcript.ts";

export interface Content {
  readonly messages: readonly ChatMessage[];
  /** What the answer shall go on from: the text of a last message of the assistant; empty otherwise. */
  readonly prefill: string;
}

/** The messages, or the first block that no model of ours can be shown. */
export function toChatMessages({ system, messages }: Counted): Content | SynapticError {
  const transcript = createTranscript();
  for (const { text } of system ?? []) transcript.system(text);
  for (const [at, message] of messages.entries()) {
    const refusal = imageRefusal(message.content, `messages[${at}].content`);
    if (refusal) return refusal;
    addMessage(transcript, message);
  }
  const last = messages.at(-1);
  const isPrefill = last?.role === "assistant" && last.content.every(({ type }) => type !== "tool_use");
  return { messages: transcript.finish(), prefill: isPrefill ? textOf(last.content) : "" };
}

/** Whoever runs the model would fetch it, from within the owner's network (facts/clients.md section 3, images). */
function imageRefusal(blocks: readonly (Block | ResultBlock)[], path: string): SynapticError | null {
  for (const [at, block] of blocks.entries()) {
    const param = `${path}[${at}].source`;
    if (isSaid(block) && block.type === "image" && block.source.type === "url" && !isDataUrl(block.source.url)) {
      const hint = "send the image itself, in base64";
      return unsupported("Cannot use an image by its address: only base64 is taken", { param, hint }).error;
    }
    const results = isResult(block) ? (block.content ?? []) : [];
    const inner = isSaid(block) ? contentOf(block) : [];
    const refusal = imageRefusal(results, `${path}[${at}].content`) ?? imageRefusal(inner, `${param}.content`);
    if (refusal) return refusal;
  }
  return null;
}

function contentOf(block: SaidBlock): readonly ResultBlock[] {
  return block.type === "document" && block.source.type === "content" ? block.source.content : [];
}

function isDataUrl(url: string): boolean {
  return url.startsWith("data:");
}

type ResultOf = Extract<Block, { type: "tool_result" }>;

function isResult(block: Block | ResultBlock): block is ResultOf {
  return block.type === "tool_result" && "tool_use_id" in block;
}

const SAID_FIELDS: Readonly<Record<string, string>> = {
  text: "text",
  image: "source",
  document: "source",
  search_result: "source",
};

/** Blocks of these types have been checked to be what they say: whatever else has such a type was refused. */
function isSaid(block: Block | ResultBlock): block is SaidBlock {
  const field = SAID_FIELDS[block.type];
  return field !== undefined && field in block;
}

function addMessage(transcript: Transcript, { role, content }: Message): void {
  if (role === "assistant") {
    transcript.assistant({ text: textOf(content), reasoning: reasoningOf(content), calls: callsOf(content) });
  } else if (role === "user") {
    // Results come first: in OpenAI's order they follow the calls at once (llama-server's own endpoint has them after
    // the text, which Claude Code appends to almost each result).
    for (const block of content) if (isResult(block)) addResult(transcript, block);
    transcript.user(content.filter(isSaid).flatMap(toParts));
  } else transcript.system(textOf(content));
}

function textOf(content: readonly Block[]): string {
  const parts = content.filter(isSaid).flatMap(toParts);
  return parts.map((part) => (part.type === "text" ? part.text : "")).join("");
}

function reasoningOf(content: readonly Block[]): string {
  return content.map((block) => (block.type === "thinking" ? block.thinking : "")).join("");
}

function callsOf(content: readonly Block[]) {
  return content.flatMap((block) =>
    block.type === "tool_use" ? [{ id: block.id, name: block.name, arguments: writeJson(block.input) ?? "{}" }] : [],
  );
}

const ERROR_WORDS = /^\W*(?:tool_use_)?error\b/i;

/** OpenAI's tool message has no mark for a failure: the text says it, unless it does already. */
function addResult(transcript: Transcript, { tool_use_id, content, is_error }: ResultOf): void {
  const parts = (content ?? []).flatMap(toResultParts);
  const said = parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n");
  const text = is_error && !ERROR_WORDS.test(said) ? `Error: ${said}` : said;
  transcript.result({ callId: tool_use_id, text, images: parts.filter(({ type }) => type === "image_url") });
}

function toResultParts(block: ResultBlock): readonly Part[] {
  return isSaid(block) ? toParts(block) : [{ type: "text", text: writeJson(block) ?? "" }];
}

function toParts(block: SaidBlock): readonly Part[] {
  switch (block.type) {
    case "text":
      return [{ type: "text", text: block.text }];
    case "image": {
      const { source } = block;
      const url = source.type === "url" ? source.url : `data:${source.media_type};base64,${source.data}`;
      return [{ type: "image_url", image_url: { url } }];
    }
    case "search_result": {
      const lines = [block.title, block.source, ...block.content.map(({ text }) => text)];
      return [{ type: "text", text: lines.join("\n") }];
    }
    case "document": {
      const { source, title, context } = block;
      const about = [title, context].filter((text) => text).join("\n");
      const head: readonly Part[] = about === "" ? [] : [{ type: "text", text: about }];
      return [
        ...head,
        ...(source.type === "text" ? [{ type: "text", text: source.data } as const] : source.content.flatMap(toParts)),
      ];
    }
  }
}
