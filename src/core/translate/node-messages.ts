/** Messages of an OpenAI client as an Ollama node takes them: one text and its images each, arguments as objects. Pure. */
import { z } from "zod";
import { defined, isDeeper, isObject, type JsonObject, readJson } from "./json.ts";
import { badRequest, type Checked, check, type Refused, unsupported } from "./refusal.ts";

const text = z.string().nullish();

const callSchema = z.looseObject({
  id: text,
  function: z.looseObject({ name: z.string(), arguments: z.string().nullish() }),
});

const ROLES = ["system", "developer", "user", "assistant", "tool", "function"] as const;

const messageSchema = z.looseObject({
  role: z.enum(ROLES),
  content: z
    .union([z.string(), z.array(z.looseObject({ type: z.string() }))], {
      error: "expected a text or a list of parts",
    })
    .nullish(),
  name: text,
  reasoning_content: text,
  reasoning: text,
  tool_calls: z.array(callSchema).nullish(),
  tool_call_id: text,
});

type Message = z.infer<typeof messageSchema>;
type Part = JsonObject & { readonly type: string };

/** Reads the whole history. */
export function nodeMessages(value: unknown): Checked<readonly JsonObject[]> {
  const checked = check(z.array(messageSchema).min(1), value, "messages");
  if (!checked.ok) return checked;
  const messages: JsonObject[] = [];
  const names = new Map<string, string>();
  for (const [at, message] of checked.value.entries()) {
    const content = contentOf(message, `messages[${at}]`);
    if (!content.ok) return content;
    const calls = callsOf(message, `messages[${at}]`);
    if (!calls.ok) return calls;
    // The last call of an id counts, as in Ollama (openai.go nameFromToolCallID).
    for (const { id, function: called } of message.tool_calls ?? []) if (id) names.set(id, called.name);
    messages.push(toMessage(message, { ...content.value, calls: calls.value, names }));
  }
  return { ok: true, value: messages };
}

interface Content {
  readonly text: string;
  readonly images: readonly string[];
}

interface Read extends Content {
  readonly calls: readonly JsonObject[];
  readonly names: ReadonlyMap<string, string>;
}

function toMessage({ role, name, tool_call_id, reasoning_content, reasoning }: Message, read: Read): JsonObject {
  const isResult = role === "tool" || role === "function";
  return defined({
    // Only few of Ollama's renderers know developers.
    role: role === "developer" ? "system" : isResult ? "tool" : role,
    content: read.text,
    thinking: reasoning_content || reasoning || undefined,
    images: read.images.length > 0 ? read.images : undefined,
    tool_calls: read.calls.length > 0 ? read.calls : undefined,
    tool_name: isResult ? name || read.names.get(tool_call_id ?? "") : undefined,
    tool_call_id: isResult ? (tool_call_id ?? undefined) : undefined,
  });
}

/** Ollama's own /v1 makes a message of each part, which templates then show as several turns (facts/clients.md 3). */
function contentOf({ content }: Message, at: string): Checked<Content> {
  if (!Array.isArray(content)) return { ok: true, value: { text: content ?? "", images: [] } };
  const texts: string[] = [];
  const images: string[] = [];
  for (const [index, part] of content.entries()) {
    const media = mediaOf(part, `${at}.content[${index}]`);
    if (media !== null && !media.ok) return media;
    if (media) images.push(media.value);
    else texts.push(textOf(part));
  }
  // As llama-server joins them.
  return { ok: true, value: { text: texts.join("\n"), images } };
}

function textOf({ text, refusal }: Part): string {
  if (typeof text === "string") return text;
  return typeof refusal === "string" ? refusal : "";
}

/** The base64 of an image or a sound, both of which Ollama takes as `images`; null for text. */
function mediaOf(part: Part, at: string): Checked<string> | null {
  switch (part.type) {
    case "text":
    case "input_text":
    case "output_text":
      return unlessText(part.text, `${at}.text`);
    case "refusal":
      return null;
    case "image_url":
      return imageOf(part.image_url, `${at}.image_url`);
    case "input_audio": {
      const checked = check(z.looseObject({ data: z.string().min(1) }), part.input_audio, `${at}.input_audio`);
      return checked.ok ? { ok: true, value: checked.value.data } : checked;
    }
    default:
      return unsupported(`Cannot use a part of type '${part.type.slice(0, 50)}' with a model that runs on Ollama`, {
        param: `${at}.type`,
      });
  }
}

function unlessText(value: unknown, at: string): Refused | null {
  const checked = check(z.string(), value, at);
  return checked.ok ? null : checked;
}

const DATA_URL = /^data:(?:image\/[\w.+-]+)?;base64,/;
const LONGEST_PREFIX = 64;

function imageOf(value: unknown, at: string): Checked<string> {
  const url = isObject(value) ? value.url : value;
  if (typeof url !== "string") return check(z.string(), url, `${at}.url`);
  const [prefix] = DATA_URL.exec(url.slice(0, LONGEST_PREFIX)) ?? [];
  if (prefix && url.length > prefix.length) return { ok: true, value: url.slice(prefix.length) };
  if (url.startsWith("data:")) {
    return badRequest(`Invalid value for '${at}': expected an image in base64`, { param: at, detail: "invalid_value" });
  }
  const hint = "send it in base64, as data:image/png;base64,...";
  return unsupported("Cannot use an image by its address: only data: URLs are taken", { param: at, hint });
}

function callsOf({ tool_calls }: Message, at: string): Checked<readonly JsonObject[]> {
  const calls: JsonObject[] = [];
  for (const [index, { id, function: called }] of (tool_calls ?? []).entries()) {
    const text = called.arguments ?? "";
    const value = text.trim() === "" ? {} : readJson(text);
    if (!isObject(value) || isDeeper(value)) return badArguments(`${at}.tool_calls[${index}].function.arguments`);
    calls.push(defined({ id: id || undefined, function: { index, name: called.name, arguments: value } }));
  }
  return { ok: true, value: calls };
}

function badArguments(param: string): Refused {
  return badRequest(`Invalid value for '${param}': expected the text of a JSON object`, {
    param,
    detail: "invalid_value",
  });
}
