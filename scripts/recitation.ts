/** The text that the reciting model knows, and its vocabulary: special tokens, 256 bytes, then the text's words. */
import type { GgufMeta } from "../src/core/gguf-encode.ts";
import { byteTokens, SPECIAL, specialTokens, TOKEN, type Token, tokenizerKeys } from "../src/core/made-up-model.ts";

export const RECITATION =
  "Synaptic turns the machines you own into one endpoint. Every layer of this small model was computed by some " +
  "worker, exactly once and in order; otherwise these words would come out scrambled. Token embeddings stay at home, " +
  "while attention, feed-forward weights plus key-value cache are spread over several backends. Before each start, " +
  "it probes all peers, plans who holds which part, then checks from llama.cpp's log what really happened. No claim " +
  "without proof.";

/** ChatML: what llama.cpp falls back to, written out so that clients see a template in `/props`. */
export const CHAT_TEMPLATE =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

export interface Vocabulary {
  readonly tokens: readonly Token[];
  /** Of its GGUF file. */
  readonly keys: readonly (readonly [string, GgufMeta])[];
  readonly begin: number;
  readonly end: number;
  /** What follows each token, by token id: the next word, the end after the last word, the first word after all else. */
  readonly next: readonly number[];
  readonly firstWord: number;
  readonly lastWord: number;
}

/** The words with the space before them, so that joined they are the text. */
export function wordsOf(text: string): string[] {
  return text.split(/(?= )/);
}

/** Words are user-defined tokens with a literal leading space: only those tokenise back to themselves (section j). */
export function vocabularyOf(text: string | readonly string[]): Vocabulary {
  const words = typeof text === "string" ? wordsOf(text) : text;
  const chatMarks = ["<|im_start|>", "<|im_end|>"].map((text) => ({ text, type: TOKEN.control }));
  const special = [...specialTokens(), ...chatMarks];
  const bytes = byteTokens();
  const firstWord = special.length + bytes.length;
  const lastWord = firstWord + words.length - 1;
  const tokens = [...special, ...bytes, ...words.map((word) => ({ text: word, type: TOKEN.userDefined }))];
  const next = tokens.map((_, id) => {
    if (id === lastWord) return SPECIAL.end;
    return id < firstWord ? firstWord : id + 1;
  });
  const { begin, end } = SPECIAL;
  return { tokens, begin, end, next, firstWord, lastWord, keys: tokenizerKeys(tokens) };
}

/** What the model says after `prompt`: the rest of the text when the prompt ends in one of its words, else all of it. */
export function expectedCompletion(prompt: string, text: string = RECITATION): string {
  const words = wordsOf(text);
  // The engine matches longest tokens first, so ` into` is never taken for ` in`.
  const last = words.toSorted((a, b) => b.length - a.length).find((word) => prompt.endsWith(word));
  return last === undefined ? text : words.slice(words.indexOf(last) + 1).join("");
}
