/** What tells one conversation from another: the messages it starts with. Pure. */

/** 64 bits, FNV-1a. */
const OFFSET = 0xcbf29ce484222325n;
const PRIME = 0x100000001b3n;
const MASK = 0xffffffffffffffffn;
/** The start of a long system text tells as much as all of it. */
const MAX_CHARACTERS = 4_096;

interface Message {
  readonly role: unknown;
  readonly content: unknown;
}

/**
 * The same for every turn of a conversation with a model: all messages up to the first of the user's are in it, which later
 * turns repeat. Null where there are none: a prompt by itself is no conversation.
 */
export function conversationKey(model: string, body: unknown): string | null {
  const messages = messagesOf(body);
  const first = messages.findIndex(({ role }) => role === "user");
  if (first < 0) return null;
  const start = JSON.stringify(messages.slice(0, first + 1).map(({ role, content }) => [role, content]));
  return hash(`${model}\n${start.slice(0, MAX_CHARACTERS)}\n${start.length}`);
}

function messagesOf(body: unknown): readonly Message[] {
  if (typeof body !== "object" || body === null || !("messages" in body) || !Array.isArray(body.messages)) return [];
  return body.messages.flatMap((message: unknown) => {
    if (typeof message !== "object" || message === null || !("role" in message)) return [];
    return [{ role: message.role, content: "content" in message ? message.content : null }];
  });
}

function hash(text: string): string {
  let value = OFFSET;
  for (let at = 0; at < text.length; at++) value = ((value ^ BigInt(text.charCodeAt(at))) * PRIME) & MASK;
  return value.toString(16).padStart(16, "0");
}
