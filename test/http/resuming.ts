/** A coordinator that dies where a test says, and whose successors go on from the text that they are given. */
import { SynapticError } from "../../src/core/errors.ts";
import { readJson } from "../../src/core/translate/json.ts";
import { PROMPT, type Reciter, streamOf, TEXT } from "../core/continuation-support.ts";
import type { Reply, Script } from "../fakes/llama-server.ts";
import { type Stage, type StageOptions, setStage } from "./stage.ts";

export const LOST = "Lost backend 10.0.0.1:50052 of m: it is gone";
export const RECITER: Reciter = { tokens: TEXT, promptTokens: 9 };
export const WHOLE_TEXT = TEXT.map(({ text }) => text).join("");

export interface Dying extends StageOptions {
  /** After so many bytes of its stream each coordinator dies; those without a number live. */
  readonly bytes: readonly number[];
  readonly reciter?: Reciter;
  /** Before it is seen to die. */
  readonly onDeath?: (stage: Stage) => void;
  /** Answers instead of it; false leaves the answer to it. */
  readonly instead?: (reply: Reply, untilRead: UntilRead) => boolean | Promise<boolean>;
}

/** Resolves when so many bytes of the answer were read. */
export type UntilRead = (count: number) => Promise<void>;

export interface Body {
  readonly prompt?: string;
  readonly content?: string;
  readonly messages?: readonly {
    readonly role: string;
    readonly content: string;
    readonly reasoning_content?: string;
  }[];
  readonly max_tokens?: number;
  readonly user?: string;
}

export interface Staged extends Stage {
  /** Bodies of the requests for an answer. */
  bodies(): readonly Body[];
}

/** Each stream goes out event by event, so that what the client has is known. */
export function setDying({ bytes, reciter = RECITER, onDeath, instead, ...options }: Dying): Staged {
  let streams = 0;
  const reading = { bytes: 0, onRead: () => {} };
  const untilRead: UntilRead = async (count) => {
    while (reading.bytes < count) {
      await new Promise<void>((resolve) => {
        reading.onRead = resolve;
      });
    }
  };
  const onRead = (count: number): void => {
    reading.bytes += count;
    reading.onRead();
  };
  const script: Script = async (reply) => {
    const body = bodyOf(reply.asked.body);
    if (reply.asked.path.endsWith("completions")) reading.bytes = 0;
    if (await instead?.(reply, untilRead)) return;
    if (answersQuestion(reply, body)) return;
    const dialect = reply.asked.path.includes("chat") ? "chat" : "completion";
    const stream = new TextEncoder().encode(streamOf(reciter, { dialect, fields: { ...body } }));
    const end = bytes[streams++];
    await reply.head();
    for (const chunk of chunksOf(stream.subarray(0, end))) await reply.chunk(chunk);
    if (end === undefined) return await reply.end();
    await untilRead(end);
    onDeath?.(stage);
    stage.runtime.die(new SynapticError("coordinator_failed", LOST));
    reply.cut("fin");
  };
  const stage = setStage(script, { ...options, through: (response) => watched(response, onRead) });
  const bodies = () =>
    stage.upstream.asked.filter(({ path }) => path.endsWith("completions")).map(({ body }) => bodyOf(body));
  return { ...stage, bodies };
}

/** Tells of each chunk that was read: what is only on its way is lost with its coordinator. */
function watched(response: Response, onRead: (bytes: number) => void): Response {
  return readBy(response, async (reader, out) => {
    const { value } = await reader.read();
    if (!value) return out.close();
    out.enqueue(value);
    setImmediate(onRead, value.length);
  });
}

/** Breaks after so many bytes, as if its coordinator had died. */
export function cutAfter(response: Response, bytes: number, onCut: () => void): Response {
  let left = bytes;
  return readBy(response, async (reader, out) => {
    const { value } = left > 0 ? await reader.read() : {};
    if (left > 0 && !value) return out.close();
    if (value) out.enqueue(value.subarray(0, left));
    left -= value?.length ?? 0;
    if (value) return;
    onCut();
    await reader.cancel();
    out.error(new Error("ECONNRESET"));
  });
}

type ByteReader = Pick<ReadableStreamDefaultReader<Uint8Array>, "read" | "cancel">;
type Pull = (reader: ByteReader, out: ReadableStreamDefaultController<Uint8Array>) => Promise<void>;

/** Nothing waits in it: each chunk goes from the connection to who reads it. */
function readBy(response: Response, pull: Pull): Response {
  const reader: ByteReader | undefined = response.body?.getReader();
  if (!reader) return response;
  const body = new ReadableStream<Uint8Array>(
    { pull: (out) => pull(reader, out), cancel: () => reader.cancel() },
    { highWaterMark: 0 },
  );
  return new Response(body, response);
}

/** What a coordinator is asked before it goes on. */
function answersQuestion(reply: Reply, { content = "", messages = [] }: Body): boolean {
  if (reply.asked.path === "/tokenize") {
    void reply.whole(
      200,
      JSON.stringify({ tokens: tokensOf(content.replace(/^.*assistant\n/, "").replace(PROMPT, "")) }),
    );
    return true;
  }
  if (reply.asked.path !== "/apply-template") return false;
  const last = messages.at(-1);
  const prompt = last?.role === "assistant" ? `${last.reasoning_content ?? ""}${last.content}` : "";
  void reply.whole(200, JSON.stringify({ prompt: `<|im_start|>assistant\n${prompt}` }));
  return true;
}

/** As many as there are before its end. */
function tokensOf(content: string): readonly number[] {
  const ends = TEXT.map(
    (_, at) =>
      TEXT.slice(0, at + 1)
        .map(({ text }) => text)
        .join("").length,
  );
  return ends.filter((end) => end <= content.length);
}

function* chunksOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const end = Buffer.from(bytes).indexOf("\n\n", at);
    const next = end < 0 ? bytes.length : end + 2;
    yield bytes.subarray(at, next);
    at = next;
  }
}

function bodyOf(bytes: Uint8Array): Body {
  // What our own code sends.
  return readJson(new TextDecoder().decode(bytes)) as Body;
}

/** How many bytes a stream has after so many of its events. */
export function afterEvents(count: number, dialect: "chat" | "completion" = "chat"): number {
  const stream = streamOf(RECITER, { dialect, fields: { prompt: "" } });
  return new TextEncoder().encode(`${stream.split("\n\n").slice(0, count).join("\n\n")}\n\n`).length;
}

/** A stream without its comments. */
export function withoutComments(text: string): string {
  return text.replace(/^:.*\n\n/gm, "");
}

export function commentsOf(text: string): readonly string[] {
  return [...text.matchAll(/^: (.*)\n\n/gm)].map(([, words = ""]) => words);
}
