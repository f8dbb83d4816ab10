/** The stream of an OpenAI-speaking upstream as events of an answer; what ends early is a failure. Pure. */
import { SynapticError } from "../errors.ts";
import { fromErrorFrame } from "../upstream-error.ts";
import type { AnswerEvent, AnswerReader } from "./answer-events.ts";
import { isObject, type JsonObject, readJson, writeJson } from "./json.ts";
import { readOpenAiChunk } from "./openai-chunk.ts";
import { createSseEvents } from "./sse-events.ts";

const DONE = "[DONE]";

/** Whole is what ended in `[DONE]` after a reason to finish: without either, SDKs see a silent end (facts/clients.md 2a). */
export function createOpenAiReader(): AnswerReader {
  const sse = createSseEvents();
  let finished = false;
  let ended = false;

  const read = (data: string): readonly AnswerEvent[] => {
    if (ended) return [];
    const events = data.trim() === DONE ? [endOf(finished)] : eventsOf(data);
    finished ||= events.some(({ tag }) => tag === "finish");
    ended = events.some(({ tag }) => tag === "done" || tag === "failed");
    return events;
  };

  const failOnce = (error: SynapticError): readonly AnswerEvent[] => {
    if (ended) return [];
    ended = true;
    return [{ tag: "failed", error }];
  };

  return {
    push(bytes) {
      if (ended) return [];
      const { events, tooLong } = sse.push(bytes);
      const said = events.flatMap(read);
      return tooLong ? [...said, ...failOnce(unreadable("an event has no end"))] : said;
    },
    end() {
      const rest = ended ? null : sse.rest();
      // Half an event is not one: only what reads as a whole counts.
      const isWhole = rest !== null && (rest.trim() === DONE || readJson(rest) !== undefined);
      return [...(isWhole ? read(rest) : []), ...failOnce(endedEarly())];
    },
  };
}

function endOf(finished: boolean): AnswerEvent {
  return finished ? { tag: "done" } : { tag: "failed", error: endedEarly() };
}

function eventsOf(data: string): readonly AnswerEvent[] {
  const value = readJson(data);
  if (isObject(value) && value.error) return [{ tag: "failed", error: failureOf(value) }];
  return readOpenAiChunk(value) ?? [{ tag: "failed", error: unreadable("an event is no chunk of an answer") }];
}

const SHOWN_CHARACTERS = 300;

/** What an upstream says instead of an answer: as llama-server does, or in a text, or with a text for a code. */
export function failureOf(value: JsonObject): SynapticError {
  const said = value.error;
  const known = fromErrorFrame(writeJson({ error: said }) ?? "");
  if (known) return known;
  const message = isObject(said) ? said.message : said;
  const detail = typeof message === "string" && message !== "" ? message.slice(0, SHOWN_CHARACTERS) : "no reason given";
  return new SynapticError("upstream_error", `The upstream failed: ${detail}`);
}

export function endedEarly(): SynapticError {
  return new SynapticError("upstream_error", "The answer ended in the middle: the upstream closed its stream");
}

export function unreadable(detail: string): SynapticError {
  return new SynapticError("upstream_error", `Cannot read the upstream's answer: ${detail}`);
}
