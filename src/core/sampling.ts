/** Sampling defaults by Ollama's names, and llama-server's flags for them. Pure. Flags: `llama-server --help` of 0.7.0. */

export const SAMPLING = [
  { key: "temperature", flag: "--temp", whole: false },
  { key: "top_k", flag: "--top-k", whole: true },
  { key: "top_p", flag: "--top-p", whole: false },
  { key: "min_p", flag: "--min-p", whole: false },
  { key: "typical_p", flag: "--typical-p", whole: false },
  { key: "repeat_penalty", flag: "--repeat-penalty", whole: false },
  { key: "repeat_last_n", flag: "--repeat-last-n", whole: true },
  { key: "presence_penalty", flag: "--presence-penalty", whole: false },
  { key: "frequency_penalty", flag: "--frequency-penalty", whole: false },
  { key: "seed", flag: "--seed", whole: true },
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
