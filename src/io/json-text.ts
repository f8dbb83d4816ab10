/** Strict JSON from a text, with line and column of what is wrong: no comments, no trailing commas, no repeated keys. */
import { type JSONVisitor, type ParseErrorCode, printParseErrorCode, visit } from "jsonc-parser";

export type JsonReading =
  | { readonly ok: true; readonly value: unknown }
  | {
      readonly ok: false;
      /** From 1. */
      readonly line: number;
      readonly column: number;
      readonly problem: string;
    };

/** Deeper nesting than any configuration needs: the parser recurses. */
const DEEPEST = 64;

const NO_COMMENTS = "comments are not allowed in JSON";

/** By jsonc-parser's own names of its codes. */
const WORDS: Readonly<Record<string, string>> = {
  InvalidSymbol: "this is no JSON value (text needs double quotes)",
  InvalidNumberFormat: "this is no JSON number",
  PropertyNameExpected: "a key in double quotes is expected",
  ValueExpected: "a value is expected",
  ColonExpected: "a colon is expected after the key",
  CommaExpected: "a comma is expected",
  CloseBraceExpected: "a comma or a closing } is expected",
  CloseBracketExpected: "a comma or a closing ] is expected",
  EndOfFileExpected: "nothing may follow the end of the value",
  InvalidCommentToken: NO_COMMENTS,
  UnexpectedEndOfComment: NO_COMMENTS,
  UnexpectedEndOfString: "the text has no closing quote on its line",
  UnexpectedEndOfNumber: "this number is not finished",
  InvalidUnicode: "\\u needs four hexadecimal digits",
  InvalidEscapeCharacter: "no such escape after the backslash",
  InvalidCharacter: "a control character in a text must be escaped",
};

/** Reads one JSON value; only the first mistake is told, since the others usually follow from it. */
export function readJson(text: string): JsonReading {
  const deep = tooDeepAt(text);
  if (deep !== null) return failure(text, deep, `nesting is deeper than ${DEEPEST} levels`);
  const mistake = firstMistake(text);
  if (mistake) return failure(text, mistake.offset, mistake.problem);
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch {
    return failure(text, 0, "this is not JSON");
  }
}

function failure(text: string, offset: number, problem: string): JsonReading {
  const before = text.slice(0, offset).split(/\r\n|\r|\n/);
  return { ok: false, line: before.length, column: (before.at(-1)?.length ?? 0) + 1, problem };
}

/** Offset of the first bracket beyond the limit. */
function tooDeepAt(text: string): number | null {
  let depth = 0;
  let quoted = false;
  for (let offset = 0; offset < text.length; offset++) {
    const character = text[offset];
    if (quoted && character === "\\") offset += 1;
    else if (character === '"') quoted = !quoted;
    else if (!quoted && (character === "{" || character === "[")) depth += 1;
    else if (!quoted && (character === "}" || character === "]")) depth -= 1;
    if (depth > DEEPEST) return offset;
  }
  return null;
}

interface Mistake {
  readonly offset: number;
  readonly problem: string;
}

function firstMistake(text: string): Mistake | null {
  const mistakes: Mistake[] = [];
  const open: Set<string>[] = [];
  let lastComma = -1;
  const visitor: JSONVisitor = {
    onObjectBegin: () => {
      open.push(new Set());
    },
    onObjectEnd: () => {
      open.pop();
    },
    onObjectProperty: (key, offset) => {
      const keys = open.at(-1);
      if (keys?.has(key))
        mistakes.push({ offset, problem: `the key ${JSON.stringify(key.slice(0, 60))} is given twice` });
      keys?.add(key);
    },
    onSeparator: (character, offset) => {
      if (character === ",") lastComma = offset;
    },
    onError: (code, offset) => mistakes.push(describe(text, { code, offset, lastComma })),
  };
  visit(text, visitor, { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false });
  return mistakes.reduce<Mistake | null>((first, next) => (first && first.offset <= next.offset ? first : next), null);
}

interface RawMistake {
  readonly code: ParseErrorCode;
  readonly offset: number;
  readonly lastComma: number;
}

/** Names the two slips people make most, trailing commas and `#` comments, for what they are. */
function describe(text: string, { code, offset, lastComma }: RawMistake): Mistake {
  const character = text[offset] ?? "";
  const afterComma = lastComma >= 0 && text.slice(lastComma + 1, offset).trim() === "";
  if (afterComma && (character === "}" || character === "]")) {
    return { offset: lastComma, problem: `the comma before the closing ${character} is not allowed in JSON` };
  }
  if (character === "#") return { offset, problem: NO_COMMENTS };
  if (offset >= text.trimEnd().length)
    return { offset, problem: "the file ends too early: a bracket or quote is not closed" };
  return { offset, problem: WORDS[printParseErrorCode(code)] ?? "this is not JSON" };
}
