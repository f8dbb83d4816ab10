/** The text that the reciting model knows, and its vocabulary: special tokens, 256 bytes, then the text's words. */
import { byteTokens, SPECIAL, specialTokens, TOKEN, type Token } from "../src/core/made-up-model.ts";

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

<<<<<<< HEAD
=======
/** llama.cpp's `enum llama_token_type`. */
const TOKEN = { normal: 1, unknown: 2, control: 3, userDefined: 4, byte: 6 } as const;

interface Token {
  readonly text: string;
  readonly type: number;
}

/** One of words. */
export interface WordVocabulary extends Vocabulary {
  readonly unknown: number;
}

>>>>>>> fcc4b7c (http/resume: thoughts go on as they were, tokens are counted by the coordinator; a byte-level model cut at every event, and a real thinking template)
export interface Vocabulary {
  readonly tokens: readonly Token[];
  /** Null where every byte is a token. */
  readonly unknown: number | null;
  readonly begin: number;
  readonly end: number;
  /** What follows each token, by token id: the next word, the end after the last word, the first word after all else. */
  readonly next: readonly number[];
  readonly firstWord: number;
  readonly lastWord: number;
}

/** Every byte of it is another one, so that each byte says which comes next: characters of one, two and three bytes. */
export const BYTES_TEXT = textOfBytes();

function textOfBytes(): string {
  const letters = "abcdefghijklmnopqrstuvwxyz";
  const bytes: number[] = [];
  let next = 0x80;
  // C2 to DF begin a character of two bytes, E1 to EC one of three, and 80 to BF go on with either.
  for (let at = 0; at < letters.length; at++) {
    bytes.push(letters.charCodeAt(at), 0xc2 + at, next++);
    if (at < 12) bytes.push(0xe1 + at, next++, next++);
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes));
}

/** A byte-level BPE without merges: each byte is a token, so that characters are cut. */
export function bytesVocabularyOf(text: string): Vocabulary {
  const special = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"].map((name) => ({ text: name, type: TOKEN.control }));
  const bytes = byteSymbols().map((symbol) => ({ text: symbol, type: TOKEN.normal }));
  const said = [...new TextEncoder().encode(text)].map((byte) => special.length + byte);
  const [firstWord = 0] = said;
  const tokens = [...special, ...bytes];
  const next = tokens.map(() => firstWord);
  said.forEach((token, at) => {
    next[token] = said[at + 1] ?? 1;
  });
  return { tokens, unknown: null, begin: 0, end: 1, next, firstWord, lastWord: said.at(-1) ?? 0 };
}

/** GPT-2's printable stand-ins for all bytes. */
function byteSymbols(): readonly string[] {
  let others = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    return String.fromCharCode(isPrintable ? byte : others++);
  });
}

/** The words with the space before them, so that joined they are the text. */
export function wordsOf(text: string): string[] {
  return text.split(/(?= )/);
}

/** Words are user-defined tokens with a literal leading space: only those tokenise back to themselves (section j). */
<<<<<<< HEAD
export function vocabularyOf(text: string): Vocabulary {
  const words = wordsOf(text);
  const chatMarks = ["<|im_start|>", "<|im_end|>"].map((text) => ({ text, type: TOKEN.control }));
  const special = [...specialTokens(), ...chatMarks];
  const bytes = byteTokens();
=======
export function vocabularyOf(text: string | readonly string[]): WordVocabulary {
  const words = typeof text === "string" ? wordsOf(text) : text;
  const special: Token[] = [
    { text: "<unk>", type: TOKEN.unknown },
    ...["<s>", "</s>", "<|im_start|>", "<|im_end|>"].map((name) => ({ text: name, type: TOKEN.control })),
  ];
  const bytes = Array.from({ length: 256 }, (_, byte) => ({
    text: `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
    type: TOKEN.byte,
  }));
>>>>>>> fcc4b7c (http/resume: thoughts go on as they were, tokens are counted by the coordinator; a byte-level model cut at every event, and a real thinking template)
  const firstWord = special.length + bytes.length;
  const lastWord = firstWord + words.length - 1;
  const tokens = [...special, ...bytes, ...words.map((word) => ({ text: word, type: TOKEN.userDefined }))];
  const next = tokens.map((_, id) => {
    if (id === lastWord) return SPECIAL.end;
    return id < firstWord ? firstWord : id + 1;
  });
  return { tokens, ...SPECIAL, next, firstWord, lastWord };
}

/** What the model says after `prompt`: the rest of the text when the prompt ends in one of its words, else all of it. */
export function expectedCompletion(prompt: string, text: string = RECITATION): string {
  const words = wordsOf(text);
  // The engine matches longest tokens first, so ` into` is never taken for ` in`.
  const last = words.toSorted((a, b) => b.length - a.length).find((word) => prompt.endsWith(word));
  return last === undefined ? text : words.slice(words.indexOf(last) + 1).join("");
}
