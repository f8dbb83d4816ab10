/** A vocabulary whose tokens are single bytes, and a text for it: so that characters are cut between tokens. */
import { type GgufMeta, meta } from "../src/core/gguf-encode.ts";
import type { Vocabulary } from "./recitation.ts";

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

const BEGIN = 0;
const END = 1;
const SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"];
/** llama.cpp's `enum llama_token_type`. */
const TOKEN = { normal: 1, control: 3 } as const;

/** A byte-level BPE without merges. */
export function bytesVocabularyOf(text: string): Vocabulary {
  const tokens = [
    ...SPECIAL.map((name) => ({ text: name, type: TOKEN.control })),
    ...byteSymbols().map((symbol) => ({ text: symbol, type: TOKEN.normal })),
  ];
  const said = [...new TextEncoder().encode(text)].map((byte) => SPECIAL.length + byte);
  const [firstWord = 0] = said;
  const next = tokens.map(() => firstWord);
  said.forEach((token, at) => {
    next[token] = said[at + 1] ?? END;
  });
  const keys: readonly (readonly [string, GgufMeta])[] = [
    ["tokenizer.ggml.model", meta.string("gpt2")],
    ["tokenizer.ggml.pre", meta.string("gpt-2")],
    ["tokenizer.ggml.merges", meta.strings([])],
    ["tokenizer.ggml.tokens", meta.strings(tokens.map((token) => token.text))],
    ["tokenizer.ggml.token_type", meta.i32s(tokens.map((token) => token.type))],
    ["tokenizer.ggml.bos_token_id", meta.u32(BEGIN)],
    ["tokenizer.ggml.eos_token_id", meta.u32(END)],
  ];
  const lastWord = said.at(-1) ?? 0;
  return { tokens, begin: BEGIN, end: END, next, firstWord, lastWord, keys };
}

/** GPT-2's printable stand-ins for all bytes. */
function byteSymbols(): readonly string[] {
  let others = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    return String.fromCharCode(isPrintable ? byte : others++);
  });
}
