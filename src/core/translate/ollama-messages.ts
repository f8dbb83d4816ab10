/** Messages of an Ollama client as OpenAI's: images as parts, arguments as text, results with the id of their call. Pure. */
import { z } from "zod";
import { defined, type JsonObject, writeJson } from "./json.ts";
import { mediaPart } from "./ollama-media.ts";
import { badRequest, type Checked, check } from "./refusal.ts";

const text = z.string().nullish();

const callSchema = z.object({
  id: text,
  function: z.object({ name: z.string(), arguments: z.record(z.string(), z.unknown()).nullish() }),
});

const messageSchema = z.looseObject({
  role: z.string(),
  content: text,
  thinking: text,
  images: z.array(z.string()).nullish(),
  tool_calls: z.array(callSchema).nullish(),
  tool_name: text,
  tool_call_id: text,
});

type Message = z.infer<typeof messageSchema>;

interface OpenCall {
  readonly id: string;
  readonly name: string;
}

/** Reads the whole history; what a template knows nothing of is left out. */
export function translateMessages(value: unknown): Checked<readonly JsonObject[]> {
  const checked = check(z.array(messageSchema), value, "messages");
  if (!checked.ok) return checked;
  const messages: JsonObject[] = [];
  // Calls that have no result yet, oldest first: Ollama's clients name the tool, OpenAI's templates want an id.
  let open: readonly OpenCall[] = [];
  for (const [at, message] of checked.value.entries()) {
    const content = contentOf(message, `messages[${at}]`);
    if (!content.ok) return content;
    const calls = callsOf(message, at);
    if (!calls) return badRequest(`Cannot use messages[${at}]: its tool calls are nested too deeply`);
    const answered = message.role.toLowerCase() === "tool" ? answeredBy(message, open) : null;
    open = [...open.filter(({ id }) => id !== answered?.id), ...calls.map(toOpen)];
    messages.push(
      defined({
        role: message.role.toLowerCase(),
        content: content.value,
        reasoning_content: message.thinking || undefined,
        tool_calls: calls.length > 0 ? calls : undefined,
        tool_call_id: answered?.id,
        name: answered?.name || undefined,
      }),
    );
  }
  return { ok: true, value: messages };
}

/** A text alone stays a text: not every template takes parts. */
function contentOf({ content, images }: Message, at: string): Checked<string | readonly JsonObject[]> {
  if (!images || images.length === 0) return { ok: true, value: content ?? "" };
  const parts: JsonObject[] = content ? [{ type: "text", text: content }] : [];
  for (const [index, image] of images.entries()) {
    const part = mediaPart(image, `${at}.images[${index}]`);
    if (!part.ok) return part;
    parts.push(part.value);
  }
  return { ok: true, value: parts };
}

interface Call extends JsonObject {
  readonly id: string;
  readonly function: { readonly name: string; readonly arguments: string };
}

function callsOf({ tool_calls }: Message, at: number): readonly Call[] | null {
  const calls: Call[] = [];
  for (const [index, { id, function: called }] of (tool_calls ?? []).entries()) {
    const text = writeJson(called.arguments ?? {});
    if (text === null) return null;
    const call = { name: called.name, arguments: text };
    // Older clients send no id; one that depends on its place alone stays the same each turn, and so does the prompt.
    calls.push({ id: id || `call_${at}_${index}`, type: "function", function: call });
  }
  return calls;
}

function toOpen({ id, function: { name } }: Call): OpenCall {
  return { id, name };
}

/** The call that a result belongs to: by its id, else the oldest of that name, else the oldest. */
function answeredBy({ tool_call_id, tool_name }: Message, open: readonly OpenCall[]): OpenCall {
  const byId = open.find(({ id }) => id === tool_call_id);
  if (tool_call_id) return { id: tool_call_id, name: tool_name ?? byId?.name ?? "" };
  const call = tool_name ? open.find(({ name }) => name === tool_name) : open[0];
  return { id: call?.id ?? "call_unknown", name: tool_name ?? call?.name ?? "" };
}
