/** Ollama's `options` as fields of a llama-server request: sampling and limits; what only a load can set is left out. Pure. */
import { z } from "zod";
import { defined, type JsonObject } from "./json.ts";
import { type Checked, check } from "./refusal.ts";

// Ollama cuts fractions off where it wants whole numbers, and takes null for nothing said (api/types.go FromMap).
const number = z.number();
const whole = z.number().transform(Math.trunc);
/** llama-server reads 32 bits, and takes what is beyond for another number. */
const small = z
  .number()
  .min(-(2 ** 31))
  .max(2 ** 31 - 1)
  .transform(Math.trunc);
const text = z.string();

const optionsSchema = z.looseObject({
  num_ctx: whole.nullish(),
  num_predict: whole.nullish(),
  num_keep: small.nullish(),
  seed: whole.nullish(),
  temperature: number.nullish(),
  top_k: small.nullish(),
  top_p: number.nullish(),
  min_p: number.nullish(),
  typical_p: number.nullish(),
  repeat_last_n: small.nullish(),
  repeat_penalty: number.nullish(),
  presence_penalty: number.nullish(),
  frequency_penalty: number.nullish(),
  mirostat: small.nullish(),
  mirostat_tau: number.nullish(),
  mirostat_eta: number.nullish(),
  // Ollama itself takes a list only; all its SDKs' users write a text now and then.
  stop: z.union([z.array(text), text.transform((stop) => [stop])]).nullish(),
});

type Options = z.infer<typeof optionsSchema>;

export interface TranslatedOptions {
  /** Fields that llama-server takes at all its endpoints. */
  readonly fields: JsonObject;
  /** The most tokens; null for as many as there is room for. */
  readonly maxTokens: number | null;
  /** `num_ctx`, in tokens: for whoever decides about loads, since a request cannot change it. */
  readonly contextSize: number | null;
}

/** Reads `options`; those that are unknown, or belong to a load (`num_gpu`, `num_thread` ...), have no effect, as with
 *  Ollama's own unknown ones. */
export function translateOptions(options: unknown): Checked<TranslatedOptions> {
  const checked = check(optionsSchema, options ?? {}, "options");
  if (!checked.ok) return checked;
  const { num_ctx, num_predict } = checked.value;
  return {
    ok: true,
    value: {
      fields: fieldsOf(checked.value),
      maxTokens: limitOf(num_predict),
      contextSize: num_ctx && num_ctx > 0 ? num_ctx : null,
    },
  };
}

/** -1 is without limit, and -2 once was "until the context is full": llama-server refuses all below -1, and 32 bits hold
 *  more than any context. */
function limitOf(tokens: number | null | undefined): number | null {
  return typeof tokens === "number" && tokens >= 0 && tokens < 2 ** 31 ? tokens : null;
}

/** As far back as llama-server looks without being asked twice: each token of it takes four bytes of memory at once, and
 *  300 million took 1.2 GB (measured, 0.7.0). */
const MOST_LOOKED_BACK = 2 ** 20;
/** For a context of which nothing is said: synaptic's own default. */
const USUAL_CONTEXT = 32_768;

/** Ollama's -1 is the whole context; llama-server refuses it (measured, 0.7.0). */
function lookBack({ repeat_last_n: tokens, num_ctx }: Options): number | undefined {
  if (tokens === undefined || tokens === null) return undefined;
  return Math.min(tokens < 0 ? Math.max(num_ctx ?? 0, USUAL_CONTEXT) : tokens, MOST_LOOKED_BACK);
}

function fieldsOf(options: Options): JsonObject {
  const { num_keep, seed, stop } = options;
  return defined({
    // Below zero is all of the prompt.
    n_keep: typeof num_keep === "number" ? Math.max(num_keep, -1) : undefined,
    // Any negative seed is a random one; llama-server reads 32 bits.
    seed: typeof seed === "number" ? (seed < 0 ? -1 : seed >>> 0) : undefined,
    temperature: options.temperature ?? undefined,
    top_k: options.top_k ?? undefined,
    top_p: options.top_p ?? undefined,
    min_p: options.min_p ?? undefined,
    typical_p: options.typical_p ?? undefined,
    repeat_last_n: lookBack(options),
    repeat_penalty: options.repeat_penalty ?? undefined,
    presence_penalty: options.presence_penalty ?? undefined,
    frequency_penalty: options.frequency_penalty ?? undefined,
    mirostat: options.mirostat ?? undefined,
    mirostat_tau: options.mirostat_tau ?? undefined,
    mirostat_eta: options.mirostat_eta ?? undefined,
    stop: stop?.some(isSaid) ? stop.filter(isSaid) : undefined,
  });
}

/** An empty stop would end every answer before its first token. */
function isSaid(stop: string): boolean {
  return stop !== "";
}
