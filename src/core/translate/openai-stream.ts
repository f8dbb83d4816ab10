/** The answer of an Ollama node in OpenAI's dialect: server-sent events, or a whole one. Pure. */
import { toOpenAi } from "../errors.ts";
import type { Counts } from "./answer-events.ts";
import { createNodeLines, createNodeReader } from "./node-events.ts";
import type { WholeAnswer } from "./ollama-answer.ts";
import {
  choiceOf,
  finishChoice,
  type OpenAiAnswerOptions,
  openAiChunk,
  usageOf,
  wholeAnswer,
} from "./openai-answer.ts";
import { endedEarly } from "./openai-events.ts";
import { type AnswerWriter, createTranslator } from "./stream-translator.ts";
import type { StreamTranslator } from "./types.ts";

export interface FromNodeOptions extends OpenAiAnswerOptions {
  /** What the node was told, in tokens. */
  readonly contextSize: number;
}

/** Ends in `[DONE]` when the node said that it was done, in an error frame otherwise, never in both. */
export function createOpenAiStream(options: FromNodeOptions): StreamTranslator {
  return createTranslator(createNodeReader(contextOf(options)), createOpenAiWriter(options));
}

function createOpenAiWriter(options: OpenAiAnswerOptions): AnswerWriter {
  let begun = false;
  let counts: Counts | null = null;
  let offset = 0;

  const chunk = (own: { readonly [key: string]: unknown }): string => frame(openAiChunk(options, own));

  /** The role comes alone, once, before all else (facts/clients.md 5.2). */
  const begin = (): string => {
    if (begun) return "";
    begun = true;
    if (options.kind !== "chat") return "";
    return chunk({ choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }] });
  };

  return {
    write(event) {
      switch (event.tag) {
        case "delta": {
          const choice = choiceOf(options, event, offset);
          offset += event.text.length;
          return choice ? begin() + chunk({ choices: [choice] }) : "";
        }
        case "finish":
          return begin() + chunk({ choices: [finishChoice(options, event.reason)] });
        case "counts":
          counts = event.counts;
          return "";
        case "done": {
          const usage = options.includeUsage ? chunk({ choices: [], usage: usageOf(counts) }) : "";
          return `${usage}data: [DONE]\n\n`;
        }
      }
    },
    error: (error) => frame(toOpenAi(error).body),
    // A comment, and not the word `ping`, which ends a batch for some (facts/clients.md 0.3).
    keepAlive: () => ": keep-alive\n\n",
  };
}

function frame(value: object): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

function contextOf({ kind, model, contextSize }: FromNodeOptions) {
  return { model, contextSize, param: kind === "chat" ? "messages" : "prompt" };
}

/** The whole answer of a node. One without `done` was broken off, though its status is 200 (server/routes.go: the last
 *  piece is all that is looked at). */
export function toOpenAiAnswer(body: unknown, options: FromNodeOptions): WholeAnswer {
  const events = createNodeLines(contextOf(options))(body);
  const failed = events.find((event) => event.tag === "failed");
  if (failed) return { ok: false, error: failed.error };
  const finish = events.find((event) => event.tag === "finish");
  if (!finish) return { ok: false, error: endedEarly() };
  const counts = events.find((event) => event.tag === "counts")?.counts ?? null;
  const deltas = events.filter((event) => event.tag === "delta");
  return { ok: true, body: wholeAnswer(options, deltas, { reason: finish.reason, counts }) };
}
