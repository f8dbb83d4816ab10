/** What llama-server answers when all is well, and how it refuses (0.7.0, facts measured; the contract test compares). */
import { RECITATION, wordsOf } from "../../scripts/recitation.ts";
import type { Reply, Script } from "./llama-server.ts";

const ID = "chatcmpl-fake";
const CREATED = 1_795_547_112;
const PROMPT_TOKENS = 22;

interface Body {
  readonly model?: string;
  readonly messages?: unknown;
  readonly prompt?: unknown;
  readonly max_tokens?: number;
  readonly stream?: boolean;
  readonly stream_options?: { readonly include_usage?: boolean };
}

export function event(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

export const DONE = "data: [DONE]\n\n";
export const PING = ":\n\n";

/** llama-server's own error body: a number as code, and no param. */
export function refusalBody(code: number, message: string, more: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({ error: { code, message, type: typeOf(code), ...more } });
}

function typeOf(code: number): string {
  if (code === 404) return "not_found_error";
  if (code === 501) return "not_supported_error";
  if (code === 503) return "unavailable_error";
  return code < 500 ? "invalid_request_error" : "server_error";
}

/** Refuses everything in the same way. */
export function refuse(code: number, message: string, more: Readonly<Record<string, unknown>> = {}): Script {
  return (reply) => reply.whole(code, refusalBody(code, message, more), { Connection: "close" });
}

/** The chunk of a chat stream. */
export function chatChunk(delta: Readonly<Record<string, unknown>>, finish: string | null = null, model = "m"): string {
  return event({
    choices: [{ finish_reason: finish, index: 0, delta }],
    created: CREATED,
    id: ID,
    model,
    system_fingerprint: "b1-fake",
    object: "chat.completion.chunk",
  });
}

/** Recites like the small model: whole or streamed, one event per token and write. */
export const recite: Script = async (reply) => {
  const { path, method } = reply.asked;
  if (path === "/health") return reply.whole(200, '{"status":"ok"}');
  if (path === "/v1/embeddings") return refuse(501, "This server does not support embeddings")(reply);
  if (method !== "POST" || !/^\/v1\/(chat\/)?completions$/.test(path)) return refuse(404, "File Not Found")(reply);
  const body = readBody(reply.asked.body);
  if (!body) return refuse(400, "[json.exception.parse_error.101] parse error")(reply);
  const isChat = path.includes("chat");
  if (isChat && !body.messages) return refuse(400, "'messages' is required")(reply);
  const said = wordsOf(RECITATION).slice(0, body.max_tokens);
  const finish = said.join("") === RECITATION ? "stop" : "length";
  const answer = { model: body.model ?? "m", said, finish, usage: usageOf(said.length) };
  if (!body.stream) return reply.whole(200, wholeAnswer(isChat, answer));
  await reply.head();
  await (isChat ? chatStream(reply, answer, body) : textStream(reply, answer));
  await reply.chunk(DONE);
  await reply.end();
};

interface Answer {
  readonly model: string;
  readonly said: readonly string[];
  readonly finish: string;
  readonly usage: Readonly<Record<string, number>>;
}

function usageOf(tokens: number): Answer["usage"] {
  return { completion_tokens: tokens, prompt_tokens: PROMPT_TOKENS, total_tokens: PROMPT_TOKENS + tokens };
}

function wholeAnswer(isChat: boolean, { model, said, finish, usage }: Answer): string {
  const content = said.join("");
  const choice = isChat ? { message: { role: "assistant", content } } : { text: content, logprobs: null };
  return JSON.stringify({
    choices: [{ finish_reason: finish, index: 0, ...choice }],
    created: CREATED,
    model,
    system_fingerprint: "b1-fake",
    object: isChat ? "chat.completion" : "text_completion",
    usage,
    id: ID,
  });
}

async function chatStream(reply: Reply, { model, said, finish, usage }: Answer, body: Body): Promise<void> {
  await reply.chunk(chatChunk({ role: "assistant", content: null }, null, model));
  for (const content of said) await reply.chunk(chatChunk({ content }, null, model));
  await reply.chunk(chatChunk({}, finish, model));
  if (!body.stream_options?.include_usage) return;
  await reply.chunk(event({ choices: [], created: CREATED, id: ID, model, object: "chat.completion.chunk", usage }));
}

async function textStream(reply: Reply, { model, said, finish, usage }: Answer): Promise<void> {
  const chunk = (text: string, end: string | null): string =>
    event({
      choices: [{ text, index: 0, logprobs: null, finish_reason: end }],
      created: CREATED,
      model,
      object: "text_completion",
      ...(end && { usage }),
      id: ID,
    });
  for (const text of said) await reply.chunk(chunk(text, null));
  await reply.chunk(chunk("", finish));
}

function readBody(bytes: Uint8Array): Body | null {
  try {
    // What the tests send; the real one's own checks are its own business.
    return JSON.parse(new TextDecoder().decode(bytes)) as Body;
  } catch {
    return null;
  }
}
