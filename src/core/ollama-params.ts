/** The params of an Ollama model: its context, and those sampling defaults that llama-server has a flag for. Pure. */
import { z } from "zod";
import { parseJson } from "./ollama-manifest.ts";
import { SAMPLING } from "./sampling.ts";

const numberSchema = z.number().min(-1e9).max(1e9);
const wholeSchema = z.int().min(-1e9).max(1e9);

const MAX_CONTEXT = 16_777_216;
const stopSchema = z.union([z.string().transform((word) => [word]), z.array(z.string())]);
const contextSchema = z.int().min(1).max(MAX_CONTEXT);
const paramsSchema = z.record(z.string().max(256), z.unknown());

export interface OllamaParams {
  /** `num_ctx`, in tokens. */
  readonly contextSize: number | null;
  /** Flag and value in turn. */
  readonly args: readonly string[];
  /** Words that end an answer, where a request names none. */
  readonly stop: readonly string[];
  /** What of it has no effect, in sentences. */
  readonly notes: readonly string[];
}

export const NO_PARAMS: OllamaParams = { contextSize: null, args: [], stop: [], notes: [] };

/** Reads the JSON of a params layer; what is no number where one belongs is left out and noted. */
export function parseParams(text: string): OllamaParams {
  const parsed = parseJson(text, paramsSchema);
  if (!parsed.ok) return { ...NO_PARAMS, notes: [`its params layer ${parsed.reason}; defaults apply`] };
  const given = new Map(Object.entries(parsed.value));
  const args: string[] = [];
  const wrong: string[] = [];
  for (const { key, flag, whole } of SAMPLING) {
    if (!given.has(key)) continue;
    const value = (whole ? wholeSchema : numberSchema).safeParse(given.get(key));
    if (value.success) args.push(flag, String(value.data));
    else wrong.push(key);
    given.delete(key);
  }
  const context = contextSchema.safeParse(given.get("num_ctx"));
  if (given.has("num_ctx") && !context.success) wrong.push("num_ctx");
  given.delete("num_ctx");
  const stop = stopSchema.safeParse(given.get("stop") ?? []);
  if (!stop.success) wrong.push("stop");
  given.delete("stop");
  return { contextSize: context.data ?? null, args, stop: stop.data ?? [], notes: notesOn(wrong, [...given.keys()]) };
}

const MOST_NAMED = 10;

function notesOn(wrong: readonly string[], unused: readonly string[]): readonly string[] {
  const named = (keys: readonly string[]): string => keys.slice(0, MOST_NAMED).join(", ");
  return [
    ...(wrong.length > 0 ? [`not usable in its params: ${named(wrong)}`] : []),
    ...(unused.length > 0 ? [`in its params, without a flag of llama-server: ${named(unused)}`] : []),
  ];
}
