/** Why a message ends and what it took, in Anthropic's words. Pure. */
import type { Counts } from "./answer-events.ts";
import type { JsonObject } from "./json.ts";

export interface Finish {
  readonly reason: string;
  readonly stopWord?: string;
}

/** OpenAI's reason, and the stop sequence that was met when the upstream tells it. */
export function stopOf(
  { reason, stopWord }: Finish,
  hasCalls: boolean,
): { stop_reason: string; stop_sequence: string | null } {
  const stop = { stop_sequence: null };
  if (reason === "length") return { stop_reason: "max_tokens", ...stop };
  if (reason === "content_filter") return { stop_reason: "refusal", ...stop };
  if (hasCalls) return { stop_reason: "tool_use", ...stop };
  return stopWord === undefined
    ? { stop_reason: "end_turn", ...stop }
    : { stop_reason: "stop_sequence", stop_sequence: stopWord };
}

/** Anthropic's input tokens are those that no cache had. */
export function usageOf(counts: Counts | null): JsonObject {
  const cached = Math.min(counts?.cachedTokens ?? 0, counts?.promptTokens ?? 0);
  return {
    input_tokens: (counts?.promptTokens ?? 0) - cached,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cached,
    output_tokens: counts?.answerTokens ?? 0,
  };
}
