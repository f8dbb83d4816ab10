/** A whole answer as Anthropic's message, and its counts of tokens. Pure. */
import { SynapticError } from "../errors.ts";
import type { AnswerEvent } from "./answer-events.ts";
import type { AnswerIdentity } from "./answer-identity.ts";
import { stopOf, usageOf } from "./anthropic-usage.ts";
import { type GatheredAnswer, type GatheredCall, gatherAnswer } from "./gathered-answer.ts";
import { isDeeper, isObject, type JsonObject, readJson } from "./json.ts";
import type { WholeAnswer } from "./ollama-answer.ts";
import { unreadable } from "./openai-events.ts";

export interface MessageOptions {
  readonly identity: AnswerIdentity;
  /** What the upstream repeats in front of its text: llama-server does (facts/llamacpp.md j), an Ollama node does not. */
  readonly prefill?: string;
}

/** The message that these events make, or why they make none. */
export function toAnthropicMessage(
  events: readonly AnswerEvent[],
  { identity: { id, model }, prefill = "" }: MessageOptions,
): WholeAnswer {
  const answer = gatherAnswer(events);
  if (answer instanceof SynapticError) return { ok: false, error: answer };
  const content = contentOf(answer, { id, prefill });
  if (content instanceof SynapticError) return { ok: false, error: content };
  const stop = stopOf(answer.finish, answer.calls.length > 0);
  const usage = usageOf(answer.counts);
  return {
    ok: true,
    body: { id: `msg_${id}`, type: "message", role: "assistant", model, content, ...stop, usage },
  };
}

function contentOf(
  { reasoning, text, calls, finish }: GatheredAnswer,
  { id, prefill }: { readonly id: string; readonly prefill: string },
): readonly JsonObject[] | SynapticError {
  const said = text.startsWith(prefill) ? text.slice(prefill.length) : text;
  const content: JsonObject[] = [];
  if (reasoning !== "") content.push({ type: "thinking", thinking: reasoning, signature: "" });
  if (said !== "") content.push({ type: "text", text: said });
  for (const [at, call] of calls.entries()) {
    const input = inputOf(call, finish.reason === "length");
    if (input === null) return unreadable(`the arguments for '${call.name.slice(0, 80)}' are no JSON object`);
    content.push({ type: "tool_use", id: call.id ?? `toolu_${id}_${at + 1}`, name: call.name, input });
  }
  return content;
}

/** Arguments that the limit cut off are told by `max_tokens`, and nobody runs such a call. */
function inputOf({ argumentsText }: GatheredCall, isCut: boolean): JsonObject | null {
  const input = argumentsText.trim() === "" ? {} : readJson(argumentsText);
  if (isObject(input) && !isDeeper(input)) return input;
  return isCut ? {} : null;
}

/** What llama-server counted, as `count_tokens` has it. */
export function toAnthropicCount(body: unknown): WholeAnswer {
  const tokens = isObject(body) ? body.input_tokens : undefined;
  if (typeof tokens !== "number") return { ok: false, error: unreadable("it counts no tokens") };
  return { ok: true, body: { input_tokens: tokens } };
}

/** Ollama has no way to count tokens without running the model, and clients know how to do without (facts/clients.md
 *  check 50): no guess is passed off as a count. */
export function countOnNode(): SynapticError {
  return new SynapticError(
    "unknown_url",
    "Cannot count the tokens: the Ollama node that has this model cannot count them",
  );
}
