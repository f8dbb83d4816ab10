/** What people and clients are told of a model beside what placement needs: its template, its header's keys, what it can do. Pure. */
import type { GgufHeader, GgufValue } from "./gguf.ts";

export interface ModelAbout {
  /** The chat template of its file, in Jinja; null when it has none. */
  readonly template: string | null;
  /** The keys of its header that are short enough for people; of long lists their length is all that is told, by leaving
   *  them empty as Ollama does. */
  readonly info: Readonly<Record<string, number | boolean | string | readonly number[]>>;
}

const TEMPLATE = "tokenizer.chat_template";
const LONGEST_TEXT = 1_024;
const LONGEST_LIST = 5;

export function aboutModel({ metadata }: Pick<GgufHeader, "metadata">): ModelAbout {
  const template = metadata.get(TEMPLATE);
  const told = [...metadata].flatMap(([key, value]) => {
    const short = key.startsWith(TEMPLATE) ? null : shortened(value);
    return short === null ? [] : [[key, short] as const];
  });
  return { template: typeof template === "string" ? template : null, info: Object.fromEntries(told) };
}

function shortened(value: GgufValue) {
  if (typeof value === "bigint") return String(value);
  if (typeof value === "string") return value.length > LONGEST_TEXT ? null : value;
  if (typeof value !== "object") return value;
  return value.items && value.length <= LONGEST_LIST ? value.items : [];
}

export interface Abilities {
  readonly about: ModelAbout | undefined;
  readonly hasProjector: boolean;
}

/** Of a chat template that can be told about tools, and of one that opens or closes the model's thoughts. */
const TOOLS = /\btools\b/;
const THINKING = /enable_thinking|reasoning_effort|reasoning_content|<\/?think(?:ing)?>|\bthinking\b/;
/** Old and new names of the token that a gap begins with. */
const GAP_TOKENS = ["tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id"];

/** In Ollama's words: Roo hides what has no `tools` (facts/clients.md 1a). */
export function capabilitiesOf({ about, hasProjector }: Abilities): readonly string[] {
  const template = about?.template ?? "";
  const has: readonly (readonly [string, boolean])[] = [
    ["completion", true],
    ["tools", TOOLS.test(template)],
    ["insert", GAP_TOKENS.some((key) => about !== undefined && key in about.info)],
    ["vision", hasProjector],
    ["thinking", THINKING.test(template)],
  ];
  return has.flatMap(([name, can]) => (can ? [name] : []));
}
