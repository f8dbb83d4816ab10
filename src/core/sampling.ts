/** Sampling defaults by Ollama's names, and llama-server's flags for them. Pure. Flags: `llama-server --help` of 0.7.0. */

/** `min` and `max` bound what an owner may write; Ollama's own params are taken as they are. */
export const SAMPLING = [
  { key: "temperature", flag: "--temp", whole: false, min: 0, max: 100 },
  { key: "top_k", flag: "--top-k", whole: true, min: 0, max: 1_000_000 },
  { key: "top_p", flag: "--top-p", whole: false, min: 0, max: 1 },
  { key: "min_p", flag: "--min-p", whole: false, min: 0, max: 1 },
  { key: "typical_p", flag: "--typical-p", whole: false, min: 0, max: 1 },
  { key: "repeat_penalty", flag: "--repeat-penalty", whole: false, min: 0, max: 10 },
  { key: "repeat_last_n", flag: "--repeat-last-n", whole: true, min: -1, max: 1_000_000 },
  { key: "presence_penalty", flag: "--presence-penalty", whole: false, min: -10, max: 10 },
  { key: "frequency_penalty", flag: "--frequency-penalty", whole: false, min: -10, max: 10 },
  { key: "seed", flag: "--seed", whole: true, min: -1, max: 4_294_967_295 },
] as const;

export type SamplingKey = (typeof SAMPLING)[number]["key"];

/** Flag and value in turn, of those that are given. */
export function samplingArgs(values: Readonly<Partial<Record<SamplingKey, number>>>): readonly string[] {
  return SAMPLING.flatMap(({ key, flag }) => {
    const value = values[key];
    return value === undefined ? [] : [flag, String(value)];
  });
}

/** Defaults with those of the owner in their place; both flag and value in turn. */
export function overlayArgs(defaults: readonly string[], own: readonly string[]): readonly string[] {
  const flags = own.filter((_, index) => index % 2 === 0);
  return [...defaults.filter((_, index) => !flags.includes(defaults[index - (index % 2)] ?? "")), ...own];
}
